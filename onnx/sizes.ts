/**
 * Sizes that follow the batch. A graph is recorded for a batch of two and for one of three: what differs between the two recordings
 * grows with the batch, and everything else is fixed.
 */

/** The batch sizes of the two recordings. */
export const BATCHES = [2, 3] as const;

/** A size of so many times the batch. */
export interface PerBatch {
  readonly perBatch: number;
}

/** A size of an axis. */
export type Size = number | PerBatch;

/** Whether a size is the same for every batch. */
export function isFixed(size: Size): size is number {
  return typeof size === "number";
}

/** The size that is `two` in a batch of two and `three` in one of three. @throws {RangeError} where it does not grow with the batch */
export function sizeFrom(two: number, three: number, what: string): Size {
  if (two === three) return two;
  const perBatch = three - two;
  if (two !== perBatch * BATCHES[0] || perBatch < 1) {
    throw new RangeError(
      `Cannot make the batch of "${what}" free: its sizes must grow with the batch, they are ${two} for two clips and ${three} for three`,
    );
  }
  return { perBatch };
}

/** The same for a shape. */
export function shapeFrom(two: readonly number[], three: readonly number[], what: string): Size[] {
  if (two.length !== three.length) {
    throw new RangeError(
      `Cannot make the batch of "${what}" free: its shapes must have as many axes, they are [${two}] and [${three}]`,
    );
  }
  return two.map((size, i) => sizeFrom(size, three[i], what));
}

/** Product of sizes. @throws {RangeError} where more than one grows with the batch */
export function productOf(sizes: readonly Size[]): Size {
  return sizes.reduce<Size>((product, size) => {
    if (isFixed(product) && isFixed(size)) return product * size;
    if (!isFixed(product) && !isFixed(size)) {
      throw new RangeError("Cannot multiply sizes: only one of them may grow with the batch");
    }
    return isFixed(product)
      ? { perBatch: product * (size as PerBatch).perBatch }
      : { perBatch: product.perBatch * (size as number) };
  }, 1);
}

/** Whether two sizes are the same. */
export function isSame(a: Size, b: Size): boolean {
  return isFixed(a) ? a === b : !isFixed(b) && a.perBatch === b.perBatch;
}
