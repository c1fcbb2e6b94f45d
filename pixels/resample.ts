/**
 * Resampling coefficients of Pillow's `Image.resize` for 8-bit images, bit for bit: the published transforms are defined
 * by that library, so anything close but not equal would show up as a different input to the frozen backbone.
 *
 * A resize is two passes, along x and then along y. One output sample of a pass is
 * `clip8((2^21 + Σ weight · value) >> 22)` over a short run of input samples; the table of one pass holds those runs.
 */

/** Interpolation kernels of the published transforms. */
export type ResampleFilter = "bilinear" | "bicubic";

/** Fraction bits of an integer weight; a sum of products with 8-bit samples then still fits 32 signed bits. */
export const WEIGHT_BITS = 22;

/** Words in front of the weights in one table row: the first tap and the number of taps. */
export const ROW_HEADER = 2;

/** The coefficients of one pass. */
export interface ResampleTable {
  readonly inSize: number;
  readonly outSize: number;
  readonly filter: ResampleFilter;
  /** Words per row. */
  readonly stride: number;
  /** `outSize` rows of `[first tap, tap count, weight, weight, …, 0]`. */
  readonly rows: Int32Array;
}

/** Half width of a kernel in input samples, before it is widened for a reduction. */
const SUPPORT: Record<ResampleFilter, number> = { bilinear: 1, bicubic: 2 };

/** Sharpness of the cubic kernel (Keys 1981). */
const CUBIC_A = -0.5;

/** Value of a kernel at a distance, in input samples divided by the widening. */
function kernelAt(filter: ResampleFilter, offset: number): number {
  const x = Math.abs(offset);
  if (filter === "bilinear") return x < 1 ? 1 - x : 0;
  if (x < 1) return ((CUBIC_A + 2) * x - (CUBIC_A + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * CUBIC_A;
  return 0;
}

/** Taps a row can have at most. */
function maxTaps(inSize: number, outSize: number, filter: ResampleFilter): number {
  return Math.ceil(SUPPORT[filter] * Math.max(inSize / outSize, 1)) * 2 + 1;
}

/** Words of the table that resizes one axis. */
export function resampleTableWords(inSize: number, outSize: number, filter: ResampleFilter): number {
  return outSize * (ROW_HEADER + maxTaps(inSize, outSize, filter));
}

/**
 * Computes the coefficients that resize an axis of `inSize` samples to `outSize`.
 *
 * @example `resampleTable(340, 320, "bicubic").rows`
 */
export function resampleTable(inSize: number, outSize: number, filter: ResampleFilter): ResampleTable {
  for (const size of [inSize, outSize]) {
    if (!Number.isInteger(size) || size < 1) {
      throw new RangeError(
        `Cannot build resampling coefficients: sizes must be positive integers, current value is ${inSize} to ${outSize}`,
      );
    }
  }
  const scale = inSize / outSize;
  const widening = Math.max(scale, 1);
  const support = SUPPORT[filter] * widening;
  const narrowing = 1 / widening;
  const stride = ROW_HEADER + maxTaps(inSize, outSize, filter);
  const rows = new Int32Array(outSize * stride);
  const weights = new Float64Array(stride);
  for (let out = 0; out < outSize; out++) {
    const centre = (out + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const taps = Math.min(inSize, Math.trunc(centre + support + 0.5)) - first;
    let sum = 0;
    for (let tap = 0; tap < taps; tap++) {
      weights[tap] = kernelAt(filter, (tap + first - centre + 0.5) * narrowing);
      sum += weights[tap];
    }
    const row = out * stride;
    rows[row] = first;
    rows[row + 1] = taps;
    for (let tap = 0; tap < taps; tap++) {
      const fixed = (sum === 0 ? weights[tap] : weights[tap] / sum) * 2 ** WEIGHT_BITS;
      // Half away from zero; Math.round would take −0.5 to 0.
      rows[row + ROW_HEADER + tap] = Math.trunc(fixed < 0 ? fixed - 0.5 : fixed + 0.5);
    }
  }
  return { inSize, outSize, filter, stride, rows };
}

/**
 * A bounded memory of tables, least recently used out first: random crops ask for a few hundred different ones, again
 * and again.
 */
export class ResampleCache {
  readonly #tables = new Map<string, ResampleTable>();
  readonly #capacity: number;

  constructor(capacity = 512) {
    this.#capacity = capacity;
  }

  /** Tables held at the moment. */
  get size(): number {
    return this.#tables.size;
  }

  /** The table of one axis, computed when it is not held. */
  get(inSize: number, outSize: number, filter: ResampleFilter): ResampleTable {
    const key = `${inSize}>${outSize} ${filter}`;
    const held = this.#tables.get(key);
    const table = held ?? resampleTable(inSize, outSize, filter);
    // A Map iterates in insertion order: putting the entry back at the end keeps the oldest first.
    if (held) this.#tables.delete(key);
    this.#tables.set(key, table);
    if (this.#tables.size > this.#capacity) this.#tables.delete(this.#tables.keys().next().value!);
    return table;
  }
}
