/**
 * A gate around one: x is scaled by ½ + sigmoid(logit), from a half to one and a half; what comes in beside it is added.
 *
 * Gradients overwrite and read the saved inputs.
 */

import source from "./sigmoid_gate.wgsl" with { type: "text" };
import sourceDx from "./sigmoid_gate_dx.wgsl" with { type: "text" };
import type { Graph, Tensor } from "../graph.ts";
import { defineOp, recordOne } from "../op.ts";
import { flatDispatch } from "./_dispatch.ts";
import { sigmoid } from "./activation_functions.ts";

const sigmoidGateOp = defineOp({
  name: "sigmoidGate",
  inputs: { x: "*R", logit: "*R", "residual?": "*R" },
  outputs: ({ inputs }) => ({ out: { shape: inputs.x.shape, dtype: inputs.x.dtype } }),
  dispatches: ({ inputs: { x, logit, residual }, outputs: { out }, axes }) => [
    flatDispatch("sigmoidGate", source, {
      // Without a residual its binding must hold something; x serves, and is not read.
      tensors: { x, logit, residual: residual ?? x, out },
      params: { with_residual: residual ? 1 : 0 },
      count: axes.R,
    }),
  ],
  gradient: ({ g, inputs: { x, logit }, grads, needs }) => {
    const { dx, dlogit } = g.record(sigmoidGateDxOp, { x, logit, dout: grads.out });
    return {
      x: needs("x") ? dx : undefined,
      logit: needs("logit") ? dlogit : undefined,
      residual: needs("residual") ? grads.out : undefined,
    };
  },
  reference: ({ x, logit, residual }) => ({
    out: x.map((value, i) => value * (0.5 + sigmoid(logit[i])) + (residual?.[i] ?? 0)),
  }),
  flops: ({ axes }) => 8 * axes.R,
});

const sigmoidGateDxOp = defineOp({
  name: "sigmoidGateDx",
  inputs: { x: "*R", logit: "*R", dout: "*R" },
  outputs: ({ inputs: { x, logit, dout } }) => ({
    dx: { shape: x.shape, dtype: dout.dtype },
    dlogit: { shape: logit.shape, dtype: dout.dtype },
  }),
  dispatches: ({ inputs: { x, logit, dout }, outputs: { dx, dlogit }, axes }) => [
    flatDispatch("sigmoidGate.backward", sourceDx, {
      tensors: { x, logit, dout, dx, dlogit },
      count: axes.R,
    }),
  ],
  gradient: "none",
  reference: ({ x, logit, dout }) => ({
    dx: dout.map((flow, i) => flow * (0.5 + sigmoid(logit[i]))),
    dlogit: dout.map((flow, i) => flow * x[i] * sigmoid(logit[i]) * sigmoid(-logit[i])),
  }),
  flops: ({ axes }) => 12 * axes.R,
});

/** `x · (½ + sigmoid(logit)) + residual`, for tensors of one shape. */
export function sigmoidGate(
  g: Graph,
  x: Tensor,
  logit: Tensor,
  options: { residual?: Tensor } = {},
): Tensor {
  return recordOne(g, sigmoidGateOp, { x, logit, residual: options.residual });
}
