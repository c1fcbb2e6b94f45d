/**
 * The run folder `runs/NAME/` (docs/architecture.md, "Run folder"): where a run's config, metrics, weights, summary and
 * report lie. Every file but the metrics is written whole; the metrics grow by whole lines.
 */
import { FRAME_CACHE_FOLDER } from "../recipe/frame_cache.ts";
import { dirname, join } from "node:path";
import {
  isTemporary,
  namesIn,
  reading,
  textOfFile,
  writeError,
  writeFileWhole,
  writing,
} from "../../data/files.ts";
import { type FolderLock, LOCK_FILE, lockFolder, removeTemporary } from "../../data/folder_lock.ts";
import { DataError } from "../../lib/errors.ts";
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

/** A run's folder, open for writing; no other process writes to it until it is disposed. */
export interface RunFolder extends Disposable {
  /** Path of the folder. */
  readonly path: string;
  /** Last part of the path. */
  readonly name: string;
  /** Why other processes cannot be kept out of the folder; null: they are. */
  readonly warning: string | null;
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
  await writing(root, () => Deno.mkdir(root, { recursive: true }));
  for (let copy = 1;; copy++) {
    const path = copyOf(root, name, copy);
    try {
      await Deno.mkdir(path);
    } catch (error) {
      if (error instanceof Deno.errors.AlreadyExists) continue;
      throw writeError(path, error);
    }
    return openFolder(path, await lockFolder(path, LOCKED_FOR));
  }
}

/** The path of the first run of a name, of the second, … */
function copyOf(root: string, name: string, copy: number): string {
  return join(root, copy === 1 ? name : `${name}-${copy}`);
}

/** The folder that the last run of a name was given; null: there is none. */
export async function lastOfName(root: string, name: string): Promise<string | null> {
  let last: string | null = null;
  for (let copy = 1;; copy++) {
    const path = copyOf(root, name, copy);
    if (!await exists(path)) return last;
    last = path;
  }
}

/** What other processes read of who holds a run's folder. */
const LOCKED_FOR = "train";

/** Names under which model libraries publish weights in a folder of their own, the usual one first. */
const MODEL_FILES = [
  "model.safetensors",
  "open_clip_model.safetensors",
  "pytorch_model.bin",
  "open_clip_pytorch_model.bin",
]
  .flatMap((name) => [name, `${name}.index.json`]);

/** @throws {DataError} where there is no run in the folder. */
export async function requireRunFolder(path: string): Promise<void> {
  if (await exists(join(path, RUN_FILES.config))) return;
  const names = await namesIn(path).catch((): string[] => []),
    weights = MODEL_FILES.find((name) => names.includes(name));
  const instead = weights === undefined
    ? ""
    : `; to use the model in it, name its file: ${join(path, weights)}`;
  throw new DataError(`Cannot open run "${path}": it must be a folder with a ${RUN_FILES.config}${instead}`);
}

/**
 * Opens the folder of an existing run, to go on with it.
 *
 * @throws {DataError} where there is no run in the folder, or another process is writing to it
 */
export async function openRunFolder(path: string): Promise<RunFolder> {
  const folder = path.replace(/(?<=.)[\\/]+$/, "");
  await requireRunFolder(folder);
  const lock = await lockFolder(folder, LOCKED_FOR);
  const names = await namesIn(folder);
  await removeTemporary(folder, names.filter(isTemporary));
  return openFolder(folder, lock);
}

/**
 * Removes the folder of a new run that failed before it began: one that holds nothing but its config, empty metrics and lists. Not for
 * a run that is gone on with, which may have begun and been killed before.
 */
export async function discardUnstarted(path: string): Promise<void> {
  const { config, metrics, shots, trainList, valList, labels } = RUN_FILES;
  const before: readonly string[] = [
    config,
    metrics,
    shots,
    trainList,
    valList,
    labels,
    LOCK_FILE,
    FRAME_CACHE_FOLDER,
  ];
  for (const name of await namesIn(path)) {
    if (!before.includes(name) && !isTemporary(name)) return;
    if (name !== metrics) continue;
    const file = join(path, name);
    if ((await reading(file, () => Deno.stat(file))).size > 0) return;
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
 * the interruption. A last line that was cut off in the middle goes too. Call it before the run appends anything: the file
 * is replaced, and what is appended would go into the old one.
 *
 * @param step optimiser steps done in the resumed state
 * @param evaluated whether the evaluation made at exactly that step, if any, belongs to the resumed state
 * @returns the number of lines removed
 */
export async function truncateMetrics(path: string, step: number, evaluated: boolean): Promise<number> {
  const file = join(path, RUN_FILES.metrics);
  if (!await exists(file)) return 0;
  const text = await textOfFile(file);
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
    ? (await textOfFile(file)).split("\n").slice(0, -1).map((line, i) =>
      parseMetricsLine(line, { file, number: i + 1 })
    )
    : [];
  return {
    steps: records.filter((record) => record.kind === "step"),
    evals: records.filter((record) => record.kind === "eval"),
  };
}

function openFolder(path: string, lock: FolderLock): RunFolder {
  let metrics: Deno.FsFile | null = null;
  const file = (which: keyof typeof RUN_FILES) => join(path, RUN_FILES[which]);
  const encoder = new TextEncoder();
  const write: RunFolder["write"] = (which, content) => writeFileWhole(file(which), content);
  return {
    path,
    name: path.slice(dirname(path).length).replace(/^[\\/]/, "") || path,
    warning: lock.warning,
    file,
    appendMetrics(record) {
      const line = encoder.encode(JSON.stringify(record) + "\n");
      try {
        metrics ??= Deno.openSync(file("metrics"), { create: true, append: true });
        for (let written = 0; written < line.length;) written += metrics.writeSync(line.subarray(written));
      } catch (error) {
        throw writeError(file("metrics"), error);
      }
    },
    flushMetrics: async () => await writing(file("metrics"), () => metrics?.sync()),
    async cutMetrics(step, evaluated) {
      await truncateMetrics(path, step, evaluated);
      metrics?.close(); // the file may be another one now
      metrics = null;
    },
    write,
    writeSummary: (summary) => write("summary", JSON.stringify(summary, null, 2) + "\n"),
    [Symbol.dispose]() {
      metrics?.close();
      lock[Symbol.dispose]();
    },
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
