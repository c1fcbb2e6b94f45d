/**
 * Differences between channels a fixed distance apart. On pictures packed one after the other along the channel axis this
 * is the difference of each picture and the one before it.
 *
 * Gradient: dx overwrites; a channel gets what flows into it as the later one minus what flows into it as the earlier one.
 */

import source from "./channel_difference.wgsl" with { type: "text" };
import type { Graph, Tensor } from "../graph.ts";
import { sizeOf } from "../graph.ts";
import { defineOp, recordOne } from "../op.ts";
import { flatDispatch } from "./_dispatch.ts";
import { add } from "./add.ts";
import { pad } from "./memory.ts";

const channelDifferenceOp = defineOp({
  name: "channelDifference",
  inputs: { x: "F C H W" },
  attrs: { lag: 1 },
  outputs: ({ inputs, axes: { F, C, H, W }, attrs }) => ({
    out: { shape: [F, C - attrs.lag, H, W], dtype: inputs.x.dtype },
  }),
  dispatches: ({ inputs, outputs, axes: { C, H, W }, attrs }) => {
    const lag = attrs.lag;
    return [
      flatDispatch("channelDifference", source, {
        tensors: { x: inputs.x, out: outputs.out },
        params: { x_frame: C * H * W, out_frame: (C - lag) * H * W, lag: lag * H * W },
        count: sizeOf(outputs.out.shape),
      }),
    ];
  },
  gradient: ({ g, grads, attrs }) => {
    const lag = attrs.lag;
    const later = pad(g, grads.out, { axis: 1, before: lag }),
      earlier = pad(g, grads.out, { axis: 1, after: lag });
    return { x: add(g, later, earlier, { beta: -1 }) };
  },
  reference: ({ x }, { axes: { F, C, H, W }, attrs }) => {
    const lag = attrs.lag * H * W, frame = C * H * W, kept = frame - lag;
    const out = new Float64Array(F * kept);
    for (let f = 0; f < F; f++) {
      for (let i = 0; i < kept; i++) out[f * kept + i] = x[f * frame + i + lag] - x[f * frame + i];
    }
    return { out };
  },
  flops: ({ outputs }) => sizeOf(outputs.out.shape),
});

/**
 * `out[f, c] = x[f, c + lag] − x[f, c]`.
 *
 * @param x `[F C H W]`
 * @param options.lag From 1 to C − 1.
 * @returns `[F C−lag H W]`
 */
export function channelDifference(g: Graph, x: Tensor, options: { lag: number }): Tensor {
  const { lag } = options;
  if (!Number.isInteger(lag) || lag < 1 || lag >= x.shape[1]) {
    throw new RangeError(
      `Cannot record channelDifference: lag must be 1 to ${x.shape[1] - 1}, current value is ${lag}`,
    );
  }
  return recordOne(g, channelDifferenceOp, { x }, { lag });
}
