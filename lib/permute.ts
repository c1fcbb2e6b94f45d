/** Transposes of plain arrays: recorded values and ours differ in the order of their axes. */

/** Values of a tensor with its axes permuted: axis i of the result is axis `order[i]` of the source. */
export function permute(
  values: Float32Array,
  shape: readonly number[],
  order: readonly number[],
): Float32Array {
  const strides = shape.map((_, i) => shape.slice(i + 1).reduce((a, b) => a * b, 1));
  const outShape = order.map((axis) => shape[axis]), outStrides = order.map((axis) => strides[axis]);
  const out = new Float32Array(values.length), index = new Array(order.length).fill(0);
  let at = 0;
  for (let i = 0; i < out.length; i++) {
    out[i] = values[at];
    for (let axis = order.length - 1; axis >= 0; axis--) {
      at += outStrides[axis];
      if (++index[axis] < outShape[axis]) break;
      at -= outStrides[axis] * outShape[axis];
      index[axis] = 0;
    }
  }
  return out;
}
