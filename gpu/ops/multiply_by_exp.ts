/** Multiplication by the exponential of a trained number, CLIP's `logit_scale`. Gradients overwrite. */

import source from "./multiply_by_exp.wgsl" with { type: "text" };
import type { Graph, Tensor } from "../graph.ts";
import { defineOp, recordOne } from "../op.ts";
import { flatDispatch } from "./_dispatch.ts";
import { productOverRows } from "./linear.ts";
import { reshape } from "./views.ts";

const multiplyByExpOp = defineOp({
  name: "multiplyByExp",
  inputs: { x: "*R", s: "" },
  outputs: ({ inputs }) => ({ out: { shape: inputs.x.shape, dtype: inputs.x.dtype } }),
  dispatches: ({ inputs: { x, s }, outputs: { out }, axes }) => [
    flatDispatch("multiplyByExp", source, { tensors: { x, s, out }, count: axes.R }),
  ],
  gradient: ({ g, inputs, outputs, grads, needs }) => {
    const column = (x: Tensor) => reshape(g, x, [-1, 1]);
    return {
      x: needs("x") ? multiplyByExp(g, grads.out, inputs.s) : undefined,
      // The result is its own derivative by s.
      s: needs("s")
        ? reshape(g, productOverRows(g, column(grads.out), column(outputs.out)), inputs.s.shape)
        : undefined,
    };
  },
  reference: ({ x, s }) => ({ out: x.map((value) => value * Math.exp(s[0])) }),
  flops: ({ axes }) => 2 * axes.R,
});

/** `x · exp(s)`, elementwise. @param s One number, `[]`. */
export function multiplyByExp(g: Graph, x: Tensor, s: Tensor): Tensor {
  return recordOne(g, multiplyByExpOp, { x, s });
}
