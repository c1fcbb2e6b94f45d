/** Softmax over the last axis, of all places or of those that a mask keeps. Gradient: dx overwrites and reads the saved result. */

import maskedSource from "./masked_softmax.wgsl" with { type: "text" };
import source from "./softmax.wgsl" with { type: "text" };
import sourceDx from "./softmax_dx.wgsl" with { type: "text" };
import type { Graph, Tensor } from "../graph.ts";
import { defineOp, recordOne } from "../op.ts";
import { rowDispatch } from "./_dispatch.ts";

const softmaxOp = defineOp({
  name: "softmax",
  inputs: { x: "*R C" },
  outputs: ({ inputs }) => ({ out: { shape: inputs.x.shape, dtype: inputs.x.dtype } }),
  dispatches: ({ inputs, outputs, axes, environment }) => [
    rowDispatch("softmax", source, {
      tensors: { x: inputs.x, out: outputs.out },
      rows: axes.R,
      columns: axes.C,
      environment,
    }),
  ],
  gradient: ({ g, outputs, grads }) => ({ x: recordOne(g, dxOp, { y: outputs.out, dOut: grads.out }) }),
  reference: ({ x }, { axes: { R, C } }) => {
    const out = new Float64Array(x.length);
    for (let r = 0; r < R; r++) {
      const row = x.subarray(r * C, (r + 1) * C), largest = Math.max(...row);
      let sum = 0;
      for (const value of row) sum += Math.exp(value - largest);
      for (let c = 0; c < C; c++) out[r * C + c] = Math.exp(row[c] - largest) / sum;
    }
    return { out };
  },
  flops: ({ axes }) => 6 * axes.R * axes.C,
});

const maskedSoftmaxOp = defineOp({
  name: "maskedSoftmax",
  inputs: { x: "*R C", mask: "*R C" },
  outputs: ({ inputs }) => ({ out: { shape: inputs.x.shape, dtype: inputs.x.dtype } }),
  dispatches: ({ inputs, outputs, axes, environment }) => [
    rowDispatch("maskedSoftmax", maskedSource, {
      tensors: { x: inputs.x, mask: inputs.mask, out: outputs.out },
      rows: axes.R,
      columns: axes.C,
      environment,
    }),
  ],
  gradient: ({ g, outputs, grads }) => ({ x: recordOne(g, dxOp, { y: outputs.out, dOut: grads.out }) }),
  reference: ({ x, mask }, { axes: { R, C } }) => {
    const out = new Float64Array(x.length);
    for (let r = 0; r < R; r++) {
      let largest = -Infinity, sum = 0;
      const kept = Array.from({ length: C }, (_, c) => r * C + c).filter((i) => mask[i] !== 0);
      for (const i of kept) largest = Math.max(largest, x[i]);
      for (const i of kept) sum += Math.exp(x[i] - largest);
      for (const i of kept) out[i] = Math.exp(x[i] - largest) / sum;
    }
    return { out };
  },
  flops: ({ axes }) => 5 * axes.R * axes.C,
});

const dxOp = defineOp({
  name: "softmaxDx",
  inputs: { y: "*R C", dOut: "*R C" },
  outputs: ({ inputs }) => ({ out: { shape: inputs.y.shape, dtype: inputs.dOut.dtype } }),
  dispatches: ({ inputs, outputs, axes, environment }) => [
    rowDispatch("softmax.backward", sourceDx, {
      tensors: { y: inputs.y, dout: inputs.dOut, dx: outputs.out },
      rows: axes.R,
      columns: axes.C,
      environment,
    }),
  ],
  gradient: "none",
  reference: ({ y, dOut }, { axes: { R, C } }) => {
    const out = new Float64Array(y.length);
    for (let r = 0; r < R; r++) {
      let sum = 0;
      for (let i = r * C; i < (r + 1) * C; i++) sum += y[i] * dOut[i];
      for (let i = r * C; i < (r + 1) * C; i++) out[i] = y[i] * (dOut[i] - sum);
    }
    return { out };
  },
  flops: ({ axes }) => 4 * axes.R * axes.C,
});

/** `exp(x) / Σ exp(x)` over the last axis, safe for any size of values. */
export function softmax(g: Graph, x: Tensor): Tensor {
  return recordOne(g, softmaxOp, { x });
}

/**
 * Softmax over the places of the last axis where `mask` is not 0, as if the others were −∞: they get 0 and no gradient. A row
 * without any is all 0. The mask, of x's shape, is a constant.
 */
export function maskedSoftmax(g: Graph, x: Tensor, mask: Tensor): Tensor {
  return recordOne(g, maskedSoftmaxOp, { x, mask });
}
