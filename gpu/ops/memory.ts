/**
 * Moving elements: copies and sums into resident memory, bounds on it, constants, conversion of storage types, and slices, padding
 * and concatenation along any axis. Gradients overwrite: a slice's is padding, a concatenation's are slices.
 */

import accumulateSource from "./accumulate.wgsl" with { type: "text" };
import clampMaxSource from "./clamp_max.wgsl" with { type: "text" };
import copyAxisSource from "./copy_axis.wgsl" with { type: "text" };
import fillSource from "./fill.wgsl" with { type: "text" };
import padSource from "./pad_axis.wgsl" with { type: "text" };
import scaleSource from "./scale.wgsl" with { type: "text" };
import type { Dtype, Graph, Tensor } from "../graph.ts";
import { bytesOf, sizeOf } from "../graph.ts";
import { defineOp, type Dispatch, recordOne } from "../op.ts";
import { flatDispatch } from "./_dispatch.ts";
import { reshape } from "./views.ts";

const MAX_PARTS = 16;

const copyIntoOp = defineOp({
  name: "copyInto",
  inputs: { src: "*R", dst: "*R" },
  updates: ["dst"],
  outputs: () => ({}),
  dispatches: ({ inputs }) => [copyAll(inputs.src, inputs.dst)],
  gradient: "stop",
  reference: ({ src }) => ({ dst: src.slice() }),
});

const accumulateIntoOp = defineOp({
  name: "accumulateInto",
  inputs: { src: "*R", dst: "*R" },
  attrs: { factor: 1 },
  updates: ["dst"],
  outputs: () => ({}),
  dispatches: ({ inputs, axes, attrs }) => [
    flatDispatch("accumulateInto", accumulateSource, {
      tensors: { src: inputs.src, dst: inputs.dst },
      params: { factor: attrs.factor },
      count: axes.R,
    }),
  ],
  gradient: "stop",
  reference: ({ src, dst }, { attrs }) => ({
    dst: dst.map((value, i) => value + attrs.factor * src[i]),
  }),
  flops: ({ axes }) => 2 * axes.R,
});

const fillOp = defineOp({
  name: "fill",
  inputs: { dst: "*R" },
  attrs: { value: 0 },
  updates: ["dst"],
  outputs: () => ({}),
  dispatches: ({ inputs, attrs }) => [fillAll(inputs.dst, attrs.value)],
  gradient: "stop",
  reference: ({ dst }, { attrs }) => ({ dst: dst.map(() => attrs.value) }),
});

const clampMaxOp = defineOp({
  name: "clampMax",
  inputs: { dst: "*R" },
  attrs: { limit: 0 },
  updates: ["dst"],
  outputs: () => ({}),
  dispatches: ({ inputs, axes, attrs }) => [
    flatDispatch("clampMax", clampMaxSource, {
      tensors: { dst: inputs.dst },
      params: { limit: attrs.limit },
      count: axes.R,
    }),
  ],
  gradient: "stop",
  reference: ({ dst }, { attrs }) => ({ dst: dst.map((value) => value > attrs.limit ? attrs.limit : value) }),
});

const zerosOp = defineOp<{ shape: readonly number[]; dtype: Dtype }>({
  name: "zeros",
  inputs: {},
  attrs: { shape: [1], dtype: "f32" },
  outputs: ({ attrs }) => ({ out: { shape: attrs.shape, dtype: attrs.dtype } }),
  dispatches: ({ outputs }) => [fillAll(outputs.out, 0)],
  gradient: "stop",
  reference: (_, { attrs }) => ({ out: new Float64Array(sizeOf(attrs.shape)) }),
});

const castOp = defineOp<{ dtype: Dtype }>({
  name: "cast",
  inputs: { x: "*R" },
  attrs: { dtype: "f32" },
  outputs: ({ inputs, attrs }) => ({ out: { shape: inputs.x.shape, dtype: attrs.dtype } }),
  dispatches: ({ inputs, outputs }) => [copyAll(inputs.x, outputs.out)],
  gradient: ({ g, inputs, grads }) => ({ x: cast(g, grads.out, inputs.x.dtype) }),
  reference: ({ x }) => ({ out: x }),
});

