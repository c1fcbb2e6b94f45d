/**
 * Classification metrics on the host: softmax, top-k, the mean over views, and counts over an evaluation.
 * Equal values are ordered by class index, lowest first, so that a figure never depends on the sort.
 */

import { Confusion } from "./confusion.ts";

/** A vector of per-class values: logits or probabilities. */
export type ClassValues = ArrayLike<number>;

/** Softmax of one row of logits, in f64. */
export function softmax(logits: ClassValues): Float64Array {
  let largest = -Infinity;
  for (let k = 0; k < logits.length; k++) largest = Math.max(largest, logits[k]);
  const out = new Float64Array(logits.length);
  let sum = 0;
  for (let k = 0; k < logits.length; k++) sum += out[k] = Math.exp(logits[k] - largest);
  for (let k = 0; k < logits.length; k++) out[k] /= sum;
  return out;
}

/** The `k` classes with the largest values, best first (fewer when there are fewer classes). NaN ranks last. */
export function topClasses(values: ClassValues, k: number): number[] {
  const key = (index: number) => Number.isNaN(values[index]) ? -Infinity : values[index];
  const best: number[] = [];
  for (let index = 0; index < values.length; index++) {
    let at = best.length;
    while (at > 0 && key(index) > key(best[at - 1])) at--;
    if (at >= k) continue;
    best.splice(at, 0, index);
    if (best.length > k) best.pop();
  }
  return best;
}

/** The place of a class in the order of `topClasses`, from 1. */
export function rankOf(values: ClassValues, label: number): number {
  const key = (index: number) => Number.isNaN(values[index]) ? -Infinity : values[index];
  let rank = 1;
  for (let index = 0; index < values.length; index++) {
    if (key(index) > key(label) || key(index) === key(label) && index < label) rank++;
  }
  return rank;
}

/**
 * Scores of one clip seen in several views: softmax of each view, then the mean of the probabilities. The published
 * protocol averages probabilities and not logits.
 *
 * @param views logits of each view, all of one length
 */
export function averageViews(views: readonly ClassValues[]): Float64Array {
  if (views.length === 0) {
    throw new RangeError("Cannot average views: there must be at least 1, current value is 0");
  }
  const mean = new Float64Array(views[0].length);
  for (const logits of views) {
    if (logits.length !== mean.length) {
      throw new RangeError(
        `Cannot average views: every view must have ${mean.length} classes, current value is ${logits.length}`,
      );
    }
    const probabilities = softmax(logits);
    for (let k = 0; k < mean.length; k++) mean[k] += probabilities[k] / views.length;
  }
  return mean;
}

/** Mean of per-row label-smoothed cross entropy in the published form (ε spread over all classes), in f64. */
export function smoothedCrossEntropy(logits: ClassValues, label: number, smoothing = 0): number {
  let largest = -Infinity;
  for (let k = 0; k < logits.length; k++) largest = Math.max(largest, logits[k]);
  let sum = 0, mean = 0;
  for (let k = 0; k < logits.length; k++) {
    sum += Math.exp(logits[k] - largest);
    mean += logits[k] / logits.length;
  }
  const logSum = largest + Math.log(sum);
  return (1 - smoothing) * (logSum - logits[label]) + smoothing * (logSum - mean);
}

/** Accuracy of one class. */
export interface ClassAccuracy {
  /** Clips of this class. */
  clips: number;
  top1: number;
  top5: number;
  /** Wrong class given most often, or null when every clip was right. */
  confusedWith: number | null;
}

/** Counts over an evaluation; every clip counts once. */
export interface ClassificationMetrics {
  /** Adds a clip by its per-class values (logits or probabilities) and true label. Returns its best five classes. */
  add(values: ClassValues, label: number): number[];
  /** Clips added. */
  readonly clips: number;
  /** Share of clips whose label is the best class; 0 before the first clip. */
  readonly top1: number;
  /** Share of clips whose label is among the best five; 1 when there are five classes or fewer. */
  readonly top5: number;
  /** Mean over the classes that occur of their own top-1. */
  readonly meanClassAccuracy: number;
  readonly confusion: Confusion;
  /** One entry a class. Classes without clips have `clips: 0` and accuracies 0. */
  perClass(): ClassAccuracy[];
}

/** Creates empty counts for `classes` classes. */
export function createClassificationMetrics(classes: number): ClassificationMetrics {
  const confusion = new Confusion(classes);
  const inFive = new Array<number>(classes).fill(0);
  let clips = 0;
  const metrics: ClassificationMetrics = {
    add(values, label) {
      if (values.length !== classes || !(Number.isInteger(label) && label >= 0 && label < classes)) {
        throw new RangeError(
          `Cannot count a clip: it must have ${classes} class values and a label below ${classes}, ` +
            `current value is ${values.length} values and label ${label}`,
        );
      }
      const best = topClasses(values, 5);
      confusion.add(label, best[0]);
      if (best.includes(label)) inFive[label]++;
      clips++;
      return best;
    },
    get clips() {
      return clips;
    },
    get top1() {
      return clips === 0 ? 0 : confusion.right() / clips;
    },
    get top5() {
      return clips === 0 ? 0 : inFive.reduce((a, b) => a + b, 0) / clips;
    },
    get meanClassAccuracy() {
      const present = metrics.perClass().filter((one) => one.clips > 0);
      return present.length === 0 ? 0 : present.reduce((total, one) => total + one.top1, 0) / present.length;
    },
    confusion,
    perClass() {
      return inFive.map((five, label) => classAccuracy(confusion, label, five));
    },
  };
  return metrics;
}

/** Accuracies of a class. */
export function classAccuracy(confusion: Confusion, label: number, inFive: number): ClassAccuracy {
  const clips = confusion.clips(label);
  return {
    clips,
    top1: clips && confusion.count(label, label) / clips,
    top5: clips && inFive / clips,
    confusedWith: confusion.mistakenFor(label),
  };
}
