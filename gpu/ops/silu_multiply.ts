/**
 * The gate of SwiGLU (Shazeer 2020, arXiv 2002.05202): silu(gate) · x, elementwise. Gradients overwrite and read both
 * saved inputs.
 */

import source from "./silu_multiply.wgsl" with { type: "text" };
import sourceDx from "./silu_multiply_dx.wgsl" with { type: "text" };
import type { Graph, Tensor } from "../graph.ts";
import { defineOp, recordOne } from "../op.ts";
import { flatDispatch } from "./_dispatch.ts";
import { sigmoid } from "./activation_functions.ts";

const siluMultiplyDxOp = defineOp({
  name: "siluMultiplyDx",
  inputs: { gate: "*R", x: "*R", dout: "*R" },
  outputs: ({ inputs: { gate, x, dout } }) => ({
    dgate: { shape: gate.shape, dtype: dout.dtype },
    dx: { shape: x.shape, dtype: dout.dtype },
  }),
  dispatches: ({ inputs: { gate, x, dout }, outputs: { dgate, dx }, axes }) => [
    flatDispatch("siluMultiply.backward", sourceDx, {
      tensors: { gate, x, dout, dgate, dx },
      count: axes.R,
    }),
  ],
  gradient: "none",
  reference: ({ gate, x, dout }) => ({
    dgate: gate.map((z, i) => dout[i] * x[i] * sigmoid(z) * (1 + z * sigmoid(-z))),
    dx: gate.map((z, i) => dout[i] * z * sigmoid(z)),
  }),
  flops: ({ axes }) => 16 * axes.R,
});

const siluMultiplyOp = defineOp({
  name: "siluMultiply",
  inputs: { gate: "*R", x: "*R" },
  outputs: ({ inputs }) => ({ out: { shape: inputs.x.shape, dtype: inputs.x.dtype } }),
  dispatches: ({ inputs: { gate, x }, outputs: { out }, axes }) => [
    flatDispatch("siluMultiply", source, { tensors: { gate, x, out }, count: axes.R }),
  ],
  gradient: ({ g, inputs: { gate, x }, grads, needs }) => {
    const { dgate, dx } = g.record(siluMultiplyDxOp, { gate, x, dout: grads.out });
    return { gate: needs("gate") ? dgate : undefined, x: needs("x") ? dx : undefined };
  },
  reference: ({ gate, x }) => ({ out: gate.map((z, i) => z * sigmoid(z) * x[i]) }),
  flops: ({ axes }) => 8 * axes.R,
});

/** `gate · sigmoid(gate) · x`, for tensors of one shape. */
export function siluMultiply(g: Graph, gate: Tensor, x: Tensor): Tensor {
  return recordOne(g, siluMultiplyOp, { gate, x });
}
