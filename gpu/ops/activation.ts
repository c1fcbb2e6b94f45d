/** GELU and QuickGELU, elementwise. Gradients overwrite and read the saved input. */

import geluSource from "./gelu.wgsl" with { type: "text" };
import geluDxSource from "./gelu_dx.wgsl" with { type: "text" };
import quickGeluSource from "./quick_gelu.wgsl" with { type: "text" };
import quickGeluDxSource from "./quick_gelu_dx.wgsl" with { type: "text" };
import type { Graph, Tensor } from "../graph.ts";
import { defineOp, type NoAttrs, type Op, recordOne } from "../op.ts";
import { flatDispatch } from "./_dispatch.ts";
import { erf } from "./_erf.ts";

const sigmoid = (z: number) => 1 / (1 + Math.exp(-z));

const geluOp = defineActivation({
  name: "gelu",
  source: geluSource,
  sourceDx: geluDxSource,
  value: (x) => 0.5 * x * (1 + erf(x / Math.SQRT2)),
  slope: (x) => 0.5 * (1 + erf(x / Math.SQRT2)) + x * Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI),
});

const quickGeluOp = defineActivation({
  name: "quickGelu",
  source: quickGeluSource,
  sourceDx: quickGeluDxSource,
  value: (x) => x * sigmoid(1.702 * x),
  slope: (x) => sigmoid(1.702 * x) * (1 + 1.702 * x * sigmoid(-1.702 * x)),
});

/** Exact GELU, `x/2 (1 + erf(x/√2))`. */
export function gelu(g: Graph, x: Tensor): Tensor {
  return recordOne(g, geluOp, { x });
}

/** CLIP's QuickGELU, `x · sigmoid(1.702 x)`. */
export function quickGelu(g: Graph, x: Tensor): Tensor {
  return recordOne(g, quickGeluOp, { x });
}

function defineActivation(activation: {
  name: string;
  source: string;
  sourceDx: string;
  value: (x: number) => number;
  slope: (x: number) => number;
}): Op<NoAttrs> {
  const { name, source, sourceDx, value, slope } = activation;
  const backward = defineOp({
    name: `${name}Dx`,
    inputs: { x: "*R", dOut: "*R" },
    outputs: ({ inputs }) => ({ out: { shape: inputs.x.shape, dtype: inputs.dOut.dtype } }),
    dispatches: ({ inputs, outputs, axes }) => [
      flatDispatch(`${name}.backward`, sourceDx, {
        tensors: { x: inputs.x, dout: inputs.dOut, dx: outputs.out },
        count: axes.R,
      }),
    ],
    gradient: "none",
    reference: ({ x, dOut }) => ({ out: x.map((each, i) => slope(each) * dOut[i]) }),
    flops: ({ axes }) => 16 * axes.R,
  });
  return defineOp({
    name,
    inputs: { x: "*R" },
    outputs: ({ inputs }) => ({ out: { shape: inputs.x.shape, dtype: inputs.x.dtype } }),
    dispatches: ({ inputs, outputs, axes }) => [
      flatDispatch(name, source, { tensors: { x: inputs.x, out: outputs.out }, count: axes.R }),
    ],
    gradient: ({ g, inputs, grads }) => ({ x: recordOne(g, backward, { x: inputs.x, dOut: grads.out }) }),
    reference: ({ x }) => ({ out: x.map(value) }),
    flops: ({ axes }) => 12 * axes.R,
  });
}
