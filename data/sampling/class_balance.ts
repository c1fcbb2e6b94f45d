/**
 * Training sets whose classes have different numbers of clips: an order that draws the classes evenly, or a weight on the
 * loss of each class.
 */
import { createPrng } from "../../lib/random.ts";

/** Separates the draws of a class's own order from those of epochs, frames and augmentation. */
const CLASS_STREAM = 0x636c6173;

/** The clips of each class that has any, in a random order that depends on the seed alone; classes by label. */
export function shuffledByClass(
  labels: readonly number[],
  options: { seed: number; stream?: number },
): Map<number, number[]> {
  const { seed, stream = CLASS_STREAM } = options;
  const byClass = new Map<number, number[]>();
  labels.forEach((label, clip) => {
    const members = byClass.get(label);
    if (members) members.push(clip);
    else byClass.set(label, [clip]);
  });
  for (const [label, members] of byClass) {
    const prng = createPrng(seed, label, stream);
    // From the front, so that the first k do not depend on how many are asked for.
    for (let i = 0; i < members.length - 1; i++) {
      const j = i + prng.integer(members.length - i);
      [members[i], members[j]] = [members[j], members[i]];
    }
  }
  return new Map([...byClass].sort(([a], [b]) => a - b));
}

/**
 * The clips of an epoch in which every class comes equally often, give or take one; not shuffled yet.
 *
 * The places of all epochs are dealt to the classes in turn, and each class goes round its own order from where the last epoch
 * left it. So over any stretch of epochs, as within one, two clips of a class differ by at most one in how often they come:
 * none is left out for good. It follows from `seed` and `epoch` alone.
 *
 * @param options.length Clips of the epoch.
 */
export function evenlyDrawn(
  labels: readonly number[],
  options: { seed: number; epoch: number; length: number },
): Uint32Array {
  const { epoch, length } = options;
  const classes = [...shuffledByClass(labels, options).values()];
  return Uint32Array.from({ length }, (_, i) => {
    const place = epoch * length + i, members = classes[place % classes.length];
    return members[Math.floor(place / classes.length) % members.length];
  });
}

/**
 * Weight of each class's loss, N / (K · n_c): the rarer, the heavier; 0 for a class without clips.
 *
 * A mirrored clip of a pair of classes that a mirror exchanges counts for the other class, as it does in training.
 *
 * @param options.mirrorPairs Pairs of labels that mirroring exchanges.
 * @param options.mirrored Share of the clips that are mirrored.
 * @returns `[K]`
 */
export function classWeights(
  labels: readonly number[],
  options: { classes: number; mirrorPairs?: readonly (readonly [number, number])[]; mirrored?: number },
): Float64Array {
  const { classes, mirrorPairs = [], mirrored = 0 } = options;
  const counts = new Float64Array(classes);
  for (const label of labels) counts[label]++;
  for (const [a, b] of mirrorPairs) {
    if (a >= classes || b >= classes) continue;
    const moved = mirrored * (counts[b] - counts[a]);
    counts[a] += moved;
    counts[b] -= moved;
  }
  return counts.map((count) => count === 0 ? 0 : labels.length / (classes * count));
}
