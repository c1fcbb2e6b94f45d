/**
 * How far every value lies below the largest of itself and its two neighbours in time, half of it averaged over channels:
 * the motion signal of the TDS-CLIP gate (spec tds-clip §3.2).
 *
 * Gradient: dx overwrites. Of equal neighbours the earliest counts as the maximum, as in the reference's max pool.
 */

import source from "./temporal_deficit.wgsl" with { type: "text" };
import sourceDx from "./temporal_deficit_dx.wgsl" with { type: "text" };
import type { Graph, Tensor } from "../graph.ts";
import { defineOp, type OpContext, recordOne } from "../op.ts";
import { flatDispatch } from "./_dispatch.ts";

const WG_SIZE = 64;

const temporalDeficitOp = defineOp({
  name: "temporalDeficit",
  inputs: { x: "B T P C" },
  outputs: ({ inputs }) => ({ out: { shape: inputs.x.shape, dtype: inputs.x.dtype } }),
  dispatches: ({ inputs, outputs, axes }) => [
    flatDispatch("temporalDeficit", source, {
      tensors: { x: inputs.x, out: outputs.out },
      params: sizesOf(axes),
      count: axes.B * axes.T * axes.P,
      wgSize: WG_SIZE,
    }),
  ],
  gradient: ({ g, inputs, grads }) => ({ x: recordOne(g, dxOp, { x: inputs.x, dOut: grads.out }) }),
  reference: ({ x }, { axes }) => {
    const deficit = x.map((value, i) => value - x[maximumAt(x, i, axes)]);
    return { out: mixChannels(deficit, axes.C) };
  },
  flops: ({ axes }) => 6 * axes.B * axes.T * axes.P * axes.C,
});

const dxOp = defineOp({
  name: "temporalDeficitDx",
  inputs: { x: "B T P C", dOut: "B T P C" },
  outputs: ({ inputs }) => ({ out: { shape: inputs.x.shape, dtype: inputs.dOut.dtype } }),
  dispatches: ({ inputs, outputs, axes }) => [
    flatDispatch("temporalDeficit.backward", sourceDx, {
      tensors: { x: inputs.x, dout: inputs.dOut, dx: outputs.out },
      params: sizesOf(axes),
      count: axes.B * axes.T * axes.P,
      wgSize: WG_SIZE,
    }),
  ],
  gradient: "none",
  reference: ({ x, dOut }, { axes }) => {
    const out = mixChannels(dOut, axes.C); // the mix is its own transpose
    mixChannels(dOut, axes.C).forEach((flow, i) => out[maximumAt(x, i, axes)] -= flow);
    return { out };
  },
  flops: ({ axes }) => 20 * axes.B * axes.T * axes.P * axes.C,
});

/**
 * `out = ½ d + ½ mean over channels of d`, with `d[t] = x[t] − max(x[t − 1], x[t], x[t + 1])`; neighbours outside of the
 * clip do not count.
 *
 * @param x `[B T P C]`
 */
export function temporalDeficit(g: Graph, x: Tensor): Tensor {
  return recordOne(g, temporalDeficitOp, { x });
}

const sizesOf = ({ T, P, C }: OpContext["axes"]) => ({ frames: T, positions: P, channels: C });

/** Where the largest of x[t − 1], x[t], x[t + 1] stands: the first one that nothing after it exceeds. */
function maximumAt(x: Float64Array, i: number, { T, P, C }: OpContext["axes"]): number {
  const frame = P * C, t = Math.floor(i / frame) % T;
  const candidates = [...(t > 0 ? [i - frame] : []), i, ...(t + 1 < T ? [i + frame] : [])];
  return candidates.reduce((best, at) => (x[at] > x[best] ? at : best));
}

function mixChannels(values: Float64Array, C: number): Float64Array {
  const means = new Float64Array(values.length / C);
  values.forEach((value, i) => means[Math.floor(i / C)] += value / C);
  return values.map((value, i) => 0.5 * value + 0.5 * means[Math.floor(i / C)]);
}
