/** Rows divided by their Euclidean norm. Gradient: dx overwrites and reads the saved result and norms. */

import source from "./l2_normalize.wgsl" with { type: "text" };
import sourceDx from "./l2_normalize_dx.wgsl" with { type: "text" };
import type { Graph, Tensor } from "../graph.ts";
import { defineOp, recordOne } from "../op.ts";
import { rowDispatch } from "./_dispatch.ts";

const l2NormalizeOp = defineOp({
  name: "l2Normalize",
  inputs: { x: "*R C" },
  outputs: ({ inputs, axes }) => ({
    out: { shape: inputs.x.shape, dtype: inputs.x.dtype },
    norm: { shape: [axes.R], auxiliary: true },
  }),
  dispatches: ({ inputs, outputs, axes, environment }) => [
    rowDispatch("l2Normalize", source, {
      tensors: { x: inputs.x, out: outputs.out, norm: outputs.norm },
      rows: axes.R,
      columns: axes.C,
      environment,
    }),
  ],
  gradient: ({ g, outputs, grads }) => ({
    x: recordOne(g, dxOp, { y: outputs.out, norm: outputs.norm, dOut: grads.out }),
  }),
  reference: ({ x }, { axes: { R, C } }) => {
    const out = new Float64Array(x.length), norm = new Float64Array(R);
    for (let r = 0; r < R; r++) {
      for (let i = r * C; i < (r + 1) * C; i++) norm[r] += x[i] * x[i];
      norm[r] = Math.sqrt(norm[r]);
      for (let i = r * C; i < (r + 1) * C; i++) out[i] = x[i] / norm[r];
    }
    return { out, norm };
  },
  flops: ({ axes }) => 3 * axes.R * axes.C,
});

const dxOp = defineOp({
  name: "l2NormalizeDx",
  inputs: { y: "*R C", norm: "R", dOut: "*R C" },
  outputs: ({ inputs }) => ({ out: { shape: inputs.y.shape, dtype: inputs.dOut.dtype } }),
  dispatches: ({ inputs, outputs, axes, environment }) => [
    rowDispatch("l2Normalize.backward", sourceDx, {
      tensors: { y: inputs.y, norm: inputs.norm, dout: inputs.dOut, dx: outputs.out },
      rows: axes.R,
      columns: axes.C,
      environment,
    }),
  ],
  gradient: "none",
  reference: ({ y, norm, dOut }, { axes: { R, C } }) => {
    const out = new Float64Array(y.length);
    for (let r = 0; r < R; r++) {
      let sum = 0;
      for (let i = r * C; i < (r + 1) * C; i++) sum += y[i] * dOut[i];
      for (let i = r * C; i < (r + 1) * C; i++) out[i] = (dOut[i] - y[i] * sum) / norm[r];
    }
    return { out };
  },
  flops: ({ axes }) => 5 * axes.R * axes.C,
});

/** `x / ‖x‖` over the last axis, as `x / x.norm(dim=-1, keepdim=True)`: a row of zeros gives NaN there and here. */
export function l2Normalize(g: Graph, x: Tensor): Tensor {
  return recordOne(g, l2NormalizeOp, { x });
}
