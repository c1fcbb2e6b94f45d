/**
 * AdamW and the clipping of gradients by their global norm, on flat memory. They are the update of a step and stop
 * differentiation.
 */

import adamwSource from "./adamw.wgsl" with { type: "text" };
import clipSource from "./clip_factor.wgsl" with { type: "text" };
import rootSource from "./root_of_sum.wgsl" with { type: "text" };
import squaresSource from "./sum_squares.wgsl" with { type: "text" };
import type { Graph, Tensor } from "../graph.ts";
import { defineOp, recordOne } from "../op.ts";
import { flatDispatch } from "./_dispatch.ts";

/** Partial sums of a norm: enough invocations to fill a GPU, few enough for one last workgroup. */
const MAX_PARTIALS = 16384;

/** Floats of one group of step constants in the `hyper` tensor of `adamw`. */
export const ADAMW_HYPER_LENGTH = 8;

/** The step constants of a parameter group. */
export interface AdamwHyper {
  lr: number;
  beta1: number;
  beta2: number;
  eps: number;
  weightDecay: number;
  /** Number of this step, counted from 1. */
  step: number;
  /** Factor on the gradient, such as 1 / (number of accumulated micro-batches). Default 1. */
  gradScale?: number;
}

/** Where the step constants of a group lie in `hyper`, in elements. */
export interface HyperPlace {
  hyperOffset?: number;
  hyperStride?: number;
  hyperRows?: number;
}

/** The values that `adamw` reads from its `hyper` tensor, in their order. */
export function packAdamwHyper(hyper: AdamwHyper): Float32Array {
  const { lr, beta1, beta2, eps, weightDecay, step, gradScale = 1 } = hyper;
  return Float32Array.of(lr, beta1, beta2, eps, weightDecay, 1 - beta1 ** step, 1 - beta2 ** step, gradScale);
}

const adamwOp = defineOp({
  name: "adamw",
  inputs: { param: "*R", grad: "*R", m: "*R", v: "*R", hyper: "H", clip: "1", guard: "G" },
  attrs: { hyperOffset: 0, hyperStride: 0, hyperRows: 1 },
  updates: ["param", "m", "v"],
  outputs: () => ({}),
  dispatches: ({ inputs, axes, attrs }) => [
    flatDispatch("adamw", adamwSource, {
      tensors: {
        param: inputs.param,
        grad: inputs.grad,
        m: inputs.m,
        v: inputs.v,
        hyper: inputs.hyper,
        clip: inputs.clip,
        guard: inputs.guard,
      },
      params: {
        hyper_offset: attrs.hyperOffset,
        hyper_stride: attrs.hyperStride,
        hyper_last: (attrs.hyperRows - 1) * attrs.hyperStride,
      },
      count: axes.R,
    }),
  ],
  gradient: "stop",
  reference: (arrays, { attrs }) => {
    const [skip, skipped] = arrays.guard;
    const at = attrs.hyperOffset + Math.min(skipped, attrs.hyperRows - 1) * attrs.hyperStride;
    const [lr, beta1, beta2, eps, decay, correction1, correction2, gradScale] = arrays.hyper.subarray(at);
    const param = arrays.param.slice(), m = arrays.m.slice(), v = arrays.v.slice();
    if (skip !== 0) return { param, m, v };
    for (let i = 0; i < param.length; i++) {
      const gradient = arrays.grad[i] * gradScale * arrays.clip[0];
      param[i] *= 1 - lr * decay;
      m[i] = beta1 * m[i] + (1 - beta1) * gradient;
      v[i] = beta2 * v[i] + (1 - beta2) * gradient * gradient;
      param[i] -= lr / correction1 * m[i] / (Math.sqrt(v[i]) / Math.sqrt(correction2) + eps);
    }
    return { param, m, v };
  },
  flops: ({ axes }) => 16 * axes.R,
});

