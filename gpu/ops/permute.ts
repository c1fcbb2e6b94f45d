/** Axes in another order. Gradient: dx overwrites. */

import source from "./permute.wgsl" with { type: "text" };
import type { Graph, Tensor } from "../graph.ts";
import { sizeOf } from "../graph.ts";
import { defineOp, recordOne } from "../op.ts";
import { flatDispatch } from "./_dispatch.ts";

/** The most axes of a tensor. */
const MOST_AXES = 4;

/** Axis `order[i]` of x becomes axis i. */
type PermuteAttrs = {
  order: readonly number[];
  /** Axis of x that runs backwards; null: none. */
  reverse: number | null;
};

const permuteOp = defineOp<PermuteAttrs>({
  name: "permute",
  inputs: { x: "*R" },
  attrs: { order: [0], reverse: null },
  outputs: ({ inputs: { x }, attrs: { order } }) => ({
    out: { shape: order.map((axis) => x.shape[axis]), dtype: x.dtype },
  }),
  dispatches: ({ inputs: { x }, outputs: { out }, attrs }) => {
    const { first, sizes, strides } = placesOf(x.shape, attrs);
    return [
      flatDispatch("permute", source, {
        tensors: { x, out },
        params: { first, sizes, strides },
        count: sizeOf(out.shape),
      }),
    ];
  },
  gradient: ({ g, grads, attrs: { order, reverse } }) => ({
    x: permute(g, grads.out, order.map((_, axis) => order.indexOf(axis)), {
      reverse: reverse === null ? null : order.indexOf(reverse),
    }),
  }),
  reference: ({ x }, { inputs, attrs }) => {
    const { first, sizes: [, b, c, d], strides } = placesOf(inputs.x.shape, attrs);
    const places = (
      i: number,
    ) => [Math.floor(i / (b * c * d)), Math.floor(i / (c * d)) % b, Math.floor(i / d) % c, i % d];
    return {
      out: x.map((_, i) => x[places(i).reduce((at, place, axis) => at + place * strides[axis], first)]),
    };
  },
});

/** Axes of the result and their strides in x, filled up to four in front; and the element of x with which the result begins. */
function placesOf(
  shape: readonly number[],
  { order, reverse }: PermuteAttrs,
): { first: number; sizes: number[]; strides: number[] } {
  const strideOf = (axis: number) => sizeOf(shape.slice(axis + 1)) * (axis === reverse ? -1 : 1);
  const missing = Array<number>(MOST_AXES - order.length);
  return {
    first: reverse === null ? 0 : (shape[reverse] - 1) * -strideOf(reverse),
    sizes: [...missing.fill(1), ...order.map((axis) => shape[axis])],
    strides: [...missing.map(() => 0), ...order.map(strideOf)],
  };
}

/**
 * Axis `order[i]` of x as axis i of the result.
 *
 * @param x Of up to four axes.
 * @param options.reverse An axis of x that is turned round; none by default.
 * @example `permute(g, x, [0, 2, 1, 3])` // `[A B C D]` to `[A C B D]`
 */
export function permute(
  g: Graph,
  x: Tensor,
  order: readonly number[],
  options: { reverse?: number | null } = {},
): Tensor {
  const { reverse = null } = options, axes = x.shape.length;
  if (
    axes > MOST_AXES || order.length !== axes || new Set(order).size !== axes ||
    order.some((axis) => !(axis in x.shape))
  ) {
    throw new RangeError(
      `Cannot permute "${x.label}": the order must name each of up to ${MOST_AXES} axes once, current order is [${order}] for shape [${x.shape}]`,
    );
  }
  return recordOne(g, permuteOp, { x }, { order, reverse });
}

/** Columns as rows, for small matrices; products take their operands transposed without it. `[R C]` to `[C R]`. */
export function transpose(g: Graph, x: Tensor): Tensor {
  return permute(g, x, [1, 0]);
}
