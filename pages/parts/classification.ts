/** Page parts of classification: the level of chance, the confusion matrix, every class, and clips with their best classes. */

import { type ClassificationMetrics, topClasses } from "../../train/tasks/class_metrics.ts";
import type { Confusion } from "../../train/tasks/confusion.ts";
import { topShares } from "../../train/tasks/class_shares.ts";
import type { ClassPrediction } from "../../train/tasks/classification.ts";
import { formatCount, formatShare } from "../../lib/text.ts";
import { renderClassTable, renderConfusedPairs } from "./_classes.ts";
import { renderMatrix } from "./_matrix.ts";
import type { PageParts, PageSection } from "./parts.ts";

/** Pairs listed when the confusion matrix is too fine for names. */
const CONFUSED_PAIRS = 12;
/** Classes up to which the matrix names them itself. */
const NAMED_CLASSES = 30;
/** Classes told of an example clip. */
const TOP = 5;

/** The parts. */
export const CLASSIFICATION_PARTS: PageParts<ClassPrediction, ClassificationMetrics> = {
  about: (labels) => `${labels.length} classes`,

  // Among five classes or fewer every clip counts as right.
  hidden: (labels) => labels.length > 5 ? [] : ["top5"],

  tiles: (labels) => ({
    top1: {
      name: "Top-1 accuracy",
      note: labels.length > 0 ? `chance ${formatShare(1 / labels.length)}` : "",
    },
    top5: { name: "Top-5 accuracy" },
  }),

  shareChart: ({ length: classes }) => ({
    title: "Validation accuracy",
    levels: [{ name: `chance ${(100 / classes).toPrecision(2)} %`, value: 1 / classes }],
  }),

  figures: ({ meanClassAccuracy }) => ({ mean_class_accuracy: meanClassAccuracy }),

  sections: ({ details: { confusion } }, labels) => [classSection(confusion, labels)],

  examples: (predictions, { labels, count }) =>
    pick(predictions, count).map(({ path, label, probabilities }) => ({
      path,
      label: labels[label],
      top: topShares(probabilities, labels, TOP),
    })),
};

function classSection(confusion: Confusion, labels: readonly string[]): PageSection {
  const clips = confusion.cells().reduce((sum, [, , count]) => sum + count, 0);
  return {
    title: "Classes",
    about: `${formatCount(clips)} validation clips. ` +
      "A row of the matrix is a true class and a column a prediction: right answers lie on the diagonal.",
    content: confusion.classes === 0 ? "" : classTables(confusion, labels),
  };
}

function classTables(confusion: Confusion, labels: readonly string[]): string {
  const table = renderClassTable(confusion, labels);
  const matrix = renderMatrix(confusion, labels);
  if (labels.length <= NAMED_CLASSES) return `<div class="matrix">${matrix}${table}</div>`;
  const pairs = renderConfusedPairs(confusion, labels, CONFUSED_PAIRS);
  return `<div class="matrix fine">${matrix}${pairs}</div><h3>Every class</h3>${table}`;
}

/** Clips spread over the list: wrong ones first up to a third, because they tell most. */
function pick(predictions: readonly ClassPrediction[], count: number): ClassPrediction[] {
  const isWrong = (p: ClassPrediction) => topClasses(p.probabilities, 1)[0] !== p.label;
  const spread = (list: readonly ClassPrediction[], n: number) =>
    Array.from(
      { length: Math.min(n, list.length) },
      (_, i) => list[Math.floor(i * list.length / Math.min(n, list.length))],
    );
  const wrong = spread(predictions.filter(isWrong), Math.floor(count / 3));
  const right = spread(predictions.filter((p) => !isWrong(p)), count - wrong.length);
  return [...right, ...wrong];
}
