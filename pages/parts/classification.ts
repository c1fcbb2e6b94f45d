/** Page parts of classification: the level of chance, the confusion matrix, every class, and clips with their best classes. */

import type { Config } from "../../train/recipe/config.ts";
import { type ClassificationMetrics, rankOf, topClasses } from "../../train/tasks/class_metrics.ts";
import type { Confusion } from "../../train/tasks/confusion.ts";
import { topShares } from "../../train/tasks/class_shares.ts";
import type { ClassPrediction } from "../../train/tasks/classification.ts";
import { formatCount, formatShare } from "../../lib/text.ts";
import { confusedClasses, renderClassTable, renderConfusedPairs } from "./_classes.ts";
import { renderMatrix } from "./_matrix.ts";
import type { Example, LossText, PageParts, PageSection } from "./parts.ts";

/** Pairs listed where the matrix shows some of the classes alone. */
const CONFUSED_PAIRS = 50;
/** Classes up to which the matrix shows all. */
const MATRIX_CLASSES = 30;
/** Classes up to which it stands beside their table. */
const BESIDE_CLASSES = 12;
/** Classes in the matrix of the most confused ones. */
const CONFUSED_CLASSES = 16;
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

  lossText,

  figures: ({ meanClassAccuracy }) => ({ mean_class_accuracy: meanClassAccuracy }),

  sections: ({ details: { confusion } }, labels) => [classSection(confusion, labels)],

  mistakes: (predictions, { labels, count }) =>
    predictions.filter(isWrong)
      .map((one) => ({ one, p: one.probabilities[topClasses(one.probabilities, 1)[0]] }))
      .sort((a, b) => b.p - a.p || a.one.index - b.one.index)
      .slice(0, count).map(({ one }) => exampleOf(one, labels)),

  examples: (predictions, { labels, count }) =>
    pick(predictions, count).map((prediction) => exampleOf(prediction, labels)),
};

function exampleOf({ path, label, probabilities }: ClassPrediction, labels: readonly string[]): Example {
  return {
    path,
    label: labels[label],
    top: topShares(probabilities, labels, TOP),
    truth: { p: probabilities[label], rank: rankOf(probabilities, label) },
  };
}

function isWrong({ probabilities, label }: ClassPrediction): boolean {
  return topClasses(probabilities, 1)[0] !== label;
}

/** How the two losses compare: evaluations know neither smoothed, mixed nor weighted labels. */
function lossText(
  { solver: { smoothing, mixup }, data: { num_classes: classes, balance } }: Config,
): LossText {
  const weighted = balance === "loss" ? " and each clip is weighted by its class" : "";
  const moving = "It is also measured on augmented clips, while the weights move.";
  if (mixup) {
    return {
      note:
        `Not on one scale: training labels are mixed of two clips${weighted}, so that no answer brings its loss to 0; ` +
        `validation labels are plain. ${moving}`,
      levels: [],
    };
  }
  if (smoothing === 0) {
    return {
      note: weighted === ""
        ? "Both are the cross entropy with plain labels. Training's is measured on augmented clips, while the weights move."
        : `Not on one scale: in training each clip is weighted by its class. ${moving}`,
      levels: [],
    };
  }
  const least = leastSmoothed(classes, smoothing).toFixed(2);
  return {
    note:
      `Not on one scale: training labels are smoothed by ${smoothing}${weighted}, so that even perfect answers have a loss of ` +
      `${least}; validation labels are plain. ${moving}`,
    levels: weighted === "" ? [{ name: "least in training", value: leastSmoothed(classes, smoothing) }] : [],
  };
}

/** The entropy of smoothed labels: no answer has a smaller cross entropy with them. */
function leastSmoothed(classes: number, smoothing: number): number {
  const other = smoothing / classes, own = 1 - smoothing + other;
  const part = (p: number) => p === 0 ? 0 : -p * Math.log(p);
  return part(own) + (classes - 1) * part(other);
}

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
  if (labels.length <= MATRIX_CLASSES) {
    const matrix = renderMatrix(confusion, labels);
    return labels.length <= BESIDE_CLASSES
      ? `<div class="matrix">${matrix}${table}</div>`
      : `${matrix}<h3>Every class</h3>${table}`;
  }
  const pairs = renderConfusedPairs(confusion, labels, CONFUSED_PAIRS);
  const most = confusedClasses(confusion, CONFUSED_CLASSES);
  const matrix = most.length === 0 ? "" : renderMatrix(confusion, labels, most);
  return `${matrix}${
    pairs === "" ? "" : `<h3>Pairs most often confused</h3>${pairs}`
  }<h3>Every class</h3>${table}`;
}

/** Clips spread over the list: wrong ones first up to a third, because they tell most. */
function pick(predictions: readonly ClassPrediction[], count: number): ClassPrediction[] {
  const spread = (list: readonly ClassPrediction[], n: number) =>
    Array.from(
      { length: Math.min(n, list.length) },
      (_, i) => list[Math.floor(i * list.length / Math.min(n, list.length))],
    );
  const wrong = spread(predictions.filter(isWrong), Math.floor(count / 3));
  const right = spread(predictions.filter((p) => !isWrong(p)), count - wrong.length);
  return [...right, ...wrong];
}