/** A range of an axis. */
export const sliceOp = defineOp({
  name: "slice",
  inputs: { x: "*R" },
  attrs: { axis: 0, start: 0, length: 1 },
  outputs: ({ inputs, attrs }) => ({
    out: {
      shape: inputs.x.shape.with(attrs.axis, attrs.length),
      dtype: inputs.x.dtype,
    },
  }),
  dispatches: ({ inputs, outputs, attrs }) => [
    copyRange(inputs.x, outputs.out, {
      axis: attrs.axis,
      from: attrs.start,
      to: 0,
      length: attrs.length,
    }),
  ],
  bytes: ({ outputs }) => 2 * bytesOf(outputs.out),
  gradient: ({ g, inputs, grads, attrs }) => {
    const { axis, start: before } = attrs;
    const after = inputs.x.shape[axis] - before - attrs.length;
    return { x: pad(g, grads.out, { axis, before, after }) };
  },
  reference: ({ x }, { inputs, attrs, outputs }) => {
    const out = new Float64Array(sizeOf(outputs.out.shape));
    copyRangeReference(x, out, {
      shapes: [inputs.x.shape, outputs.out.shape],
      axis: attrs.axis,
      from: attrs.start,
      to: 0,
      length: attrs.length,
    });
    return { out };
  },
});

type PadAttrs = { axis: number; before: number; after: number };

const padOp = defineOp({
  name: "pad",
  inputs: { x: "*R" },
  attrs: { axis: 0, before: 0, after: 0 },
  outputs: ({ inputs, attrs }) => ({
    out: { shape: paddedShape(inputs.x.shape, attrs), dtype: inputs.x.dtype },
  }),
  dispatches: ({ inputs, outputs, attrs }) => {
    const { axis } = attrs;
    const inner = sizeOf(inputs.x.shape.slice(axis + 1));
    return [
      flatDispatch("pad", padSource, {
        tensors: { x: inputs.x, out: outputs.out },
        params: {
          x_length: inputs.x.shape[axis] * inner,
          out_length: outputs.out.shape[axis] * inner,
          before: attrs.before * inner,
        },
        count: sizeOf(outputs.out.shape),
      }),
    ];
  },
  gradient: ({ g, inputs, grads, attrs }) => {
    const { axis } = attrs;
    return {
      x: slice(g, grads.out, { axis, start: attrs.before, length: inputs.x.shape[axis] }),
    };
  },
  reference: ({ x }, { inputs, attrs, outputs }) => {
    const out = new Float64Array(sizeOf(outputs.out.shape)), axis = attrs.axis;
    copyRangeReference(x, out, {
      shapes: [inputs.x.shape, outputs.out.shape],
      axis,
      from: 0,
      to: attrs.before,
      length: inputs.x.shape[axis],
    });
    return { out };
  },
});

const concatOp = defineOp({
  name: "concat",
  inputs: Object.fromEntries(Array.from({ length: MAX_PARTS }, (_, i) => [`x${i}?`, `*R${i}`])),
  attrs: { axis: 0 },
  outputs: ({ inputs, attrs }) => {
    const parts = Object.values(inputs), axis = attrs.axis;
    const length = parts.reduce((sum, part) => sum + part.shape[axis], 0);
    return { out: { shape: parts[0].shape.with(axis, length), dtype: parts[0].dtype } };
  },
  dispatches: ({ inputs, outputs, attrs }) =>
    placesOf(inputs, attrs).map(({ part, axis, start, length }) =>
      copyRange(part, outputs.out, { axis, from: 0, to: start, length })
    ),
  gradient: ({ g, inputs, grads, attrs, needs }) =>
    Object.fromEntries(
      placesOf(inputs, attrs).map(({ name, axis, start, length }) => [
        name,
        needs(name) ? slice(g, grads.out, { axis, start, length }) : undefined,
      ]),
    ),
  reference: (arrays, { inputs, attrs, outputs }) => {
    const out = new Float64Array(sizeOf(outputs.out.shape));
    for (const { name, part, axis, start, length } of placesOf(inputs, attrs)) {
      copyRangeReference(arrays[name], out, {
        shapes: [part.shape, outputs.out.shape],
        axis,
        from: 0,
        to: start,
        length,
      });
    }
    return { out };
  },
});

/** Copies `src` into resident memory, converted to its storage type. */
export function copyInto(g: Graph, src: Tensor, dst: Tensor): void {
  g.record(copyIntoOp, { src, dst });
}

/** `dst += factor · src`, for resident `dst`. */
export function accumulateInto(
  g: Graph,
  src: Tensor,
  options: { dst: Tensor; factor?: number },
): void {
  g.record(accumulateIntoOp, { src, dst: options.dst }, { factor: options.factor ?? 1 });
}

/** Sets every element of resident `dst`. */
export function fill(g: Graph, dst: Tensor, value: number): void {
  g.record(fillOp, { dst }, { value });
}

/** Brings every element of resident `dst` that is above `limit` down to it. */
export function clampMaxInPlace(g: Graph, dst: Tensor, limit: number): void {
  g.record(clampMaxOp, { dst }, { limit });
}

/** A value of zeros. */
export function zeros(g: Graph, shape: readonly number[], dtype: Dtype = "f32"): Tensor {
  return recordOne(g, zerosOp, {}, { shape, dtype });
}

