/** Naming the class of a clip: cross entropy on logits, accuracies, and the mean of probabilities over views. */

import {
  MIX_SMOOTHING,
  mixDraws,
  mixTargets,
  PUBLISHED_MIX,
  sampleMix,
  weightTargets,
} from "../../data/transforms/mixup.ts";
import { crossEntropy, softCrossEntropy } from "../../gpu/ops/mod.ts";
import { createPrng } from "../../lib/random.ts";
import { formatCount, formatShare } from "../../lib/text.ts";
import { type ClassPrediction, predictionLines, predictionsCsv } from "./_class_files.ts";
import { topShares } from "./class_shares.ts";
import {
  averageViews,
  type ClassificationMetrics,
  createClassificationMetrics,
  smoothedCrossEntropy,
} from "./class_metrics.ts";
import type { Encoded, Evaluation, Task, TaskRecipe, TrainingFacts } from "./task.ts";

export type { ClassPrediction, PredictionLine } from "./_class_files.ts";

/** Result over a list. */
export type ClassEvaluation = Evaluation<ClassPrediction, ClassificationMetrics>;

/** Names of the files that an evaluation writes. */
export const CLASS_FILES = { predictions: "predictions.csv", lines: "predictions.jsonl" } as const;

/** Last seed of the draws that mix a batch; those of clips end in the number of their copy. */
const MIX_STREAM = 2 ** 32 - 1;

/** Whether targets are more than labels: distributions of mixed clips, or weighted by class. */
function hasSoftTargets({ solver, data }: TaskRecipe): boolean {
  return solver.mixup || data.balance === "loss";
}

/** The task. */
export const CLASSIFICATION = {
  id: "classification",
  pipeline: "video-classification",
  metrics: [
    { key: "top1", name: "top-1", title: "top-1", format: "share", better: "more" },
    { key: "top5", name: "top-5", title: "top-5", format: "share", better: "more" },
    { key: "loss", name: "loss", title: "validation loss", format: "value", better: "less" },
  ],
  figures: [
    {
      key: "mean_class_accuracy",
      name: "mean class accuracy",
      title: "mean class accuracy",
      format: "share",
      better: "more",
    },
  ],
  best: "top1",
  thenBy: "loss",
  collects: ["logits"],

  training: (recipe) => {
    const soft = hasSoftTargets(recipe), { solver: { smoothing, mixup }, data } = recipe;
    return {
      inputs: {
        labels: { shape: [], dtype: "u32" },
        ...soft && { targets: { shape: [data.num_classes] } },
      },
      objective: {
        over: "clips",
        reads: ["logits"],
        record: (g, { outputs: { logits }, inputs: { labels, targets } }) => {
          const { loss, lossPerSample } = soft
            ? softCrossEntropy(g, logits, targets)
            : crossEntropy(g, logits, { labels, smoothing });
          return { loss, loss_per_sample: lossPerSample };
        },
      },
      mixes: mixup,
    };
  },

  encoder: (recipe, facts) => ({ clips, epoch, batch }) =>
    encodeBatch(recipe, clips.map(({ label }) => label), { epoch, batch, ...facts }),

  read: (views) => averageViews(views.map(({ logits }) => logits)),

  evaluator: ({ data }) => {
    const counts = createClassificationMetrics(data.num_classes);
    let loss = 0;
    return {
      add: ({ index, path, label, views }) => {
        const probabilities = averageViews(views.map(({ logits }) => logits));
        counts.add(probabilities, label);
        // The mean over views has no logits; for one view they are exact where a probability would vanish.
        loss += views.length === 1
          ? smoothedCrossEntropy(views[0].logits, label)
          : -Math.log(Math.max(probabilities[label], Number.MIN_VALUE));
        return { index, path, label, probabilities };
      },
      finish: () => ({
        metrics: { top1: counts.top1, top5: counts.top5, loss: loss / Math.max(1, counts.clips) },
        details: counts,
      }),
    };
  },

  results: ({ predictions, details }, { labels, everything }) => ({
    figures: { mean_class_accuracy: details.meanClassAccuracy },
    tables: { confusion: details.confusion },
    files: {
      [CLASS_FILES.predictions]: predictionsCsv(predictions, labels),
      [CLASS_FILES.lines]: predictionLines(predictions, labels, { all: everything }),
    },
  }),

  rows: (details, labels) => {
    const rows = classRows(details, labels);
    return {
      json: rows,
      lines: rows.map(({ label, clips, top1, top5, confused_with: other }) =>
        [
          label,
          `${formatCount(clips).padStart(6)} clips  top-1 ${formatShare(top1).padStart(7)}  top-5 ${
            formatShare(top5).padStart(7)
          }${other === null ? "" : `  most often taken for ${other}`}`,
        ] as const
      ),
    };
  },

  describe: (probabilities, { labels, top: count }) => {
    const top = topShares(probabilities, labels, count);
    return {
      json: { top },
      lines: top.map(({ label, p }) => `${(100 * p).toFixed(1).padStart(5)} %  ${label}`),
    };
  },

  shares: (probabilities) => probabilities,
} satisfies Task<Float64Array, ClassPrediction, ClassificationMetrics>;

/** Labels, and where they are more than that the targets `[B K]` and how the clips are mixed. */
function encodeBatch(
  recipe: TaskRecipe,
  labels: readonly number[],
  { epoch, batch, classWeights }: { epoch: number; batch: number } & TrainingFacts,
): Encoded {
  const { solver, data: { input_size: side, num_classes: classes }, seed } = recipe;
  const inputs = { labels: Uint32Array.from(labels) };
  if (!hasSoftTargets(recipe)) return { inputs };
  const draws = mixDraws(createPrng(seed, epoch, batch, MIX_STREAM));
  const mix = solver.mixup ? sampleMix({ width: side, height: side }, PUBLISHED_MIX, draws) : null;
  const targets = mixTargets(labels, mix?.weight ?? 1, {
    classes,
    smoothing: mix ? MIX_SMOOTHING : solver.smoothing,
  });
  return {
    inputs: { ...inputs, targets: classWeights ? weightTargets(targets, labels, classWeights) : targets },
    mix,
  };
}

/** The classes that occur, as data. */
function classRows(counts: ClassificationMetrics, labels: readonly string[]) {
  return counts.perClass().flatMap(({ clips, top1, top5, confusedWith }, index) =>
    clips === 0 ? [] : [{
      label: labels[index],
      index,
      clips,
      top1,
      top5,
      confused_with: confusedWith === null ? null : labels[confusedWith],
    }]
  );
}
