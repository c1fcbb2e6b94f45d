/**
 * Conversions between 32-bit floats and the two 16-bit storage formats, IEEE binary16 ("half", F16) and bfloat16 (BF16).
 * Narrowing rounds to nearest, ties to even, as PyTorch and GPUs do; widening is exact. Subnormals, infinities and NaN
 * are kept.
 */

const scratchFloat = new Float32Array(1);
const scratchBits = new Uint32Array(scratchFloat.buffer);

/** Bits of the half nearest to `value` (ties to even; beyond ±65504 by more than half a step: infinity). */
export function floatToHalf(value: number): number {
  scratchFloat[0] = value;
  return halfFromBits(scratchBits[0]);
}

/** The value of a half given by its 16 bits. */
export function halfToFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >>> 10) & 0x1f, fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

function halfFromBits(word: number): number {
  const sign = (word >>> 16) & 0x8000, magnitude = word & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00 | ((magnitude >>> 13) & 0x3ff); // NaN stays a (quiet) NaN
  if (magnitude >= 0x477ff000) return sign | 0x7c00; // 65520, half-way to the next step, and above
  if (magnitude >= 0x38800000) { // normal halves: 2^-14 and above
    return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
  }
  if (magnitude <= 0x33000000) return sign; // 2^-25 is a tie between 0 and the smallest subnormal: even is 0
  const shift = 126 - (magnitude >>> 23); // 14 … 24: aligns the significand to units of 2^-24
  const significand = (magnitude & 0x7fffff) | 0x800000;
  const kept = significand >>> shift, dropped = significand & ((1 << shift) - 1), tie = 1 << (shift - 1);
  return sign | (dropped > tie || (dropped === tie && (kept & 1)) ? kept + 1 : kept);
}

/** Bits of the bfloat16 nearest to `value` (ties to even). */
export function floatToBfloat16(value: number): number {
  scratchFloat[0] = value;
  return bfloat16FromBits(scratchBits[0]);
}

function bfloat16FromBits(word: number): number {
  if ((word & 0x7fffffff) > 0x7f800000) return (word >>> 16) | 0x40;
  return ((word + 0x7fff + ((word >>> 16) & 1)) >>> 16) & 0xffff;
}

/** The value of a bfloat16 given by its 16 bits. */
export function bfloat16ToFloat(bits: number): number {
  scratchBits[0] = bits << 16;
  return scratchFloat[0];
}

/** Halves from floats, element by element. */
export function toHalfArray(values: Float32Array): Uint16Array<ArrayBuffer> {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(words.length);
  for (let i = 0; i < words.length; i++) out[i] = halfFromBits(words[i]);
  return out;
}

let halfTable: Float32Array | undefined; // all 65536 values: a look-up is several times faster than the arithmetic

/** Floats from halves, element by element. */
export function fromHalfArray(bits: Uint16Array): Float32Array<ArrayBuffer> {
  halfTable ??= Float32Array.from({ length: 0x10000 }, (_, word) => halfToFloat(word));
  const out = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) out[i] = halfTable[bits[i]];
  return out;
}

/** Bfloat16 from floats, element by element. */
export function toBfloat16Array(values: Float32Array): Uint16Array<ArrayBuffer> {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(words.length);
  for (let i = 0; i < words.length; i++) out[i] = bfloat16FromBits(words[i]);
  return out;
}

/** Floats from bfloat16, element by element. */
export function fromBfloat16Array(bits: Uint16Array): Float32Array<ArrayBuffer> {
  const words = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) words[i] = bits[i] << 16;
  return new Float32Array(words.buffer);
}
