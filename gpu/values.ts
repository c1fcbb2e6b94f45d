/** Values of tensors to bytes of their storage type, and back. */

import { sizeOf, type Tensor } from "./graph.ts";
import { fromHalfArray, toHalfArray } from "../lib/half.ts";

/**
 * Values as the bytes of a tensor's storage type, padded to WebGPU's four bytes.
 *
 * @throws {RangeError} when there are more or fewer values than the shape has.
 */
export function encodeValues(
  tensor: Tensor,
  values: Float32Array | Uint32Array | Uint16Array,
): Uint8Array<ArrayBuffer> {
  const count = sizeOf(tensor.shape);
  if (values.length !== count) {
    throw new RangeError(
      `Cannot write "${tensor.label}": shape [${tensor.shape}] must be given ${count} values, current count is ${values.length}`,
    );
  }
  const typed = tensor.dtype === "f16" && values instanceof Float32Array ? toHalfArray(values) : values;
  const bytes = new Uint8Array(typed.buffer as ArrayBuffer, typed.byteOffset, typed.byteLength);
  if (bytes.byteLength % 4 === 0) return bytes;
  const padded = new Uint8Array(Math.ceil(bytes.byteLength / 4) * 4);
  padded.set(bytes);
  return padded;
}

/** The values of a tensor from its bytes, as f32; whole numbers too. */
export function valuesOf(
  { dtype }: Pick<Tensor, "dtype">,
  { buffer }: Uint8Array<ArrayBuffer>,
): Float32Array<ArrayBuffer> {
  switch (dtype) {
    case "f32":
      return new Float32Array(buffer);
    case "f16":
      return fromHalfArray(new Uint16Array(buffer));
    case "u32":
      return Float32Array.from(new Uint32Array(buffer));
  }
}