/** The same values in another storage type; `x` itself when it has it already. */
export function cast(g: Graph, x: Tensor, dtype: Dtype): Tensor {
  return x.dtype === dtype ? x : recordOne(g, castOp, { x }, { dtype });
}

/** A copy of the places `start … start + length` of one axis. */
export function slice(
  g: Graph,
  x: Tensor,
  options: { axis: number; start: number; length: number },
): Tensor {
  const { axis, start, length } = options;
  if (!(axis in x.shape) || start < 0 || length < 1 || start + length > x.shape[axis]) {
    throw new RangeError(
      `Cannot slice "${x.label}": places ${start} to ${
        start + length
      } of axis ${axis} must exist, current shape is [${x.shape}]`,
    );
  }
  return length === x.shape[axis] ? x : recordOne(g, sliceOp, { x }, { ...options });
}

/** Zeros before and after on one axis. */
export function pad(
  g: Graph,
  x: Tensor,
  options: { axis: number; before?: number; after?: number },
): Tensor {
  const { axis, before = 0, after = 0 } = options;
  return before === 0 && after === 0 ? x : recordOne(g, padOp, { x }, { axis, before, after });
}

/** The elements of `x`, flat, between `before` and `after` zeros. */
export function padRows(g: Graph, x: Tensor, options: { before?: number; after?: number }): Tensor {
  return pad(g, reshape(g, x, [-1]), { axis: 0, ...options });
}

/** Tensors one after another along one axis; all other axes must agree. */
export function concat(g: Graph, parts: readonly Tensor[], axis: number): Tensor {
  if (parts.length < 1 || parts.length > MAX_PARTS) {
    throw new RangeError(
      `Cannot concatenate: 1 to ${MAX_PARTS} tensors must be given, current number is ${parts.length}`,
    );
  }
  const shape = parts[0].shape;
  for (const part of parts) {
    if (!(axis in part.shape) || part.shape.with(axis, 1).join() !== shape.with(axis, 1).join()) {
      throw new RangeError(
        `Cannot concatenate along axis ${axis}: "${part.label}" must agree with [${shape}] on the others, current shape is [${part.shape}]`,
      );
    }
  }
  if (parts.length === 1) return parts[0];
  return recordOne(g, concatOp, Object.fromEntries(parts.map((part, i) => [`x${i}`, part])), { axis });
}

/** Tensors one after another along the leading axis. */
export function concatRows(g: Graph, parts: readonly Tensor[]): Tensor {
  return concat(g, parts, 0);
}

function copyAll(x: Tensor, out: Tensor): Dispatch {
  return flatDispatch("copy", scaleSource, {
    tensors: { x, out },
    params: { factor: 1 },
    count: sizeOf(out.shape),
  });
}

/** The launch that sets every element. */
export function fillAll(out: Tensor, value: number): Dispatch {
  return flatDispatch("fill", fillSource, {
    tensors: { out },
    params: { value },
    count: sizeOf(out.shape),
  });
}

/** A copy of `length` places of one axis, from place `from` of x to place `to` of out. */
interface AxisRange {
  axis: number;
  from: number;
  to: number;
  length: number;
}

/** The launch that copies a range of one axis. */
export function copyRange(x: Tensor, out: Tensor, { axis, from, to, length }: AxisRange): Dispatch {
  const inner = sizeOf(x.shape.slice(axis + 1));
  return flatDispatch("copyAxis", copyAxisSource, {
    tensors: { x, out },
    params: {
      run: length * inner,
      x_length: x.shape[axis] * inner,
      out_length: out.shape[axis] * inner,
      from_x: from * inner,
      to_out: to * inner,
    },
    count: sizeOf(x.shape.slice(0, axis)) * length * inner,
  });
}

function copyRangeReference(
  x: Float64Array,
  out: Float64Array,
  range: AxisRange & { shapes: [readonly number[], readonly number[]] },
): void {
  const { axis, from, to, length, shapes: [xShape, outShape] } = range;
  const inner = sizeOf(xShape.slice(axis + 1));
  for (let outer = 0; outer < sizeOf(xShape.slice(0, axis)); outer++) {
    for (let j = 0; j < length * inner; j++) {
      out[(outer * outShape[axis] + to) * inner + j] = x[(outer * xShape[axis] + from) * inner + j];
    }
  }
}

function paddedShape(shape: readonly number[], attrs: PadAttrs): number[] {
  const { axis } = attrs;
  return shape.with(axis, shape[axis] + attrs.before + attrs.after);
}

/** Where each part of a concatenation lies on the axis. */
function placesOf(inputs: Readonly<Record<string, Tensor>>, attrs: { axis: number }) {
  const { axis } = attrs;
  let end = 0;
  return Object.entries(inputs).map(([name, part]) => {
    const start = end;
    end += part.shape[axis];
    return { name, part, axis, start, length: part.shape[axis] };
  });
}
