/**
 * AdamW, BertAdam and the clipping of gradients by their global norm, on flat memory. They are the update of a step and stop
 * differentiation.
 */

import adamwSource from "./adamw.wgsl" with { type: "text" };
import bertAdamSource from "./bert_adam.wgsl" with { type: "text" };
import clipSource from "./clip_factor.wgsl" with { type: "text" };
import rootSource from "./root_of_sum.wgsl" with { type: "text" };
import squaresSource from "./sum_squares.wgsl" with { type: "text" };
import type { Graph, Tensor } from "../graph.ts";
import { defineOp, type Op, recordOne } from "../op.ts";
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

/** Floats of one group of step constants in the `hyper` tensor of `bertAdam`. */
export const BERT_ADAM_HYPER_LENGTH = 6;

/** The step constants of a parameter group: those of AdamW, but for the number of the step. */
export type BertAdamHyper = Omit<AdamwHyper, "step">;

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

/** The values that `bertAdam` reads from its `hyper` tensor, in their order. */
export function packBertAdamHyper(hyper: BertAdamHyper): Float32Array {
  const { lr, beta1, beta2, eps, weightDecay, gradScale = 1 } = hyper;
  return Float32Array.of(lr, beta1, beta2, eps, weightDecay, gradScale);
}

/** A weight and its moments. */
interface Standing {
  param: number;
  m: number;
  v: number;
}

const adamwOp = defineUpdate("adamw", adamwSource, ({ param, m, v }, constants, grad) => {
  const [lr, beta1, beta2, eps, decay, correction1, correction2, gradScale] = constants;
  const gradient = grad * gradScale;
  param *= 1 - lr * decay;
  m = beta1 * m + (1 - beta1) * gradient;
  v = beta2 * v + (1 - beta2) * gradient * gradient;
  return { param: param - lr / correction1 * m / (Math.sqrt(v) / Math.sqrt(correction2) + eps), m, v };
});

const bertAdamOp = defineUpdate("bertAdam", bertAdamSource, ({ param, m, v }, constants, grad) => {
  const [lr, beta1, beta2, eps, decay, gradScale] = constants;
  const gradient = grad * gradScale;
  m = beta1 * m + (1 - beta1) * gradient;
  v = beta2 * v + (1 - beta2) * gradient * gradient;
  return { param: param - lr * (m / (Math.sqrt(v) + eps) + decay * param), m, v };
});

/** An op that updates weights and two moments in place. @param update One element, with its clipped gradient. */
function defineUpdate(
  name: string,
  source: string,
  update: (standing: Standing, constants: Float64Array, grad: number) => Standing,
): Op<Required<HyperPlace>> {
  return defineOp({
    name,
    inputs: { param: "*R", grad: "*R", m: "*R", v: "*R", hyper: "H", clip: "1", guard: "G" },
    attrs: { hyperOffset: 0, hyperStride: 0, hyperRows: 1 },
    updates: ["param", "m", "v"],
    outputs: () => ({}),
    dispatches: ({ inputs: { param, grad, m, v, hyper, clip, guard }, axes, attrs }) => [
      flatDispatch(name, source, {
        tensors: { param, grad, m, v, hyper, clip, guard },
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
      const constants = arrays.hyper.subarray(at);
      const param = arrays.param.slice(), m = arrays.m.slice(), v = arrays.v.slice();
      if (skip !== 0) return { param, m, v };
      for (let i = 0; i < param.length; i++) {
        const standing = { param: param[i], m: m[i], v: v[i] };
        const after = update(standing, constants, arrays.grad[i] * arrays.clip[0]);
        [param[i], m[i], v[i]] = [after.param, after.m, after.v];
      }
      return { param, m, v };
    },
    flops: ({ axes }) => 16 * axes.R,
  });
}

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
export function adamw(g: Graph, tensors: UpdateTensors, options: HyperPlace = {}): void {
  recordUpdate(g, adamwOp, { tensors, place: options, length: ADAMW_HYPER_LENGTH });
}

/**
 * One step of BertAdam: `m` and `v` as in Adam but without bias correction, `u = m / (√v + eps) + weight decay · param`,
 * `param −= lr · u`. In place, as `adamw`, with the values of `packBertAdamHyper`.
 */
export function bertAdam(g: Graph, tensors: UpdateTensors, options: HyperPlace = {}): void {
  recordUpdate(g, bertAdamOp, { tensors, place: options, length: BERT_ADAM_HYPER_LENGTH });
}

/** What an update reads and writes, by the names of `adamw`. */
type UpdateTensors = Record<"param" | "grad" | "m" | "v" | "hyper" | "clip" | "guard", Tensor>;

function recordUpdate(
  g: Graph,
  op: Op<Required<HyperPlace>>,
  { tensors, place, length }: { tensors: UpdateTensors; place: HyperPlace; length: number },
): void {
  const { hyperOffset = 0, hyperStride = 0, hyperRows = 1 } = place;
  const last = hyperOffset + (hyperRows - 1) * hyperStride;
  if (hyperOffset < 0 || last + length > tensors.hyper.shape[0]) {
    throw new RangeError(
      `Cannot record ${op.name}: ${length} step constants must lie in "hyper" from element ${last}, current shape is [${tensors.hyper.shape}]`,
    );
  }
  g.record(op, tensors, { hyperOffset, hyperStride, hyperRows });
}

/** Euclidean norm of all elements, `[1]`. The norm of several norms, concatenated, is the norm of everything. */
export function gradNorm(g: Graph, grad: Tensor): Tensor {
  return recordOne(g, gradNormOp, { grad });
}

/** `min(1, maxNorm / (norm + 1e-6))`, `[1]`, as `torch.nn.utils.clip_grad_norm_`. */
export function clipFactor(g: Graph, norm: Tensor, maxNorm: number): Tensor {
  return recordOne(g, clipFactorOp, { norm }, { maxNorm });
}
