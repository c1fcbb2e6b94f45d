/**
 * Depth-wise convolution over time, zero padded so that the number of frames stays.
 *
 * Gradients overwrite. That of the weight is summed in two stages.
 */

import source from "./temporal_conv.wgsl" with { type: "text" };
import sourceDx from "./temporal_conv_dx.wgsl" with { type: "text" };
import sourceDWeight from "./temporal_conv_dweight.wgsl" with { type: "text" };
import type { Graph, Tensor } from "../graph.ts";
import { sizeOf } from "../graph.ts";
import { defineOp, type OpContext, recordOne } from "../op.ts";
import { flatDispatch } from "./_dispatch.ts";
import { columnSum, sumPartials } from "./reduce.ts";

const WG_SIZE = 64;

const temporalConvOp = defineOp({
  name: "temporalConv",
  isCheap: true,
  inputs: { x: "B T P D", weight: "D K", bias: "D" },
  outputs: ({ inputs }) => ({ out: { shape: inputs.x.shape, dtype: inputs.x.dtype } }),
  dispatches: ({ inputs, outputs, axes }) => [
    flatDispatch("temporalConv", source, {
      tensors: { x: inputs.x, weight: inputs.weight, bias: inputs.bias, out: outputs.out },
      params: sizesOf(axes),
      count: axes.B * axes.P * axes.D,
      wgSize: WG_SIZE,
    }),
  ],
  gradient: ({ g, inputs, grads, axes, needs }) => ({
    x: needs("x") ? recordOne(g, dxOp, { dOut: grads.out, weight: inputs.weight }) : undefined,
    weight: needs("weight")
      ? recordOne(g, dWeightOp, { x: inputs.x, dOut: grads.out }, { taps: axes.K })
      : undefined,
    bias: needs("bias") ? columnSum(g, grads.out) : undefined,
  }),
  reference: ({ x, weight, bias }, { axes }) => {
    const out = Float64Array.from(x, (_, i) => bias[i % axes.D]);
    forEachTap(axes, axes.K, (to, from, w) => out[to] += weight[w] * x[from]);
    return { out };
  },
  flops: ({ inputs, axes }) => 2 * axes.K * sizeOf(inputs.x.shape),
});

const dxOp = defineOp({
  name: "temporalConvDx",
  inputs: { dOut: "B T P D", weight: "D K" },
  outputs: ({ inputs }) => ({ out: { shape: inputs.dOut.shape, dtype: inputs.dOut.dtype } }),
  dispatches: ({ inputs, outputs, axes }) => [
    flatDispatch("temporalConv.backward.x", sourceDx, {
      tensors: { dout: inputs.dOut, weight: inputs.weight, dx: outputs.out },
      params: sizesOf(axes),
      count: axes.B * axes.P * axes.D,
      wgSize: WG_SIZE,
    }),
  ],
  gradient: "none",
  reference: ({ dOut, weight }, { axes }) => {
    const out = new Float64Array(dOut.length);
    forEachTap(axes, axes.K, (to, from, w) => out[from] += weight[w] * dOut[to]);
    return { out };
  },
  flops: ({ inputs, axes }) => 2 * axes.K * sizeOf(inputs.dOut.shape),
});

const dWeightOp = defineOp({
  name: "temporalConvDWeight",
  inputs: { x: "B T P D", dOut: "B T P D" },
  attrs: { taps: 3 },
  outputs: ({ axes, attrs }) => ({
    out: { shape: [axes.D, attrs.taps] },
    partials: {
      shape: [axes.B * chunksOf(axes).chunks, axes.D, attrs.taps],
      auxiliary: true,
    },
  }),
  dispatches: ({ inputs, outputs, axes, attrs }) => [
    flatDispatch("temporalConv.backward.weight", sourceDWeight, {
      tensors: { x: inputs.x, dout: inputs.dOut, partials: outputs.partials },
      params: {
        frames: axes.T,
        positions: axes.P,
        channels: axes.D,
        taps: attrs.taps,
        ...chunksOf(axes),
      },
      count: sizeOf(outputs.partials.shape),
      wgSize: WG_SIZE,
    }),
    sumPartials(outputs.partials, outputs.out),
  ],
  gradient: "none",
  reference: ({ x, dOut }, { axes, attrs }) => {
    const taps = attrs.taps, { chunks, chunk } = chunksOf(axes);
    const out = new Float64Array(axes.D * taps);
    const partials = new Float64Array(axes.B * chunks * out.length);
    forEachTap(axes, taps, (to, from, w) => {
      const product = dOut[to] * x[from];
      const clip = Math.floor(to / (axes.T * axes.P * axes.D)), p = Math.floor(to / axes.D) % axes.P;
      out[w] += product;
      partials[(clip * chunks + Math.floor(p / chunk)) * out.length + w] += product;
    });
    return { out, partials };
  },
  flops: ({ inputs, attrs }) => 2 * attrs.taps * sizeOf(inputs.x.shape),
});

/**
 * `out[b, t, p, d] = bias[d] + Σk weight[d, k] · x[b, t + k − (K − 1)/2, p, d]`, frames past the ends being zero.
 *
 * @param x `[B T P D]`
 * @param parameters.weight `[D K]` with odd K
 * @param parameters.bias `[D]`
 */
export function temporalConv(
  g: Graph,
  x: Tensor,
  parameters: { weight: Tensor; bias: Tensor },
): Tensor {
  const taps = parameters.weight.shape[1];
  if (taps % 2 !== 1) {
    throw new RangeError(`Cannot record temporalConv: axis K of weight must be odd, current size is ${taps}`);
  }
  return recordOne(g, temporalConvOp, { x, ...parameters });
}

const sizesOf = (axes: OpContext["axes"]) => ({
  frames: axes.T,
  frame: axes.P * axes.D,
  channels: axes.D,
  taps: axes.K,
});

/** Runs of positions of the first stage: a clip's frames stay together. At most about 256 partial sums a weight. */
function chunksOf({ B, P }: OpContext["axes"]): { chunks: number; chunk: number } {
  const chunk = Math.ceil(P / Math.max(1, Math.min(P, Math.floor(256 / B))));
  return { chunks: Math.ceil(P / chunk), chunk };
}

/** Calls `visit(out index, x index, weight index)` for every product of the convolution. */
function forEachTap(
  { B, T, P, D }: OpContext["axes"],
  K: number,
  visit: (to: number, from: number, weight: number) => void,
): void {
  for (let b = 0; b < B; b++) {
    for (let t = 0; t < T; t++) {
      for (let k = 0; k < K; k++) {
        const source = t + k - (K - 1) / 2;
        if (source < 0 || source >= T) continue;
        for (let p = 0; p < P; p++) {
          for (let d = 0; d < D; d++) {
            visit(((b * T + t) * P + p) * D + d, ((b * T + source) * P + p) * D + d, d * K + k);
          }
        }
      }
    }
  }
}
