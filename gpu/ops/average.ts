/**
 * Exponential moving averages of weights, kept on the device beside them: moved by every update, and put in their place while a
 * model is evaluated. Both ops are effects and stop differentiation.
 */

import averageSource from "./average.wgsl" with { type: "text" };
import exchangeSource from "./exchange.wgsl" with { type: "text" };
import type { Graph, Tensor } from "../graph.ts";
import { defineOp } from "../op.ts";
import { flatDispatch } from "./_dispatch.ts";

/** Where the rates of an average lie, in elements. */
export interface AverageRates {
  /** The rate where no update was skipped since the host last looked. Default 0. */
  offset?: number;
  /** Rates behind one another, for 0, 1, … skipped updates. Default 1. */
  count?: number;
}

const moveAverageOp = defineOp<Required<AverageRates>>({
  name: "moveAverage",
  inputs: { average: "*R", value: "*R", rates: "H", guard: "G" },
  attrs: { offset: 0, count: 1 },
  updates: ["average"],
  outputs: () => ({}),
  dispatches: ({ inputs: { average, value, rates, guard }, axes, attrs }) => [
    flatDispatch("moveAverage", averageSource, {
      tensors: { average, value, rates, guard },
      params: { offset: attrs.offset, last: attrs.count - 1 },
      count: axes.R,
    }),
  ],
  gradient: "stop",
  reference: ({ average, value, rates, guard: [skip, skipped] }, { attrs }) => {
    const rate = rates[attrs.offset + Math.min(skipped, attrs.count - 1)];
    return { average: skip !== 0 ? average : average.map((old, i) => old + rate * (value[i] - old)) };
  },
  flops: ({ axes }) => 3 * axes.R,
});

const exchangeOp = defineOp({
  name: "exchange",
  inputs: { a: "*R", b: "*R" },
  updates: ["a", "b"],
  outputs: () => ({}),
  dispatches: ({ inputs: { a, b }, axes }) => [
    flatDispatch("exchange", exchangeSource, { tensors: { a, b }, count: axes.R }),
  ],
  gradient: "stop",
  reference: ({ a, b }) => ({ a: b.slice(), b: a.slice() }),
});

/**
 * `average += rate · (value − average)`, in place.
 *
 * @param tensors.rates What to move by, by how many updates were skipped.
 * @param tensors.guard What marks updates to skip (`update_guard.ts`), or resident zeros.
 */
export function moveAverage(
  g: Graph,
  tensors: Record<"average" | "value" | "rates" | "guard", Tensor>,
  { offset = 0, count = 1 }: AverageRates = {},
): void {
  if (offset < 0 || count < 1 || offset + count > tensors.rates.shape[0]) {
    throw new RangeError(
      `Cannot record moveAverage: ${count} rates must lie in "rates" from element ${offset}, current shape is [${tensors.rates.shape}]`,
    );
  }
  g.record(moveAverageOp, tensors, { offset, count });
}

/** Exchanges the values of two resident f32 tensors, to the bit. */
export function exchange(g: Graph, a: Tensor, b: Tensor): void {
  g.record(exchangeOp, { a, b });
}
