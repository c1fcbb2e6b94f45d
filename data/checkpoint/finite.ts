/** Looking for NaN and infinities in stored tensors, by their bits. */
import { type Dtype, isFloat } from "./dtype.ts";

/** What is not finite in a tensor. */
export interface NonFinite {
  /** Of the first, from 0. */
  readonly element: number;
  readonly value: "NaN" | "infinite";
  readonly count: number;
  /** Of all elements. */
  readonly of: number;
}

/** Finds what is NaN or infinite. @returns null where every value is finite, and for types that are no floats. */
export function findNonFinite(bytes: Uint8Array, dtype: Dtype): NonFinite | null {
  if (!isFloat(dtype)) return null;
  const aligned = bytes.byteOffset % 8 === 0 ? bytes : bytes.slice();
  const view = <A>(Words: new (buffer: ArrayBufferLike, at: number, count: number) => A, size: number) =>
    new Words(aligned.buffer, aligned.byteOffset, aligned.byteLength / size);
  switch (dtype) {
    case "F16":
      return find(view(Uint16Array, 2), { exponent: 0x7c00, fraction: 0x3ff });
    case "BF16":
      return find(view(Uint16Array, 2), { exponent: 0x7f80, fraction: 0x7f });
    case "F32":
      return find(view(Uint32Array, 4), { exponent: 0x7f800000, fraction: 0x7fffff });
    case "F64":
      return findInDoubles(view(Float64Array, 8));
  }
}

function find(
  words: Uint16Array | Uint32Array,
  { exponent, fraction }: { exponent: number; fraction: number },
): NonFinite | null {
  let first = -1, count = 0;
  for (let i = 0; i < words.length; i++) {
    if ((words[i] & exponent) !== exponent) continue;
    if (count++ === 0) first = i;
  }
  if (count === 0) return null;
  const value = (words[first] & fraction) !== 0 ? "NaN" : "infinite";
  return { element: first, value, count, of: words.length };
}

function findInDoubles(values: Float64Array): NonFinite | null {
  const first = values.findIndex((value) => !Number.isFinite(value));
  if (first < 0) return null;
  const count = values.reduce((sum, value) => sum + (Number.isFinite(value) ? 0 : 1), 0);
  return {
    element: first,
    value: Number.isNaN(values[first]) ? "NaN" : "infinite",
    count,
    of: values.length,
  };
}

/** The same in words: `tensor "fc.weight" must be finite, current value is NaN at element 3 (64 of 256 are not)`. */
export function describeNonFinite(name: string, { element, value, count, of }: NonFinite): string {
  const share = `${count} of ${of} ${count === 1 ? "is" : "are"} not finite`;
  return `tensor "${name}" must be finite, current value is ${value} at element ${element} (${share})`;
}
