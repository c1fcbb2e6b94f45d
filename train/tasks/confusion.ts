/** Which classes were taken for which: counts of an evaluation, of which only those above 0 are held. */

/** How often one class was predicted for another. */
export type ConfusionCell = readonly [truth: number, predicted: number, count: number];

/** A confusion matrix. With thousands of classes almost every count is 0. */
export class Confusion {
  readonly classes: number;
  /** Counts by predicted class, for each true class that occurs. */
  readonly #rows = new Map<number, Map<number, number>>();

  constructor(classes: number) {
    this.classes = classes;
  }

  /** Counts clips of the class `truth` for which `predicted` was given. */
  add(truth: number, predicted: number, clips = 1): void {
    const row = this.#rows.get(truth) ?? new Map<number, number>();
    row.set(predicted, (row.get(predicted) ?? 0) + clips);
    this.#rows.set(truth, row);
  }

  count(truth: number, predicted: number): number {
    return this.#rows.get(truth)?.get(predicted) ?? 0;
  }

  /** Clips of a class. */
  clips(truth: number): number {
    return [...this.#rows.get(truth)?.values() ?? []].reduce((sum, count) => sum + count, 0);
  }

  /** The counts above 0, by true class and within it by predicted class. */
  cells(): ConfusionCell[] {
    const cells: ConfusionCell[] = [];
    for (const [truth, row] of this.#rows) {
      for (const [predicted, count] of row) cells.push([truth, predicted, count]);
    }
    return cells.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  }

  /** The wrong class given most often, the lowest of several; null where every clip was right. */
  mistakenFor(truth: number): number | null {
    let most: [predicted: number, count: number] | null = null;
    for (const [predicted, count] of this.#rows.get(truth) ?? []) {
      if (predicted === truth) continue;
      if (most === null || count > most[1] || count === most[1] && predicted < most[0]) {
        most = [predicted, count];
      }
    }
    return most === null ? null : most[0];
  }

  /** Clips on the diagonal. */
  right(): number {
    let sum = 0;
    for (const [truth, row] of this.#rows) sum += row.get(truth) ?? 0;
    return sum;
  }

  /** As `eval.json` holds it: the counts above 0, each `[true class, predicted class, clips]`. */
  toJSON(): { classes: number; cells: ConfusionCell[] } {
    return { classes: this.classes, cells: this.cells() };
  }
}
