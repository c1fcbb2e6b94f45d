/**
 * Conversions between 32-bit floats and the two 16-bit storage formats, IEEE binary16 ("half", F16) and bfloat16 (BF16).
 * Narrowing rounds to nearest, ties to even, as PyTorch and GPUs do; widening is exact. Subnormals and infinities are
 * kept. Which bits of a NaN a runtime keeps is its own affair, so they are set here: a NaN narrows to a quiet one with
 * its sign and upper bits, and widens to the plain one.
 */

const scratchFloat = new Float32Array(1);
const scratchBits = new Uint32Array(scratchFloat.buffer);
const scratchHalf = new Float16Array(1);
const scratchHalfBits = new Uint16Array(scratchHalf.buffer);

/** Bits of the half nearest to `value`, which is first rounded to 32 bits (beyond ±65504 by half a step: infinity). */
export function floatToHalf(value: number): number {
  scratchFloat[0] = value;
  scratchHalf[0] = scratchFloat[0];
  return Number.isNaN(value) ? halfOfNaN(scratchBits[0]) : scratchHalfBits[0];
}

/** The value of a half given by its 16 bits. */
export function halfToFloat(bits: number): number {
  scratchHalfBits[0] = bits;
  return scratchHalf[0];
}

function halfOfNaN(word: number): number {
  return (word >>> 16) & 0x8000 | 0x7e00 | (word >>> 13) & 0x3ff;
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
  const out = new Uint16Array(new Float16Array(values).buffer);
  if (values.includes(NaN)) {
    const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
    for (let i = 0; i < out.length; i++) if (Number.isNaN(values[i])) out[i] = halfOfNaN(words[i]);
  }
  return out;
}

/** Floats from halves, element by element. */
export function fromHalfArray(bits: Uint16Array): Float32Array<ArrayBuffer> {
  const out = new Float32Array(new Float16Array(bits.buffer, bits.byteOffset, bits.length));
  if (out.includes(NaN)) { for (let i = 0; i < out.length; i++) if (Number.isNaN(out[i])) out[i] = NaN; }
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
