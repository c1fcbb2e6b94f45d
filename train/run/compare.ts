/** Runs side by side: their figures from what the run folders hold, and the rows of the comparison. */

import { join } from "node:path";
import { DataError } from "../../lib/errors.ts";
import { type Config, loadConfig } from "../recipe/config.ts";
import { formatBytes, formatCount, formatDuration, formatShare, formatValue } from "../../lib/text.ts";
import { type EvalRecord, readMetrics, RUN_FILES, type StepRecord, type Summary } from "../files/run_folder.ts";

/** Figures of a run, in the names of `summary.json`; null where the run has not got that far. */
export interface RunFigures {
  run: string;
  system: string;
  backbone: string;
  top1: number | null;
  top5: number | null;
  loss: number | null;
  /** Of all evaluations. */
  best_top1: number | null;
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
  steps: StepRecord[];
  evals: EvalRecord[];
}

/** Reads what a run folder tells. A run that has not ended is told from its metrics. */
export async function readRun(path: string): Promise<ComparedRun> {
  let text: string;
  try {
    await Deno.stat(join(path, RUN_FILES.config));
    text = await Deno.readTextFile(join(path, RUN_FILES.summary)).catch((error) => {
      if (error instanceof Deno.errors.NotFound) return "{}";
      throw error;
    });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new DataError(
      `Cannot compare "${path}": it must be a run folder, there is no ${RUN_FILES.config} in it`,
    );
  }
  const { config } = await loadConfig(join(path, RUN_FILES.config));
  const { steps, evals } = await readMetrics(path);
  const summary = parseSummary(text, path), last = steps.at(-1), evaluated = evals.at(-1);
  const given = (value: number | undefined) => value ?? null;
  const figures: RunFigures = {
    run: path.replace(/[\\/]+$/, ""),
    system: summary.system ?? config.system,
    backbone: summary.backbone ?? config.network.arch,
    top1: given(summary.top1 ?? evaluated?.top1),
    top5: given(summary.top5 ?? evaluated?.top5),
    loss: given(summary.loss ?? evaluated?.loss),
    best_top1: evals.length > 0 ? evals.reduce((best, { top1 }) => Math.max(best, top1), 0) : null,
    steps: summary.steps ?? last?.step ?? 0,
    clips: given(summary.clips),
    seconds: given(summary.seconds),
    clips_per_second: given(summary.clips_per_second ?? last?.clips_per_second),
    gpu_bytes: given(summary.gpu_bytes_allocated ?? last?.gpu_bytes),
    trainable_parameters: given(summary.trainable_parameters),
    frozen_parameters: given(summary.frozen_parameters),
    adapter: summary.adapter ?? null,
    finished: summary.steps !== undefined,
  };
  return { figures, config, steps, evals };
}

function parseSummary(text: string, path: string): Partial<Summary> {
  try {
    return JSON.parse(text) as Partial<Summary>;
  } catch (error) {
    throw new DataError(
      `Cannot compare "${path}": ${RUN_FILES.summary} must be JSON: ${(error as Error).message}`,
    );
  }
}

/** A line of the comparison: a figure's name and its text for every run. */
export interface FigureRow {
  name: string;
  values: string[];
  /** Which runs have the best value; empty where all are equal or none is better. */
  best: number[];
}

type Numeric = {
  [K in keyof RunFigures]: RunFigures[K] extends number | null ? K : never;
}[keyof RunFigures];

const ROWS: readonly [
  name: string,
  key: Numeric,
  format: (value: number) => string,
  better: "more" | "less" | null,
][] = [
  ["top-1", "top1", (x) => formatShare(x), "more"],
  ["top-5", "top5", (x) => formatShare(x), "more"],
  ["best top-1", "best_top1", (x) => formatShare(x), "more"],
  ["validation loss", "loss", formatValue, "less"],
  ["steps", "steps", formatCount, null],
  ["time", "seconds", formatDuration, "less"],
  ["clips a second", "clips_per_second", (x) => x.toPrecision(3), "more"],
  ["GPU memory", "gpu_bytes", formatBytes, "less"],
  ["trainable parameters", "trainable_parameters", formatCount, "less"],
  ["frozen parameters", "frozen_parameters", formatCount, null],
];

/** The figures of runs as rows of text. */
export function figureRows(runs: readonly RunFigures[]): FigureRow[] {
  const words: FigureRow[] = (["system", "backbone"] as const).map((key) => ({
    name: key,
    values: runs.map((run) => run[key]),
    best: [],
  }));
  const numbers = ROWS.map(([name, key, format, better]): FigureRow => {
    const values = runs.map((run) => run[key]);
    return {
      name,
      values: values.map((value) => (value === null ? "–" : format(value))),
      best: better === null ? [] : bestOf(values, better),
    };
  });
  const state = {
    name: "state",
    values: runs.map(({ finished }) => (finished ? "ended" : "under way")),
    best: [],
  };
  return [...words, ...numbers, state];
}

function bestOf(values: readonly (number | null)[], better: "more" | "less"): number[] {
  const known = values.filter((value) => value !== null);
  if (known.length < 2) return [];
  const best = better === "more" ? Math.max(...known) : Math.min(...known);
  return known.every((value) => value === best)
    ? []
    : values.flatMap((value, i) => (value === best ? [i] : []));
}
