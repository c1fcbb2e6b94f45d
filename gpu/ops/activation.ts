/** GELU, QuickGELU and ReLU, elementwise. Gradients overwrite and read the saved input. */

import geluSource from "./gelu.wgsl" with { type: "text" };
import quickGeluSource from "./quick_gelu.wgsl" with { type: "text" };
import quickGeluDxSource from "./quick_gelu_dx.wgsl" with { type: "text" };
import reluSource from "./relu.wgsl" with { type: "text" };
import type { Graph, Node, Tensor } from "../graph.ts";
import { defineOp, type NoAttrs, type Op, recordOne } from "../op.ts";
import { flatDispatch } from "./_dispatch.ts";
import { ACTIVATIONS } from "./activation_functions.ts";

const OPS_OF = {
  gelu: defineActivation("gelu", {
    forward: { source: geluSource, entryPoint: "forward" },
    backward: { source: geluSource, entryPoint: "backward" },
  }),
  quickGelu: defineActivation("quickGelu", {
    forward: { source: quickGeluSource },
    backward: { source: quickGeluDxSource },
  }),
  relu: defineActivation("relu", {
    forward: { source: reluSource, entryPoint: "forward" },
    backward: { source: reluSource, entryPoint: "backward" },
  }),
} as const;

/** Exact GELU, `x/2 (1 + erf(x/√2))`. */
export function gelu(g: Graph, x: Tensor): Tensor {
  return recordOne(g, OPS_OF.gelu.op, { x });
}

/** CLIP's QuickGELU, `x · sigmoid(1.702 x)`. */
export function quickGelu(g: Graph, x: Tensor): Tensor {
  return recordOne(g, OPS_OF.quickGelu.op, { x });
}

/** `max(x, 0)`. */
export function relu(g: Graph, x: Tensor): Tensor {
  return recordOne(g, OPS_OF.relu.op, { x });
}

/** Which activation a node is a use of, or of which the gradient; null: of none. */
export function activationOf(
  node: Node,
): { activation: keyof typeof ACTIVATIONS; isGradient: boolean } | null {
  for (const activation of ["gelu", "quickGelu", "relu"] as const) {
    const { op, dxOp } = OPS_OF[activation];
    if (node.op === op || node.op === dxOp) return { activation, isGradient: node.op === dxOp };
  }
  return null;
}

/** Each activation as an op of its own. */
export const ACTIVATION_OPS = { gelu, quickGelu, relu } as const;

interface Kernel {
  source: string;
  entryPoint?: string;
}

function defineActivation(
  name: keyof typeof ACTIVATIONS,
  kernels: { forward: Kernel; backward: Kernel },
): { op: Op<NoAttrs>; dxOp: Op<NoAttrs> } {
  const { forward, backward } = kernels, { value, slope } = ACTIVATIONS[name];
  const dxOp = defineOp({
    name: `${name}Dx`,
    inputs: { x: "*R", dOut: "*R" },
    outputs: ({ inputs }) => ({ out: { shape: inputs.x.shape, dtype: inputs.dOut.dtype } }),
    overwrites: { out: ["dOut"] },
    dispatches: ({ inputs: { x, dOut }, outputs: { out }, axes }) => [
      flatDispatch(`${name}.backward`, backward.source, {
        tensors: { x, out, dout: dOut },
        entryPoint: backward.entryPoint,
        count: axes.R,
      }),
    ],
    gradient: "none",
    reference: ({ x, dOut }) => ({ out: x.map((each, i) => slope(each) * dOut[i]) }),
    flops: ({ axes }) => 16 * axes.R,
  });
  const op = defineOp({
    name,
    inputs: { x: "*R" },
    outputs: ({ inputs }) => ({ out: { shape: inputs.x.shape, dtype: inputs.x.dtype } }),
    dispatches: ({ inputs: { x }, outputs: { out }, axes }) => [
      flatDispatch(name, forward.source, {
        tensors: { x, out },
        entryPoint: forward.entryPoint,
        count: axes.R,
      }),
    ],
    gradient: ({ g, inputs, grads }) => ({ x: recordOne(g, dxOp, { x: inputs.x, dOut: grads.out }) }),
    reference: ({ x }) => ({ out: x.map(value) }),
    flops: ({ axes }) => 12 * axes.R,
  });
  return { op, dxOp };
}
