/**
 * Sums over one axis and their transposed map, the repetition of rows. All sums are one op on `[A R C]` that sums R; a
 * long R goes in two stages, runs of rows first, so that enough invocations are busy. Sums are f32 and always taken in
 * the same order.
 */

import repeatSource from "./repeat_rows.wgsl" with { type: "text" };
import sumSource from "./sum_rows.wgsl" with { type: "text" };
import type { Graph, Tensor } from "../graph.ts";
import { sizeOf } from "../graph.ts";
import { defineOp, type Dispatch, type Op, recordOne } from "../op.ts";
import { flatDispatch } from "./_dispatch.ts";
import { reshape } from "./views.ts";

const WG_SIZE = 64;
/** Invocations a first stage aims at, runs of rows it is not cut below, and runs the second stage still sums quickly. */
const TARGET_INVOCATIONS = 65536, MIN_RUN = 16, MAX_RUNS = 256;

/** Sums of the middle axis of `[A R C]`, scaled. */
export const sumRowsOp: Op<{ factor: number }> = defineOp({
  name: "sumRows",
  inputs: { x: "A R C" },
  attrs: { factor: 1 },
  outputs: ({ axes }) => {
    const { chunks } = runsOf(axes.A, axes.R, axes.C);
    return {
      out: { shape: [axes.A, axes.C] },
      ...(chunks > 1 ? { partials: { shape: [axes.A, chunks, axes.C], auxiliary: true } } : {}),
    };
  },
  dispatches: ({ inputs, outputs, attrs, axes }) => {
    const { A, R, C } = axes, factor = attrs.factor;
    const { partials } = outputs;
    if (!partials) return [sumStage(inputs.x, outputs.out, { A, R, C, run: R, factor })];
    const { chunks, run } = runsOf(A, R, C);
    return [
      sumStage(inputs.x, partials, { A, R, C, run, factor: 1 }),
      sumStage(partials, outputs.out, { A, R: chunks, C, run: chunks, factor }),
    ];
  },
  gradient: ({ g, grads, attrs, axes }) => ({
    x: recordOne(g, repeatRowsOp, { x: grads.out }, { rows: axes.R, factor: attrs.factor }),
  }),
  reference: ({ x }, { attrs, axes }) => {
    const { A, R, C } = axes, { chunks, run } = runsOf(A, R, C);
    const out = new Float64Array(A * C), partials = new Float64Array(A * chunks * C);
    for (let a = 0; a < A; a++) {
      for (let r = 0; r < R; r++) {
        for (let c = 0; c < C; c++) {
          out[a * C + c] += attrs.factor * x[(a * R + r) * C + c];
          partials[(a * chunks + Math.floor(r / run)) * C + c] += x[(a * R + r) * C + c];
        }
      }
    }
    return { out, partials };
  },
  flops: ({ axes }) => axes.A * axes.R * axes.C,
});

const repeatRowsOp: Op<{ rows: number; factor: number }> = defineOp({
  name: "repeatRows",
  inputs: { x: "A C" },
  attrs: { rows: 1, factor: 1 },
  outputs: ({ inputs, axes, attrs }) => ({
    out: { shape: [axes.A, attrs.rows, axes.C], dtype: inputs.x.dtype },
  }),
  dispatches: ({ inputs, outputs, axes, attrs }) => [
    flatDispatch("repeatRows", repeatSource, {
      tensors: { x: inputs.x, out: outputs.out },
      params: { rows: attrs.rows, columns: axes.C, factor: attrs.factor },
      count: sizeOf(outputs.out.shape),
    }),
  ],
  gradient: ({ g, grads, attrs }) => ({
    x: recordOne(g, sumRowsOp, { x: grads.out }, { factor: attrs.factor }),
  }),
  reference: ({ x }, { axes, attrs }) => {
    const { A, C } = axes, rows = attrs.rows;
    const out = new Float64Array(A * rows * C);
    for (let a = 0; a < A; a++) {
      for (let r = 0; r < rows; r++) {
        for (let c = 0; c < C; c++) out[(a * rows + r) * C + c] = attrs.factor * x[a * C + c];
      }
    }
    return { out };
  },
});

/** Sum over every axis but the last: the gradient of a bias. `[… C]` → `[C]`. */
export function columnSum(g: Graph, x: Tensor): Tensor {
  const columns = x.shape.at(-1)!;
  const sum = recordOne(g, sumRowsOp, { x: reshape(g, x, [1, -1, columns]) });
  return reshape(g, sum, [columns]);
}

/** Sum over the first axis: `[S …]` → `[…]`. */
export function sumLeading(g: Graph, x: Tensor): Tensor {
  const [first, ...rest] = x.shape;
  const sum = recordOne(g, sumRowsOp, { x: reshape(g, x, [1, first, sizeOf(rest)]) });
  return reshape(g, sum, rest);
}

/** Mean over the middle axis: `[B M C]` → `[B C]`. */
export function meanTokens(g: Graph, x: Tensor): Tensor {
  return recordOne(g, sumRowsOp, { x }, { factor: 1 / x.shape[1] });
}

/** Every row `rows` times, scaled: `[A C]` → `[A rows C]`. */
export function repeatRows(
  g: Graph,
  x: Tensor,
  options: { rows: number; factor?: number },
): Tensor {
  return recordOne(g, repeatRowsOp, { x }, { ...options });
}

/** How many runs of how many rows the first stage cuts R into. */
function runsOf(A: number, R: number, C: number): { chunks: number; run: number } {
  const wanted = Math.min(MAX_RUNS, Math.floor(R / MIN_RUN), Math.floor(TARGET_INVOCATIONS / (A * C)));
  const run = Math.ceil(R / Math.max(1, wanted));
  return { chunks: Math.ceil(R / run), run };
}

function sumStage(
  x: Tensor,
  out: Tensor,
  sizes: { A: number; R: number; C: number; run: number; factor: number },
): Dispatch {
  const { R, C, run, factor } = sizes;
  return flatDispatch("sumRows", sumSource, {
    tensors: { x, out },
    params: { rows: R, columns: C, chunks: Math.ceil(R / run), chunk_rows: run, factor },
    count: sizeOf(out.shape),
    wgSize: WG_SIZE,
  });
}

/** The second stage for ops that make partial sums themselves: `partials` `[S …]` summed over S into `out`, scaled. */
export function sumPartials(partials: Tensor, out: Tensor, factor = 1): Dispatch {
  const S = partials.shape[0];
  return sumStage(partials, out, { A: 1, R: S, C: sizeOf(partials.shape) / S, run: S, factor });
}
