/** Few-shot training: a fixed number of clips of every class. */
import { shuffledByClass } from "./class_balance.ts";

/** Separates the draw of the selection from all others of the seed. */
const SHOT_STREAM = 0x73686f74;

/**
 * Chooses clips of every class at random, all of a class that has no more. The choice depends on the list and the seed alone,
 * and a larger number of shots adds to what a smaller one takes.
 *
 * @returns positions in the list, in its order
 * @example `selectShots(records.map(({ label }) => label), { shots: 8, seed: 1024 })`
 */
export function selectShots(labels: readonly number[], options: { shots: number; seed: number }): number[] {
  const { shots, seed } = options;
  const byClass = shuffledByClass(labels, { seed, stream: SHOT_STREAM });
  return [...byClass.values()].flatMap((members) => members.slice(0, shots)).sort((a, b) => a - b);
}
