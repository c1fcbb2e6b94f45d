/**
 * Shift of class tokens over time: half of the channels come from the next frame, the others from the frame before, so
 * that a frame never sees its own token. Frames past the ends are zero.
 *
 * Gradient: dx overwrites, the shift with both directions swapped.
 */

import source from "./token_shift.wgsl" with { type: "text" };
import type { Graph, Tensor } from "../graph.ts";
import { defineOp, recordOne } from "../op.ts";
import { flatDispatch } from "./_dispatch.ts";

const tokenShiftOp = defineOp({
  name: "tokenShift",
  inputs: { x: "B T D" },
  attrs: { reverse: false },
  outputs: ({ inputs }) => ({ out: { shape: inputs.x.shape, dtype: inputs.x.dtype } }),
  dispatches: ({ inputs, outputs, axes, attrs }) => [
    flatDispatch("tokenShift", source, {
      tensors: { x: inputs.x, out: outputs.out },
      params: {
        frames: axes.T,
        channels: axes.D,
        split: Math.floor(axes.D / 2),
        reverse: attrs.reverse ? 1 : 0,
      },
      count: axes.B * axes.T * axes.D,
    }),
  ],
  gradient: ({ g, grads, attrs }) => ({
    x: tokenShift(g, grads.out, { reverse: !attrs.reverse }),
  }),
  reference: ({ x }, { axes, attrs }) => ({ out: shiftTokens(x, axes, attrs.reverse) }),
});

/**
 * `out[b, t, 0:f] = x[b, t + 1, 0:f]`, `out[b, t, f:] = x[b, t − 1, f:]` with `f = ⌊D/2⌋`.
 *
 * @param x `[B T D]`
 * @param options.reverse Swaps the two directions, which is the transposed map.
 */
export function tokenShift(g: Graph, x: Tensor, options: { reverse?: boolean } = {}): Tensor {
  return recordOne(g, tokenShiftOp, { x }, { ...options });
}

/** The definition, in plain loops. */
export function shiftTokens(
  x: Float64Array,
  { B, T, D }: Readonly<Record<string, number>>,
  reverse = false,
): Float64Array {
  const out = new Float64Array(x.length);
  for (let b = 0; b < B; b++) {
    for (let t = 0; t < T; t++) {
      for (let d = 0; d < D; d++) {
        const source = (d < Math.floor(D / 2)) !== reverse ? t + 1 : t - 1;
        if (source >= 0 && source < T) out[(b * T + t) * D + d] = x[(b * T + source) * D + d];
      }
    }
  }
  return out;
}
