/** The files of an evaluation: figures as JSON, predictions as CSV and as JSON lines. */

import { join } from "node:path";
import { stringify } from "csv-stringify/sync";
import { writeFileWhole } from "../../data/files.ts";
import type { Config } from "../recipe/config.ts";
import type { ClipPrediction, Evaluation, Views } from "./evaluate.ts";
import { topClasses } from "./metrics.ts";
import { type ClassShare, topShares } from "./timeline.ts";

/** Names of the files. */
export const EVALUATION_FILES = {
  figures: "eval.json",
  predictions: "predictions.csv",
  lines: "predictions.jsonl",
  report: "report.html",
} as const;

/** Classes written for every clip. */
const TOP = 5;

/** What was evaluated, and how. */
export interface EvaluationRun {
  config: Config;
  labels: readonly string[];
  /** The file of weights. */
  weights: string;
  /** The list of clips. */
  list: string;
  views: Views | null;
  evaluation: Evaluation;
  seconds: number;
  adapter: string;
  /** Write the probabilities of all classes into the JSON lines. */
  allProbabilities?: boolean;
}

/** `eval.json`. Accuracies are shares, 0 … 1. */
export interface EvaluationFigures {
  top1: number;
  top5: number;
  loss: number;
  mean_class_accuracy: number;
  clips: number;
  /** Views of every clip, `test_crops` times `test_clips`. */
  views: number;
  test_crops: number;
  test_clips: number;
  seconds: number;
  clips_per_second: number;
  /** Frames and clips that were replaced, each with its reason. */
  broken: { path: string; problem: string }[];
  weights: string;
  list: string;
  adapter: string;
  /** Counts, `[true class][predicted class]`. */
  confusion: number[][];
}

/** The figures of an evaluation. */
export function evaluationFigures(run: EvaluationRun): EvaluationFigures {
  const { evaluation: { metrics, loss, problems }, views, seconds, weights, list, adapter } = run;
  const crops = views?.crops ?? 1, clips = views?.clips ?? 1;
  return {
    top1: metrics.top1,
    top5: metrics.top5,
    loss,
    mean_class_accuracy: metrics.meanClassAccuracy,
    clips: metrics.clips,
    views: crops * clips,
    test_crops: crops,
    test_clips: clips,
    seconds: Math.round(seconds * 1000) / 1000,
    clips_per_second: Math.round(metrics.clips / seconds * 1000) / 1000,
    broken: problems,
    weights,
    list,
    adapter,
    confusion: metrics.confusion,
  };
}

/** Folder name of an evaluation: `eval`, `eval_3x2`, `eval_3x2_test` with a list of its own. */
export function evaluationName(views: Views | null, list: string | null): string {
  const stem = list?.replace(/^.*[\\/]/, "").replace(/\.[^.]*$/, "");
  return ["eval", views ? `${views.crops}x${views.clips}` : "", stem ?? ""].filter(Boolean).join("_");
}

/** Writes the figures and the predictions of an evaluation into a folder, each file whole. */
export async function writeEvaluation(folder: string, run: EvaluationRun): Promise<EvaluationFigures> {
  const figures = evaluationFigures(run), { evaluation, labels } = run;
  const file = (which: keyof typeof EVALUATION_FILES) => join(folder, EVALUATION_FILES[which]);
  await writeFileWhole(file("figures"), JSON.stringify(figures, null, 2) + "\n");
  await writeFileWhole(file("predictions"), predictionsCsv(evaluation.predictions, labels));
  await writeFileWhole(
    file("lines"),
    predictionLines(evaluation.predictions, labels, { all: run.allProbabilities ?? false }),
  );
  return figures;
}

/** A line of `predictions.jsonl`. */
export interface PredictionLine {
  path: string;
  label: number;
  label_name: string;
  /** Probability of the true class, and its rank, from 1. */
  p_label: number;
  rank: number;
  top: ClassShare[];
  /** Of every class in order, to six digits; there when they are asked for. */
  probabilities?: number[];
}

/** Lines written at a time. */
const LINES_AT_ONCE = 256;

/** One JSON object a clip, in the order of the list. */
export function* predictionLines(
  predictions: readonly ClipPrediction[],
  labels: readonly string[],
  options: { all: boolean },
): Generator<Uint8Array> {
  const encoder = new TextEncoder();
  for (let start = 0; start < predictions.length; start += LINES_AT_ONCE) {
    const lines = predictions.slice(start, start + LINES_AT_ONCE).map(({ path, label, probabilities }) => {
      const line: PredictionLine = {
        path,
        label,
        label_name: labels[label],
        p_label: probabilities[label],
        rank: topClasses(probabilities, labels.length).indexOf(label) + 1,
        top: topShares(probabilities, labels, TOP),
      };
      if (options.all) line.probabilities = Array.from(probabilities, (p) => Number(p.toPrecision(6)));
      return JSON.stringify(line) + "\n";
    });
    yield encoder.encode(lines.join(""));
  }
}

/** One line a clip: its class, the probability it was given and its rank, then the best classes with theirs. */
export function predictionsCsv(predictions: readonly ClipPrediction[], labels: readonly string[]): string {
  const top = Math.min(TOP, labels.length);
  const header = ["path", "label", "label_name", "label_p", "label_rank"];
  for (let k = 1; k <= top; k++) header.push(`top${k}`, `top${k}_name`, `top${k}_p`);
  const lines = predictions.map(({ path, label, probabilities }) => {
    const order = topClasses(probabilities, labels.length);
    const best = order.slice(0, top).flatMap((k) => [k, labels[k], probabilities[k]]);
    return [path, label, labels[label], probabilities[label], order.indexOf(label) + 1, ...best];
  });
  return stringify([header, ...lines], { quoted_match: /\r/ });
}
