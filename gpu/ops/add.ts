/** Weighted sum of two tensors of one shape. */

import source from "./add.wgsl" with { type: "text" };
import scaleSource from "./scale.wgsl" with { type: "text" };
import type { Dtype, Graph, Tensor } from "../graph.ts";
import { bytesOf, sizeOf } from "../graph.ts";
import { defineOp, grid1d, recordOne } from "../op.ts";
import { floatType } from "./_dispatch.ts";

const WG_SIZE = 256;

/** `alpha * x + beta * y`. */
export const addOp = defineOp<{ alpha: number; beta: number; dtype?: Dtype }>({
  name: "add",
  inputs: { x: "*R", y: "*R" },
  attrs: { alpha: 1, beta: 1 },
  outputs: ({ inputs, attrs }) => ({
    out: { shape: inputs.x.shape, dtype: attrs.dtype ?? inputs.x.dtype },
  }),
  dispatches: ({ inputs, outputs, attrs, axes }) => [{
    label: "add",
    source,
    constants: { WG_SIZE },
    aliases: {
      x_t: floatType(inputs.x),
      y_t: floatType(inputs.y),
      out_t: floatType(outputs.out),
    },
    tensors: [inputs.x, inputs.y, outputs.out],
    params: { count: axes.R, alpha: attrs.alpha, beta: attrs.beta, run: 1, row: 1, start: 0 },
    grid: grid1d(Math.ceil(axes.R / WG_SIZE)),
  }],
  gradient: ({ g, grads, attrs: { alpha, beta }, needs }) => {
    const x = needs("x") ? scale(g, grads.out, alpha) : undefined;
    const y = needs("y") ? alpha === beta && x ? x : scale(g, grads.out, beta) : undefined;
    return { x, y };
  },
  reference: ({ x, y }, { attrs }) => ({
    out: x.map((value, i) => attrs.alpha * value + attrs.beta * y[i]),
  }),
  flops: ({ axes }) => 3 * axes.R,
});

/**
 * `alpha * x + beta * y[:, start : start + run]`, x in rows of `run` elements and y in rows of `row`: a sum with a part that need not be
 * copied out first. It has no gradient: planning makes it.
 */
export const addWindowOp = defineOp<
  { alpha: number; beta: number; run: number; row: number; start: number }
>({
  name: "addWindow",
  inputs: { x: "*R", y: "*Q" },
  attrs: { alpha: 1, beta: 1, run: 1, row: 1, start: 0 },
  outputs: ({ inputs }) => ({ out: { shape: inputs.x.shape } }),
  dispatches: ({ inputs, outputs, attrs, axes }) => [{
    label: "add.windowed",
    source,
    entryPoint: "windowed",
    constants: { WG_SIZE },
    aliases: { x_t: floatType(inputs.x), y_t: floatType(inputs.y), out_t: floatType(outputs.out) },
    tensors: [inputs.x, inputs.y, outputs.out],
    params: { count: axes.R, ...attrs },
    grid: grid1d(Math.ceil(axes.R / WG_SIZE)),
  }],
  gradient: "none",
  reference: ({ x, y }, { attrs: { alpha, beta, run, row, start } }) => ({
    out: x.map((value, i) => alpha * value + beta * y[Math.floor(i / run) * row + start + i % run]),
  }),
  bytes: ({ outputs }) => 3 * bytesOf(outputs.out),
  flops: ({ axes }) => 3 * axes.R,
});

/** `alpha * x + beta * y`, elementwise; x and y have one shape. */
export function add(
  g: Graph,
  x: Tensor,
  y: Tensor,
  options: { alpha?: number; beta?: number; dtype?: Dtype } = {},
): Tensor {
  if (sizeOf(x.shape) !== sizeOf(y.shape)) {
    throw new RangeError(
      `Cannot record add: x and y must have one shape, current shapes are [${x.shape}] and [${y.shape}]`,
    );
  }
  return recordOne(g, addOp, { x, y }, { ...options });
}

/** `factor * x`; returns `x` itself when the factor is 1. */
export function scale(g: Graph, x: Tensor, factor: number): Tensor {
  return factor === 1 ? x : recordOne(g, scaleOp, { x }, { factor });
}

const scaleOp = defineOp({
  name: "scale",
  inputs: { x: "*R" },
  attrs: { factor: 1 },
  outputs: ({ inputs }) => ({ out: { shape: inputs.x.shape, dtype: inputs.x.dtype } }),
  dispatches: ({ inputs, outputs, attrs, axes }) => [{
    label: "scale",
    source: scaleSource,
    constants: { WG_SIZE },
    aliases: { x_t: floatType(inputs.x), out_t: floatType(outputs.out) },
    tensors: [inputs.x, outputs.out],
    params: { count: axes.R, factor: attrs.factor },
    grid: grid1d(Math.ceil(axes.R / WG_SIZE)),
  }],
  gradient: ({ g, grads, attrs }) => ({ x: scale(g, grads.out, attrs.factor) }),
  reference: ({ x }, { attrs }) => ({ out: x.map((value) => attrs.factor * value) }),
  flops: ({ axes }) => axes.R,
});
