/** Runs side by side: their figures from what the run folders hold, and the rows of the comparison. */

import { basename, join } from "node:path";
import { readError, textOfFileIfAny } from "../../data/files.ts";
import { DataError } from "../../lib/errors.ts";
import type { Config } from "../recipe/config.ts";
import { formatBytes, formatCount, formatDuration } from "../../lib/text.ts";
import { loadRunConfig } from "../files/run_config.ts";
import { taskOfRecipe } from "../tasks/session_options.ts";
import { formatMetric } from "../tasks/metric_text.ts";
import { bestColumn, type MetricColumn, type Task } from "../tasks/task.ts";
import { parseSummary, type Summary } from "../files/records.ts";
import { type Outcome, runEnd } from "./outcome.ts";
import {
  type DifferingSetting,
  differingSettings,
  namesOfSets,
  type ValidationSet,
  validationSet,
} from "./settings.ts";
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
  /** "ended", "under way", "stopped" or "failed". */
  state: Outcome;
  /** Step of the state from which `train --resume` goes on; null without one. */
  saved_step: number | null;
  /** Clips of its validation set; null where the list cannot be read any more. */
  validation_clips: number | null;
}

/** A run as a comparison needs it. */
export interface ComparedRun {
  figures: RunFigures;
  config: Config;
  task: Task;
  validation: ValidationSet;
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
    // A run that was gone on with has evaluations behind its earlier summary.
    const isNewer = evaluated !== undefined && evaluated.step > (summary.steps ?? -1);
    const value = isNewer ? evaluated[key] ?? summary[key] : summary[key] ?? evaluated?.[key];
    return typeof value === "number" ? value : null;
  };
  const [end, validation] = await Promise.all([
    runEnd(path, { summary: summary.steps ?? null, last: Math.max(last?.step ?? 0, evaluated?.step ?? 0) }),
    validationSet({ path, config }),
  ]);
  const figures: RunFigures = {
    run: path.replace(/[\\/]+$/, ""),
    system: summary.system ?? config.system,
    backbone: summary.backbone ?? config.network.arch,
    ...Object.fromEntries(task.metrics.map(({ key }) => [key, metric(key)])),
    [`best_${best.key}`]: bestOf(evals.map((record) => metricOf(record, best.key)), best.better),
    // A state may be of a step whose line of metrics was still to come.
    steps: Math.max(summary.steps ?? 0, last?.step ?? 0, end.savedStep ?? 0),
    clips: given(summary.clips),
    seconds: given(summary.seconds),
    clips_per_second: given(summary.clips_per_second ?? last?.clips_per_second),
    gpu_bytes: given(summary.gpu_bytes_allocated ?? last?.gpu_bytes),
    trainable_parameters: given(summary.trainable_parameters),
    frozen_parameters: given(summary.frozen_parameters),
    adapter: summary.adapter ?? null,
    finished: end.outcome === "ended",
    state: end.outcome,
    saved_step: end.savedStep,
    validation_clips: validation.clips,
  };
  return { figures, config, task, validation, steps, evals };
}

/** Whether there is a run in a folder. */
export async function isRun(path: string): Promise<boolean> {
  return await Deno.stat(join(path, RUN_FILES.config)).then(({ isFile }) => isFile, () => false);
}

/** Names for runs in tables: their folders', without what stands before the name where names are told apart without it. */
export function shortNames(runs: readonly string[]): string[] {
  const names = runs.map((run) => basename(run));
  return new Set(names).size === names.length ? names : [...runs];
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
export function figureRows(
  compared: readonly Pick<ComparedRun, "figures" | "task" | "config" | "validation">[],
): FigureRow[] {
  const runs = compared.map(({ figures }) => figures);
  const words: FigureRow[] = (["system", "backbone"] as const).map((key) => ({
    name: key,
    values: runs.map((run) => run[key]),
    best: [],
  }));
  const sameClips = !differByClips(compared);
  const metrics = metricRows(compared.map(({ task }) => task));
  const numbers = [...metrics, ...ROWS].map(([name, key, format, better], i): FigureRow => {
    const values = runs.map((run) => (run[key] ?? null) as number | null);
    return {
      name,
      values: values.map((value) => (value === null ? "–" : format(value))),
      // What was measured on other clips is neither better nor worse.
      best: better === null || i < metrics.length && !sameClips ? [] : placesOfBest(values, better),
    };
  });
  const state = { name: "state", values: runs.map(stateText), best: [] };
  const sets = sameClips ? [] : [{
    name: "validation set",
    values: namesOfSets(compared.map(({ validation }) => validation)),
    best: [],
  }];
  const settings = settingsOf(compared).map(({ key, values }) => ({
    name: key,
    values: [...values],
    best: [],
  }));
  return [...words, state, ...sets, ...numbers, ...settings];
}

/** Up to so many runs stand side by side; more are a line each. */
const MOST_COLUMNS = 6;

/** A comparison laid out for reading. */
export interface ComparisonTable {
  /** Whether a line is a run; otherwise it is a figure. */
  readonly byRun: boolean;
  /** Names of the runs, as short as they can be. */
  readonly runs: readonly string[];
  readonly rows: readonly FigureRow[];
  /** Of many runs, the figures that are the same in all, which are no rows then. */
  readonly shared: readonly { readonly name: string; readonly value: string }[];
}

/** Lays a comparison out: with many runs, what is the same in all of them is taken out and a line is a run. */
export function comparisonTable(compared: readonly ComparedRun[]): ComparisonTable {
  const rows = figureRows(compared), runs = compared.map(({ figures }) => figures.run);
  if (runs.length <= MOST_COLUMNS) return { byRun: false, runs, rows, shared: [] };
  const isShared = ({ values }: FigureRow) => values.every((value) => value === values[0]);
  const shared = rows.filter(isShared).filter(({ values }) => values[0] !== "–");
  return {
    byRun: true,
    runs: shortNames(runs),
    rows: rows.filter((row) => !isShared(row)),
    shared: shared.map(({ name, values }) => ({ name, value: values[0] })),
  };
}

/** What is to be known of a comparison before its figures are read, a line each. */
export function remarksOn(compared: readonly ComparedRun[]): string[] {
  return differByClips(compared)
    ? ['the runs have different validation sets (row "validation set"): their metrics do not compare']
    : [];
}

/** The keys in which the recipes of compared runs differ. */
export function settingsOf(compared: readonly Pick<ComparedRun, "figures" | "config">[]): DifferingSetting[] {
  return differingSettings(compared.map(({ figures, config }) => ({ path: figures.run, config })));
}

/** Whether runs were judged on different clips, so that their metrics do not compare. */
export function differByClips(compared: readonly Pick<ComparedRun, "validation">[]): boolean {
  return compared.some(({ validation }) => validation.id !== compared[0].validation.id);
}

function stateText({ state, steps, saved_step: saved }: RunFigures): string {
  if (state === "ended" || state === "under way") return state;
  return `${state} at step ${formatCount(steps)}${
    saved === null ? ", no state" : saved === steps ? "" : `, saved at ${formatCount(saved)}`
  }`;
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
