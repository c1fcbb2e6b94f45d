/** What a run tells of itself in its folder: the lines of `metrics.jsonl` and `summary.json`, each with the schema it is read by. */

import { z } from "zod";
import { parseJson } from "../../data/schema.ts";
import { DataError } from "../../lib/errors.ts";

const count = z.int().nonnegative();
/** Epoch -1 is before all training. */
const epoch = z.int().min(-1);

const STEP_RECORD = z.object({
  kind: z.literal("step"),
  /** Epoch, from 0. */
  epoch,
  /** Optimiser steps done, from 1. */
  step: count,
  loss: z.number(),
  /** Learning rate of the classifier's group. */
  lr: z.number().nonnegative(),
  clips_per_second: z.number().nonnegative(),
  /** Share of the time spent waiting for data, 0 … 1. */
  data_wait: z.number().nonnegative(),
  /** GPU memory allocated, in bytes. */
  gpu_bytes: count,
  /** Updates skipped up to now, where they may be. */
  skipped_updates: count.optional(),
});

const EVAL_RECORD = z.object({
  kind: z.literal("eval"),
  epoch,
  /** Optimiser steps done before it. */
  step: count,
}).catchall(z.union([z.number(), z.literal("eval")]));

const METRICS_RECORD = z.discriminatedUnion("kind", [STEP_RECORD, EVAL_RECORD], {
  error: 'must be of the kind "step" or "eval"',
});

/** Progress of training, one line of `metrics.jsonl`. */
export type StepRecord = z.infer<typeof STEP_RECORD>;

/** Result of an evaluation, one line of `metrics.jsonl`: the task's metrics by key among these. Accuracies are shares, 0 … 1. */
export type EvalRecord = z.infer<typeof EVAL_RECORD>;

/** A line of `metrics.jsonl`. */
export type MetricsRecord = StepRecord | EvalRecord;

/** The best evaluation of a run: its place and the task's metrics by key. */
export const BEST = z.object({
  epoch,
  /** Optimiser steps done before it; runs of earlier versions do not say. */
  step: count.optional(),
}).catchall(z.number());

/** The best evaluation of a run. */
export type Best = z.infer<typeof BEST>;

const SUMMARY = z.looseObject({
  system: z.string(),
  backbone: z.string(),
  epochs: count,
  steps: count,
  clips: count,
  seconds: z.number().nonnegative(),
  clips_per_second: z.number().nonnegative(),
  gpu_bytes_planned: count,
  gpu_bytes_allocated: count,
  trainable_parameters: count,
  frozen_parameters: count,
  adapter: z.string(),
  /** null before the first evaluation. */
  best: BEST.nullable().optional(),
});

/**
 * `summary.json`: the task's metrics of the last evaluation among these, and further figures, such as the number of broken frames.
 * Accuracies are shares, 0 … 1.
 */
export type Summary = z.infer<typeof SUMMARY>;

/** A metric of a record; NaN where the record has none of that key. */
export function metricOf(record: Readonly<Record<string, unknown>>, key: string): number {
  const value = record[key];
  return typeof value === "number" ? value : NaN;
}

/**
 * Reads a line of the metrics.
 *
 * @param place.number Of the line, from 1.
 * @throws {DataError} naming the line.
 */
export function parseMetricsLine(
  line: string,
  { file, number }: { file: string; number: number },
): MetricsRecord {
  return parseJson(
    line,
    METRICS_RECORD,
    (what) => new DataError(`Cannot read "${file}": line ${number} is no record of a run: ${what}`),
  );
}

/** What every summary has, those of earlier versions too. */
const ALWAYS = ["system", "backbone", "steps", "clips", "seconds"] as const;

/** Reads a summary; one of an earlier version may lack figures. @throws {DataError} naming the file. */
export function parseSummary(text: string, file: string): Partial<Summary> {
  const fail = (what: string) => new DataError(`Cannot read "${file}": ${what}`);
  const summary = parseJson(text, SUMMARY.partial(), fail);
  const missing = ALWAYS.find((key) => summary[key] === undefined);
  if (missing === undefined) return summary;
  throw fail(
    `${missing} is missing, the file has been damaged; the end of train --resume writes it anew`,
  );
}
