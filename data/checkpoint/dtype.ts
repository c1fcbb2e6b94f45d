/** Element types of stored tensors: names as in safetensors, sizes, and conversion to 32-bit floats and back. */
import { DataError } from "../../lib/errors.ts";
import { fromBfloat16Array, fromHalfArray, toBfloat16Array, toHalfArray } from "../../lib/half.ts";
import { shorten } from "../../lib/text.ts";

/** Bytes of one element of each dtype. Those of the last line are known by their size alone: they are never converted. */
// deno-fmt-ignore
export const DTYPE_BYTES = {
  F64: 8, F32: 4, F16: 2, BF16: 2, F8_E4M3: 1, F8_E5M2: 1,
  I64: 8, I32: 4, I16: 2, I8: 1, U64: 8, U32: 4, U16: 2, U8: 1, BOOL: 1,
  C64: 8, C128: 16, F8_E4M3FNUZ: 1, F8_E5M2FNUZ: 1, F8_E8M0: 1, F6_E2M3: 0.75, F6_E3M2: 0.75, F4: 0.5,
} as const;

/** Element type of a stored tensor. */
export type Dtype = keyof typeof DTYPE_BYTES;

/** Types that hold real numbers in 16 bits or more. */
export type FloatDtype = "F64" | "F32" | "F16" | "BF16";

/** Whether a type holds real numbers in 16 bits or more. */
export function isFloat(dtype: Dtype): dtype is FloatDtype {
  return dtype === "F64" || dtype === "F32" || dtype === "F16" || dtype === "BF16";
}

/** Whether values of a type are read as 32-bit floats: not complex numbers, nor floats of 8 bits and fewer. */
export function widens(dtype: Dtype): boolean {
  return !/^(C|F8|F6|F4)/.test(dtype);
}

/** Axes of a shape; no tensor of a network has more. */
export const MAX_AXES = 16;

/** Number of elements of a shape. */
export function elementsOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/**
 * Stored bytes as 32-bit floats: narrower floats widen exactly, F64 and integers round to nearest.
 *
 * @param options.name The tensor's name, for messages.
 * @throws {DataError} for complex numbers and floats of 8 bits and fewer.
 */
export function widen(
  raw: Uint8Array,
  dtype: Dtype,
  options: { name: string; label: string },
): Float32Array<ArrayBuffer> {
  const aligned = raw.byteOffset % 8 === 0 && raw.buffer instanceof ArrayBuffer ? raw : raw.slice();
  const buffer = aligned.buffer as ArrayBuffer, start = aligned.byteOffset;
  const count = raw.byteLength / DTYPE_BYTES[dtype];
  switch (dtype) {
    case "F32":
      return new Float32Array(buffer, start, count);
    case "F16":
      return fromHalfArray(new Uint16Array(buffer, start, count));
    case "BF16":
      return fromBfloat16Array(new Uint16Array(buffer, start, count));
    case "F64":
      return Float32Array.from(new Float64Array(buffer, start, count));
    case "I64":
      return Float32Array.from(new BigInt64Array(buffer, start, count), Number);
    case "U64":
      return Float32Array.from(new BigUint64Array(buffer, start, count), Number);
    case "I32":
      return Float32Array.from(new Int32Array(buffer, start, count));
    case "U32":
      return Float32Array.from(new Uint32Array(buffer, start, count));
    case "I16":
      return Float32Array.from(new Int16Array(buffer, start, count));
    case "U16":
      return Float32Array.from(new Uint16Array(buffer, start, count));
    case "I8":
      return Float32Array.from(new Int8Array(buffer, start, count));
    case "U8":
    case "BOOL":
      return Float32Array.from(aligned);
    default:
      throw new DataError(
        `Cannot read "${options.label}": tensor "${
          shorten(options.name)
        }" must have a dtype that converts to F32, current value is ${dtype}`,
      );
  }
}

/** 32-bit floats as the bytes of a float type, rounded to nearest even. */
export function narrow(values: Float32Array, dtype: FloatDtype): Uint8Array {
  const stored = dtype === "F32"
    ? values
    : dtype === "F16"
    ? toHalfArray(values)
    : dtype === "BF16"
    ? toBfloat16Array(values)
    : Float64Array.from(values);
  return new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength);
}
