/** The vectors of an index in memory, and the rows that are nearest to a query. */

import { LANES, Rows, sumsOf } from "./_dot_products.ts";

/** A row and its score. */
export interface Hit {
  readonly row: number;
  readonly score: number;
}

/** Rows in one memory, about; a memory has at most 4 GiB. */
const BLOCK_BYTES = 2 ** 30;
/** Half the distance of neighbouring f32 numbers at 1. */
const UNIT = 2 ** -24;
/** Up to so many best ones are kept in order, one by one; of 100,000 scores that takes 2 ms, sorting all of them 10. */
const MOST_INSERTED = 1000;

/**
 * The best of scores, the best first; of equal ones the earlier.
 *
 * @param count How many; all, where there are fewer.
 */
export function bestOf(scores: ArrayLike<number>, count: number): Hit[] {
  const least = smallestOfBest(scores, count), hits: Hit[] = [];
  for (let row = 0; row < scores.length; row++) {
    if (scores[row] >= least) hits.push({ row, score: scores[row] });
  }
  return inOrder(hits).slice(0, count);
}

/** The score of place `count`; −∞ where there are no more. */
function smallestOfBest(scores: ArrayLike<number>, count: number): number {
  if (count >= scores.length) return -Infinity;
  if (count > MOST_INSERTED) return new Float64Array(scores).sort()[scores.length - count];
  const best: number[] = []; // the best so far, the smallest first
  for (let row = 0; row < scores.length; row++) {
    if (best.length === count && scores[row] <= best[0]) continue;
    best.splice(placeIn(best, scores[row]), 0, scores[row]);
    if (best.length > count) best.shift();
  }
  return best[0];
}

/** How many of rising values are smaller. */
function placeIn(values: readonly number[], value: number): number {
  let low = 0, high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

function inOrder(hits: Hit[]): Hit[] {
  return hits.sort((a, b) => b.score - a.score || a.row - b.row);
}

/** The dot product that scores are: the products of f32 numbers, summed one after the other in f64. */
export function dotProduct(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/** Vectors to search in. */
export class VectorTable {
  readonly count: number;
  readonly dims: number;
  readonly #blocks: Rows[] = [];
  readonly #perBlock: number;
  #longest = 0;

  constructor(count: number, dims: number) {
    this.count = count;
    this.dims = dims;
    this.#perBlock = Math.max(1, Math.floor(BLOCK_BYTES / (4 * (dims + LANES))));
    for (let from = 0; from < count; from += this.#perBlock) {
      this.#blocks.push(new Rows(Math.min(this.#perBlock, count - from), dims));
    }
  }

  set(row: number, vector: Float32Array): void {
    this.#blockOf(row).set(row % this.#perBlock, vector);
    this.#longest = Math.max(this.#longest, Math.sqrt(dotProduct(vector, vector)));
  }

  /** The vector of a row; it lies in the table. */
  get(row: number): Float32Array {
    return this.#blockOf(row).get(row % this.#perBlock, this.dims);
  }

  /**
   * The rows with the largest dot products, the largest first; of equal ones the earlier. They are those of a plain loop of
   * `dotProduct` over all rows: quick sums in f32 leave the rows that can be among them, given how far such sums may be from the
   * right ones, and only these are summed again.
   */
  nearest(query: Float32Array, count: number): Hit[] {
    const quick = new Float32Array(this.count);
    this.#blocks.forEach((block, i) => quick.set(block.dots(query), i * this.#perBlock));
    const length = Math.sqrt(dotProduct(query, query));
    // Each product and each sum on its way rounds once: Σ|q v| ≤ |q| |v|.
    const error = 1.01 * (sumsOf(Math.ceil(this.dims / LANES) * LANES) + 1) * UNIT * length * this.#longest;
    // The last term: products and sums that are too small for f32's relative precision.
    const least = smallestOfBest(quick, count) - 2 * error - Number.MIN_VALUE - this.dims * 2 ** -148;
    const hits: Hit[] = [];
    for (let row = 0; row < this.count; row++) {
      if (quick[row] >= least) hits.push({ row, score: dotProduct(this.get(row), query) });
    }
    return inOrder(hits).slice(0, count);
  }

  #blockOf(row: number): Rows {
    return this.#blocks[Math.floor(row / this.#perBlock)];
  }
}
