/**
 * Tables of Pillow's point operations on 8-bit levels, bit for bit. The CPU reference (`data/transforms/pixel_ops.ts`) and the GPU
 * (`gpu/frames/pixel_ops.ts`) read the same ones.
 */
import type { PixelOp } from "./clip_transform.ts";

/** Levels of a channel. */
export const LEVELS = 256;
/** Differences of two levels: −255 … 255. */
export const DIFFERENCES = 511;

/** Levels below this get brighter in `solarizeAdd`. */
const SOLARIZE_ADD_BELOW = 128;

function tableOf(at: (level: number) => number): Uint8Array {
  // Values beyond the levels are clipped, not wrapped.
  return new Uint8Array(Uint8ClampedArray.from({ length: LEVELS }, (_, level) => at(level)));
}

/**
 * The table of an operation that looks at nothing but a level, `[256]`; null for the others.
 *
 * @example `pointTable({ kind: "invert" })![0] // 255`
 */
export function pointTable(op: PixelOp): Uint8Array | null {
  switch (op.kind) {
    case "invert":
      return tableOf((level) => 255 - level);
    case "posterize":
      return tableOf((level) => level & ~((1 << (8 - op.bits)) - 1));
    case "solarize":
      return tableOf((level) => level < op.threshold ? level : 255 - level);
    case "solarizeAdd":
      return tableOf((level) => level < SOLARIZE_ADD_BELOW ? level + op.amount : level);
    case "brightness": {
      const products = blendProducts(op.factor);
      return tableOf((level) => blend(products, 0, level));
    }
    default:
      return null;
  }
}

/** `factor · difference` in f32 for the differences −255 … 255. */
export function blendProducts(factor: number): Float32Array {
  const rounded = Math.fround(factor);
  return Float32Array.from({ length: DIFFERENCES }, (_, i) => rounded * (i - 255));
}

/** `from + factor · (to − from)` in f32, clipped to the levels and truncated. */
export function blend(products: Float32Array, from: number, to: number): number {
  const value = Math.fround(from + products[to - from + 255]);
  return value <= 0 ? 0 : value >= 255 ? 255 : Math.trunc(value);
}

/** Stretches the levels `lowest … highest` of a channel to all of them; the table is the identity where they are equal. */
export function autoContrastTable(lowest: number, highest: number): Uint8Array {
  if (highest <= lowest) return tableOf((level) => level);
  const scale = 255 / (highest - lowest), offset = -lowest * scale;
  return tableOf((level) => Math.trunc(level * scale + offset));
}

/** Spreads the levels of a channel so that each is about as frequent; the identity where there is nothing to spread. */
export function equalizeTable(histogram: ArrayLike<number>): Uint8Array {
  let pixels = 0, last = 0;
  for (let level = 0; level < LEVELS; level++) {
    pixels += histogram[level];
    if (histogram[level] > 0) last = histogram[level];
  }
  const step = Math.floor((pixels - last) / 255);
  if (step === 0) return tableOf((level) => level);
  let sum = Math.floor(step / 2);
  return tableOf((level) => {
    const value = Math.floor(sum / step);
    sum += histogram[level];
    return value;
  });
}

/**
 * Where `autoContrastTable` falls one short of exact arithmetic. `255 (level − lowest) / (highest − lowest)` is a whole
 * number at `lowest + j · range / g`, `g` the greatest common divisor of 255 and the range; there the f64 expression may
 * come out just below it. One bit for every range, lowest level and j from 1 to g.
 */
export interface AutoContrastBits {
  /** `[256]`: first bit of a range; those of lowest level l begin `l · g` later. */
  readonly starts: Uint32Array;
  readonly bits: Uint32Array;
}

function greatestCommonDivisor(a: number, b: number): number {
  while (b !== 0) [a, b] = [b, a % b];
  return a;
}

/** Computes the bits of every pair of levels. */
export function autoContrastBits(): AutoContrastBits {
  const starts = new Uint32Array(LEVELS);
  let count = 0;
  for (let range = 1; range < LEVELS; range++) {
    starts[range] = count;
    count += (LEVELS - range) * greatestCommonDivisor(255, range);
  }
  const bits = new Uint32Array(Math.ceil(count / 32));
  let bit = 0;
  for (let range = 1; range < LEVELS; range++) {
    const parts = greatestCommonDivisor(255, range);
    for (let lowest = 0; lowest + range < LEVELS; lowest++) {
      const scale = 255 / range, offset = -lowest * scale;
      for (let j = 1; j <= parts; j++, bit++) {
        const level = lowest + j * range / parts;
        if (level * scale + offset < j * 255 / parts) bits[bit >>> 5] |= 1 << (bit & 31);
      }
    }
  }
  return { starts, bits };
}
