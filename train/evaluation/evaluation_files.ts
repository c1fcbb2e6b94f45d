/** The files of an evaluation: figures as JSON, and those that its task writes about every clip. */

import { join } from "node:path";
import { writeFileWhole } from "../../data/files.ts";
import type { Config } from "../recipe/config.ts";
import type { Evaluation, Task } from "../tasks/task.ts";
import type { Views } from "./evaluate.ts";

/** Names of the files that every evaluation writes. */
export const EVALUATION_FILES = { figures: "eval.json", report: "report.html" } as const;

/** What was evaluated, and how. */
export interface EvaluationRun {
  config: Config;
  task: Task;
  labels: readonly string[];
  /** The file of weights. */
  weights: string;
  /** The list of clips. */
  list: string;
  views: Views | null;
  evaluation: Evaluation;
  seconds: number;
  adapter: string;
  /** Write everything that the network said of a clip, not the best of it alone. */
  everything?: boolean;
}

/** `eval.json`: the task's metrics and figures among these. Accuracies are shares, 0 … 1. */
export interface EvaluationFigures {
  clips: number;
  /** Views of every clip, `test_crops` times `test_clips`. */
  views: number;
  test_crops: number;
  test_clips: number;
  seconds: number;
  clips_per_second: number;
  /** Frames and clips that were replaced, each with its reason. */
  broken: readonly { path: string; problem: string }[];
  weights: string;
  list: string;
  adapter: string;
  [figure: string]: unknown;
}

/** Folder name of an evaluation: `eval`, `eval_3x2`, `eval_3x2_test` with a list of its own. */
export function evaluationName(views: Views | null, list: string | null): string {
  const stem = list?.replace(/^.*[\\/]/, "").replace(/\.[^.]*$/, "");
  return ["eval", views ? `${views.crops}x${views.clips}` : "", stem ?? ""].filter(Boolean).join("_");
}

/** Writes the figures and the task's files of an evaluation into a folder, each file whole. */
export async function writeEvaluation(folder: string, run: EvaluationRun): Promise<EvaluationFigures> {
  const { evaluation, task, labels, everything = false, views, seconds, weights, list, adapter } = run;
  const { metrics, predictions, problems } = evaluation;
  const results = task.results?.(evaluation, { labels, everything }) ??
    { figures: {}, tables: {}, files: {} };
  const crops = views?.crops ?? 1, clips = views?.clips ?? 1;
  const figures: EvaluationFigures = {
    ...metrics,
    ...results.figures,
    clips: predictions.length,
    views: crops * clips,
    test_crops: crops,
    test_clips: clips,
    seconds: Math.round(seconds * 1000) / 1000,
    clips_per_second: Math.round(predictions.length / seconds * 1000) / 1000,
    broken: problems,
    weights,
    list,
    adapter,
    ...results.tables,
  };
  await writeFileWhole(join(folder, EVALUATION_FILES.figures), formatFigures(figures, results.tables));
  for (const [name, content] of Object.entries(results.files)) {
    await writeFileWhole(join(folder, name), content);
  }
  return figures;
}

/** A line a figure; a table, which may have thousands of numbers, stands on one line. */
function formatFigures(figures: EvaluationFigures, tables: Readonly<Record<string, unknown>>): string {
  const isTable = (key: string) => Object.hasOwn(tables, key);
  const entries = Object.entries(figures).filter(([, value]) => value !== undefined).map(([key, value]) => {
    const text = JSON.stringify(value, null, isTable(key) ? undefined : 2).replaceAll("\n", "\n  ");
    return `  ${JSON.stringify(key)}: ${text}`;
  });
  return `{\n${entries.join(",\n")}\n}\n`;
}
