/** Runs side by side: their figures from what the run folders hold, and the rows of the comparison. */

import { join } from "node:path";
import { readError, textOfFileIfAny } from "../../data/files.ts";
import { DataError } from "../../lib/errors.ts";
import type { Config } from "../recipe/config.ts";
import { formatBytes, formatCount, formatDuration } from "../../lib/text.ts";
import { loadRunConfig } from "../files/run_config.ts";
import { taskOfRecipe } from "../tasks/session_options.ts";
import { formatMetric } from "../tasks/metric_text.ts";
import { bestColumn, type MetricColumn, type Task } from "../tasks/task.ts";
import { parseSummary, type Summary } from "../files/records.ts";
import { type EvalRecord, metricOf, readMetrics, RUN_FILES, type StepRecord } from "../files/run_folder.ts";

/** Figures of a run, in the names of `summary.json`; null where the run has not got that far. */
export interface RunFigures {
  run: string;
  system: string;
  backbone: string;
  /** The task's metrics, by key; the best of all evaluations as `best_` and the key of the task's best metric. */
  [metric: string]: unknown;
  steps: number;
  clips: number | null;
  seconds: number | null;
  clips_per_second: number | null;
  gpu_bytes: number | null;
  trainable_parameters: number | null;
  frozen_parameters: number | null;
  adapter: string | null;
  /** Whether the run has ended. */
  finished: boolean;
}

/** A run as a comparison needs it. */
export interface ComparedRun {
  figures: RunFigures;
  config: Config;
  task: Task;
  steps: StepRecord[];
  evals: EvalRecord[];
}

/** Reads what a run folder tells. A run that has not ended is told from its metrics. */
export async function readRun(path: string): Promise<ComparedRun> {
  try {
    await Deno.stat(join(path, RUN_FILES.config));
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw readError(path, error);
    throw new DataError(
      `Cannot compare "${path}": it must be a run folder, there is no ${RUN_FILES.config} in it`,
    );
  }
  const text = await textOfFileIfAny(join(path, RUN_FILES.summary));
  const { config } = await loadRunConfig(path);
  const { steps, evals } = await readMetrics(path);
  const summary: Partial<Summary> = text === null ? {} : parseSummary(text, join(path, RUN_FILES.summary));
  const last = steps.at(-1), evaluated = evals.at(-1);
  const given = (value: number | undefined) => value ?? null;
  const task = taskOfRecipe(config), best = bestColumn(task);
  const metric = (key: string) => {
    const value = summary[key] ?? evaluated?.[key];
    return typeof value === "number" ? value : null;
  };
  const figures: RunFigures = {
    run: path.replace(/[\\/]+$/, ""),
    system: summary.system ?? config.system,
    backbone: summary.backbone ?? config.network.arch,
    ...Object.fromEntries(task.metrics.map(({ key }) => [key, metric(key)])),
    [`best_${best.key}`]: bestOf(evals.map((record) => metricOf(record, best.key)), best.better),
    steps: summary.steps ?? last?.step ?? 0,
    clips: given(summary.clips),
    seconds: given(summary.seconds),
    clips_per_second: given(summary.clips_per_second ?? last?.clips_per_second),
    gpu_bytes: given(summary.gpu_bytes_allocated ?? last?.gpu_bytes),
    trainable_parameters: given(summary.trainable_parameters),
    frozen_parameters: given(summary.frozen_parameters),
    adapter: summary.adapter ?? null,
    finished: text !== null,
  };
  return { figures, config, task, steps, evals };
}

/** A line of the comparison: a figure's name and its text for every run. */
export interface FigureRow {
  name: string;
  values: string[];
  /** Which runs have the best value; empty where all are equal or none is better. */
  best: number[];
}

type Row = [name: string, key: string, format: (value: number) => string, better: "more" | "less" | null];

/** Rows of the tasks' metrics: shares first, then the best, then the others. */
function metricRows(tasks: readonly Task[]): Row[] {
  const columns = new Map(tasks.flatMap(({ metrics }) => metrics).map((column) => [column.key, column]));
  const row = (column: MetricColumn, prefix = ""): Row => [
    prefix === "" ? column.title : `best ${column.title}`,
    prefix + column.key,
    (value) => formatMetric(column, value),
    column.better,
  ];
  const all = [...columns.values()],
    bests = new Map(tasks.map(bestColumn).map((column) => [column.key, column]));
  return [
    ...all.filter(({ format }) => format === "share").map((column) => row(column)),
    ...[...bests.values()].map((column) => row(column, "best_")),
    ...all.filter(({ format }) => format !== "share").map((column) => row(column)),
  ];
}

const ROWS: readonly Row[] = [
  ["steps", "steps", formatCount, null],
  ["time", "seconds", formatDuration, "less"],
  ["clips a second", "clips_per_second", (x) => x.toPrecision(3), "more"],
  ["GPU memory", "gpu_bytes", formatBytes, "less"],
  ["trainable parameters", "trainable_parameters", formatCount, "less"],
  ["frozen parameters", "frozen_parameters", formatCount, null],
];

/** The figures of runs as rows of text. */
export function figureRows(compared: readonly Pick<ComparedRun, "figures" | "task">[]): FigureRow[] {
  const runs = compared.map(({ figures }) => figures);
  const words: FigureRow[] = (["system", "backbone"] as const).map((key) => ({
    name: key,
    values: runs.map((run) => run[key]),
    best: [],
  }));
  const rows = [...metricRows(compared.map(({ task }) => task)), ...ROWS];
  const numbers = rows.map(([name, key, format, better]): FigureRow => {
    const values = runs.map((run) => (run[key] ?? null) as number | null);
    return {
      name,
      values: values.map((value) => (value === null ? "–" : format(value))),
      best: better === null ? [] : placesOfBest(values, better),
    };
  });
  const state = {
    name: "state",
    values: runs.map(({ finished }) => (finished ? "ended" : "under way")),
    best: [],
  };
  return [...words, ...numbers, state];
}

/** The best of some values; null of none. */
function bestOf(values: readonly number[], better: "more" | "less"): number | null {
  const pick = better === "more" ? Math.max : Math.min;
  return values.length === 0 ? null : values.reduce((best, value) => pick(best, value));
}

function placesOfBest(values: readonly (number | null)[], better: "more" | "less"): number[] {
  const known = values.filter((value) => value !== null);
  if (known.length < 2) return [];
  const best = bestOf(known, better);
  return known.every((value) => value === best)
    ? []
    : values.flatMap((value, i) => (value === best ? [i] : []));
}
