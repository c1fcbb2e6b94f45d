/**
 * The run folder `runs/NAME/` (docs/architecture.md, "Run folder"): where a run's config, metrics, weights, summary and
 * report lie. Every file but the metrics is written whole; the metrics grow by whole lines.
 */
import { dirname, join } from "node:path";
import { writeFileWhole } from "../../data/files.ts";
import { ConfigError, DataError } from "../../lib/errors.ts";
import {
  type EvalRecord,
  type MetricsRecord,
  parseMetricsLine,
  type StepRecord,
  type Summary,
} from "./records.ts";

export {
  type Best,
  type EvalRecord,
  metricOf,
  type MetricsRecord,
  type StepRecord,
  type Summary,
} from "./records.ts";

/** The files of a run folder. */
export const RUN_FILES = {
  config: "config.yaml",
  metrics: "metrics.jsonl",
  last: "last.safetensors",
  best: "best.safetensors",
  state: "state.safetensors",
  summary: "summary.json",
  report: "report.html",
  /** The clips of a few-shot selection, as a list. */
  shots: "shots.txt",
  /** Lists of a run on a folder of class folders, which has none of its own. */
  trainList: "train.txt",
  valList: "val.txt",
  labels: "labels.csv",
} as const;

/** What `RunFolder.write` takes: text, bytes or chunks of bytes. */
export type FileContent = Parameters<typeof writeFileWhole>[1];

/** A run's folder, open for writing. */
export interface RunFolder extends Disposable {
  /** Path of the folder. */
  readonly path: string;
  /** Last part of the path. */
  readonly name: string;
  /** Path of one of the run's files. */
  file(which: keyof typeof RUN_FILES): string;
  /** Appends a line to the metrics and hands it to the operating system. */
  appendMetrics(record: MetricsRecord): void;
  /** Waits until the metrics are on the disk. */
  flushMetrics(): Promise<void>;
  /** Cuts the metrics back to a state: see `truncateMetrics`. */
  cutMetrics(step: number, evaluated: boolean): Promise<void>;
  /** Writes one of the run's files whole: on any failure the previous one is still there. */
  write(which: keyof typeof RUN_FILES, content: FileContent): Promise<void>;
  /** Writes `summary.json`. */
  writeSummary(summary: Summary): Promise<void>;
}

/**
 * Creates the folder of a new run. A name that is taken gets the suffix -2, -3, …
 *
 * @param root folder that holds the runs, created when missing
 * @example `using run = await createRunFolder("runs", "demo")`
 */
export async function createRunFolder(root: string, name: string): Promise<RunFolder> {
  try {
    await Deno.mkdir(root, { recursive: true });
    for (let copy = 1;; copy++) {
      const path = join(root, copy === 1 ? name : `${name}-${copy}`);
      try {
        await Deno.mkdir(path);
        return openFolder(path);
      } catch (error) {
        if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
      }
    }
  } catch (error) {
    throw new ConfigError(`Cannot create run "${name}" in "${root}": ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/** @throws {DataError} where there is no run in the folder. */
export async function requireRunFolder(path: string): Promise<void> {
  if (await exists(join(path, RUN_FILES.config))) return;
  throw new DataError(`Cannot open run "${path}": it must be a folder with a ${RUN_FILES.config}`);
}

/** Opens the folder of an existing run, to go on with it. */
export async function openRunFolder(path: string): Promise<RunFolder> {
  const folder = path.replace(/[\\/]+$/, "");
  await requireRunFolder(folder);
  return openFolder(folder);
}

/** Removes the folder of a run that failed before it began: one that holds nothing but empty metrics and lists. */
export async function discardUnstarted(path: string): Promise<void> {
  const { metrics, shots, trainList, valList, labels } = RUN_FILES;
  const before: readonly string[] = [metrics, shots, trainList, valList, labels];
  for await (const { name } of Deno.readDir(path)) {
    if (!before.includes(name)) return;
    if (name === metrics && (await Deno.stat(join(path, name))).size > 0) return;
  }
  await Deno.remove(path, { recursive: true });
}

/** Path of a run's weights to evaluate: best.safetensors, or last.safetensors when no evaluation was made. */
export async function weightsOfRun(path: string): Promise<string> {
  for (const file of [RUN_FILES.best, RUN_FILES.last]) {
    if (await exists(join(path, file))) return join(path, file);
  }
  throw new DataError(`Cannot open run "${path}": it must hold ${RUN_FILES.best} or ${RUN_FILES.last}`);
}

/**
 * Cuts the metrics of a run back to the state that it is resumed from, so that they end up as those of a run without
 * the interruption. A last line that was cut off in the middle goes too. Call it before `openRunFolder`: the file is
 * replaced, and an open run would go on writing into the old one.
 *
 * @param step optimiser steps done in the resumed state
 * @param evaluated whether the evaluation made at exactly that step, if any, belongs to the resumed state
 * @returns the number of lines removed
 */
export async function truncateMetrics(path: string, step: number, evaluated: boolean): Promise<number> {
  const file = join(path, RUN_FILES.metrics);
  if (!await exists(file)) return 0;
  const text = await Deno.readTextFile(file);
  const lines = text.split("\n");
  const torn = lines.pop() ?? "";
  const kept = lines.filter((line, i) => {
    const record = parseMetricsLine(line, { file, number: i + 1 });
    return record.kind === "eval" && !evaluated ? record.step < step : record.step <= step;
  });
  const removed = lines.length - kept.length + (torn === "" ? 0 : 1);
  if (removed > 0) {
    await writeFileWhole(
      file,
      new TextEncoder().encode(kept.map((line) => line + "\n").join("")),
    );
  }
  return removed;
}

/** Reads the metrics of a run. */
export async function readMetrics(path: string): Promise<{ steps: StepRecord[]; evals: EvalRecord[] }> {
  const file = join(path, RUN_FILES.metrics);
  const records = await exists(file)
    ? (await Deno.readTextFile(file)).split("\n").slice(0, -1).map((line, i) =>
      parseMetricsLine(line, { file, number: i + 1 })
    )
    : [];
  return {
    steps: records.filter((record) => record.kind === "step"),
    evals: records.filter((record) => record.kind === "eval"),
  };
}

function openFolder(path: string): RunFolder {
  const openMetrics = () => Deno.openSync(join(path, RUN_FILES.metrics), { create: true, append: true });
  let metrics = openMetrics();
  const file = (which: keyof typeof RUN_FILES) => join(path, RUN_FILES[which]);
  const encoder = new TextEncoder();
  const write: RunFolder["write"] = (which, content) => writeFileWhole(file(which), content);
  return {
    path,
    name: path.slice(dirname(path).length).replace(/^[\\/]/, "") || path,
    file,
    appendMetrics(record) {
      const line = encoder.encode(JSON.stringify(record) + "\n");
      for (let written = 0; written < line.length;) written += metrics.writeSync(line.subarray(written));
    },
    flushMetrics: () => metrics.sync(),
    async cutMetrics(step, evaluated) {
      await truncateMetrics(path, step, evaluated);
      metrics.close(); // the file may be another one now
      metrics = openMetrics();
    },
    write,
    writeSummary: (summary) => write("summary", JSON.stringify(summary, null, 2) + "\n"),
    [Symbol.dispose]: () => metrics.close(),
  };
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch {
    return false;
  }
}
