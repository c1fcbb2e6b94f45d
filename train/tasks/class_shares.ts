/** The best classes of a clip with their probabilities. */

import { topClasses } from "./class_metrics.ts";

/** A class with its probability. */
export interface ClassShare {
  label: string;
  index: number;
  p: number;
}

/** The best classes, best first. */
export function topShares(
  probabilities: ArrayLike<number>,
  labels: readonly string[],
  count: number,
): ClassShare[] {
  return topClasses(probabilities, count).map((index) => ({
    label: labels[index],
    index,
    p: probabilities[index],
  }));
}
