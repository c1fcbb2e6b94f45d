/**
 * Skipping updates that would spoil a model, without asking the host: values that are not finite are counted, the update that
 * depends on them is marked, and what reads the mark leaves everything as it was. All are effects and stop differentiation.
 *
 * A guard is resident, `[3]`: whether the update under way is skipped (0 or 1), updates skipped, and those of them in a row up to
 * now. Zeros guard nothing.
 */

import countSource from "./count_non_finite.wgsl" with { type: "text" };
import markSource from "./guard_mark.wgsl" with { type: "text" };
import revertSource from "./guard_revert.wgsl" with { type: "text" };
import settleSource from "./guard_settle.wgsl" with { type: "text" };
import { type Graph, sizeOf, type Tensor } from "../graph.ts";
import { defineOp, recordOne } from "../op.ts";
import { flatDispatch } from "./_dispatch.ts";
import { columnSum } from "./reduce.ts";

/** Elements of a guard. */
export const GUARD_LENGTH = 3;

/** Partial counts: enough invocations to fill a GPU. */
const MAX_PARTIALS = 16384;

const countNonFiniteOp = defineOp({
  name: "countNonFinite",
  inputs: { bits: "*R" },
  outputs: ({ axes }) => ({ out: { shape: [Math.min(axes.R, MAX_PARTIALS)] } }),
  dispatches: ({ inputs, outputs, axes }) => [
    flatDispatch("countNonFinite", countSource, {
      tensors: { bits: inputs.bits, partials: outputs.out },
      params: { size: axes.R },
      count: sizeOf(outputs.out.shape),
      wgSize: 64,
    }),
  ],
  gradient: "stop",
  reference: ({ bits }) => {
    const out = new Float64Array(Math.min(bits.length, MAX_PARTIALS));
    bits.forEach((value, i) => out[i % out.length] += Number.isFinite(value) ? 0 : 1);
    return { out };
  },
});

const guardMarkOp = defineOp({
  name: "guardMark",
  inputs: { nonFinite: "N", guard: "G" },
  updates: ["guard"],
  outputs: () => ({}),
  dispatches: ({ inputs, axes }) => [{
    label: "guardMark",
    source: markSource,
    tensors: [inputs.nonFinite, inputs.guard],
    params: { count: axes.N },
    grid: [1, 1, 1],
  }],
  gradient: "stop",
  reference: ({ nonFinite, guard: [skip, skipped, inARow] }) => ({
    guard: Float64Array.of(nonFinite.some((count) => count !== 0) ? 1 : skip, skipped, inARow),
  }),
});

const guardRevertOp = defineOp({
  name: "guardRevert",
  inputs: { before: "*R", guard: "G", values: "*R" },
  updates: ["values"],
  outputs: () => ({}),
  dispatches: ({ inputs: { before, guard, values }, axes }) => [
    flatDispatch("guardRevert", revertSource, { tensors: { before, guard, values }, count: axes.R }),
  ],
  gradient: "stop",
  reference: ({ before, guard, values }) => ({ values: guard[0] === 0 ? values : before }),
});

const guardSettleOp = defineOp({
  name: "guardSettle",
  inputs: { guard: "G" },
  attrs: { most: 1 },
  updates: ["guard"],
  outputs: () => ({}),
  dispatches: ({ inputs, attrs }) => [{
    label: "guardSettle",
    source: settleSource,
    tensors: [inputs.guard],
    params: { most: attrs.most },
    grid: [1, 1, 1],
  }],
  gradient: "stop",
  reference: ({ guard: [skip, skipped, before] }, { attrs }) => {
    const inARow = skip === 0 ? 0 : before + 1;
    return { guard: Float64Array.of(inARow >= attrs.most ? 1 : 0, skipped + skip, inARow) };
  },
});

/** How many elements are NaN or infinite, `[1]`. @param x In f32. */
export function countNonFinite(g: Graph, x: Tensor): Tensor {
  const partials = recordOne(g, countNonFiniteOp, { bits: x });
  return columnSum(g, g.view(partials, [sizeOf(partials.shape), 1]));
}

/** Marks the update under way where any of the counts is not 0. @param nonFinite `[N]`, counts of `countNonFinite`. */
export function guardMark(g: Graph, nonFinite: Tensor, guard: Tensor): void {
  g.record(guardMarkOp, { nonFinite, guard });
}

/** Puts `before` back into resident `values`, where the update under way is marked. */
export function guardRevert(g: Graph, tensors: { before: Tensor; values: Tensor; guard: Tensor }): void {
  g.record(guardRevertOp, tensors);
}

/** Counts the update that was made or skipped. @param options.most From so many skipped in a row on, all are. */
export function guardSettle(g: Graph, guard: Tensor, options: { most: number }): void {
  g.record(guardSettleOp, { guard }, options);
}