const gradNormOp = defineOp({
  name: "gradNorm",
  inputs: { grad: "*R" },
  outputs: ({ axes }) => ({
    out: { shape: [1] },
    partials: { shape: [Math.min(axes.R, MAX_PARTIALS)], auxiliary: true },
  }),
  dispatches: ({ inputs, outputs, axes }) => {
    const count = outputs.partials.shape[0];
    return [
      flatDispatch("gradNorm.squares", squaresSource, {
        tensors: { grad: inputs.grad, partials: outputs.partials },
        params: { size: axes.R },
        count,
        wgSize: 64,
      }),
      {
        label: "gradNorm.root",
        source: rootSource,
        tensors: [outputs.partials, outputs.out],
        params: { size: count },
        grid: [1, 1, 1],
      },
    ];
  },
  gradient: "stop",
  reference: ({ grad }) => {
    const partials = new Float64Array(Math.min(grad.length, MAX_PARTIALS));
    grad.forEach((value, i) => partials[i % partials.length] += value * value);
    return { out: Float64Array.of(Math.sqrt(partials.reduce((a, b) => a + b))), partials };
  },
  flops: ({ axes }) => 2 * axes.R,
});

const clipFactorOp = defineOp({
  name: "clipFactor",
  inputs: { norm: "1" },
  attrs: { maxNorm: 1 },
  outputs: () => ({ out: { shape: [1] } }),
  dispatches: ({ inputs, outputs, attrs }) => [{
    label: "clipFactor",
    source: clipSource,
    tensors: [inputs.norm, outputs.out],
    params: { max_norm: attrs.maxNorm },
    grid: [1, 1, 1],
  }],
  gradient: "stop",
  reference: ({ norm }, { attrs }) => ({
    out: Float64Array.of(Math.min(1, attrs.maxNorm / (norm[0] + 1e-6))),
  }),
});

/**
 * One step of AdamW in the order of `torch.optim.AdamW`; `param`, `m` and `v` are updated in place.
 *
 * @param tensors.hyper Resident f32 values of `packAdamwHyper`, one after another for all groups.
 * @param tensors.clip `[1]`, a factor on the gradient (`clipFactor`, or a resident 1).
 * @param tensors.guard What marks updates to skip (`update_guard.ts`), or resident zeros.
 * @param options.hyperOffset Where this group's constants start in `hyper`, in elements.
 * @param options.hyperRows Sets of constants of all groups, for 0, 1, … updates that were skipped. Default 1.
 * @param options.hyperStride Elements of such a set.
 */
export function adamw(
  g: Graph,
  tensors: { param: Tensor; grad: Tensor; m: Tensor; v: Tensor; hyper: Tensor; clip: Tensor; guard: Tensor },
  options: HyperPlace = {},
): void {
  const { hyperOffset = 0, hyperStride = 0, hyperRows = 1 } = options;
  const last = hyperOffset + (hyperRows - 1) * hyperStride;
  if (hyperOffset < 0 || last + ADAMW_HYPER_LENGTH > tensors.hyper.shape[0]) {
    throw new RangeError(
      `Cannot record adamw: ${ADAMW_HYPER_LENGTH} step constants must lie in "hyper" from element ${last}, current shape is [${tensors.hyper.shape}]`,
    );
  }
  g.record(adamwOp, { ...tensors }, { hyperOffset, hyperStride, hyperRows });
}

/** Euclidean norm of all elements, `[1]`. The norm of several norms, concatenated, is the norm of everything. */
export function gradNorm(g: Graph, grad: Tensor): Tensor {
  return recordOne(g, gradNormOp, { grad });
}

/** `min(1, maxNorm / (norm + 1e-6))`, `[1]`, as `torch.nn.utils.clip_grad_norm_`. */
export function clipFactor(g: Graph, norm: Tensor, maxNorm: number): Tensor {
  return recordOne(g, clipFactorOp, { norm }, { maxNorm });
}
