/** Losses that wait on the GPU until somebody reads them: those of the parts of a batch become the batch's when they are read. */

/** Batches whose losses may wait on the GPU before they are read. */
export const LOSS_LOG_SIZE = 64;

/** Where losses lie, and how many wait. */
export class LossLog {
  /** Parts of a batch, at most. */
  readonly #parts: number;
  /** Shares of the parts of each batch that waits, oldest first. */
  #waiting: number[][] = [];
  #batches = 0;

  constructor(parts: number) {
    this.#parts = parts;
  }

  /** Begins a batch. @param shares The share of each of its parts; their sum is 1. @returns Places of their losses. */
  add(shares: readonly number[]): number[] {
    const first = (this.#batches++ % LOSS_LOG_SIZE) * this.#parts;
    this.#waiting.push([...shares]);
    if (this.#waiting.length > LOSS_LOG_SIZE) this.#waiting.shift();
    return shares.map((_, part) => first + part);
  }

  /** Number of batches that wait. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Losses of the batches that wait, oldest first, from the log's values; none waits afterwards. */
  take(values: ArrayLike<number>): number[] {
    const waiting = this.#waiting, oldest = this.#batches - waiting.length;
    this.#waiting = [];
    return waiting.map((shares, i) => {
      const first = ((oldest + i) % LOSS_LOG_SIZE) * this.#parts;
      // What counts for nothing need not be a number: another rank has computed it.
      return shares.reduce((sum, share, part) => share === 0 ? sum : sum + share * values[first + part], 0);
    });
  }
}
