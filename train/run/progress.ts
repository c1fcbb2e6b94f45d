/**
 * The words of training progress: one short line for a terminal, which is rewritten in place, and plain lines for a log.
 * Pure formatting; printing is done in `cli/`.
 */
import {
  formatBytes,
  formatDuration,
  formatShare,
  formatValue,
  progressBar,
  threeDigits,
} from "../../lib/text.ts";
import { type EvalRecord, metricOf, type StepRecord, type Summary } from "../files/run_folder.ts";
import { formatMetric } from "../tasks/metric_text.ts";
import type { MetricColumn } from "../tasks/task.ts";
import type { TimeLeft } from "./pace.ts";

/** Where a run stands. */
export interface Progress extends TimeLeft {
  /** The newest line of metrics; null: there is none yet. */
  record: StepRecord | null;
  /** Steps done, where they are more than the record's. */
  step?: number;
  /** Optimiser steps of the whole run. */
  totalSteps: number;
  /** Epochs of the whole run. */
  epochs: number;
}

/** Seconds until the run has ended, evaluations included; NaN as long as nothing is known of its pace. */
export function remainingSeconds(progress: Progress): number {
  const { totalSteps, secondsPerStep, evaluationSeconds } = progress;
  return Math.max(0, totalSteps - stepOf(progress)) * (secondsPerStep ?? NaN) + evaluationSeconds;
}

function stepOf({ record, step }: Progress): number {
  return Math.max(step ?? 0, record?.step ?? 0);
}

/** The parts of a progress line, the most telling first. */
function parts(progress: Progress): string[] {
  const { record } = progress, eta = remainingSeconds(progress);
  const ETA = Number.isNaN(eta) ? [] : [`ETA ${formatDuration(eta)}`];
  if (record === null) return ETA;
  return [
    `loss ${formatValue(record.loss)}`,
    ...ETA,
    `${threeDigits(record.clips_per_second)} clips/s`,
    `data wait ${formatShare(record.data_wait, 0)}`,
    `GPU ${formatBytes(record.gpu_bytes)}`,
    `lr ${record.lr.toExponential(2)}`,
  ];
}

/** A line for a log file or a pipe: everything, in a fixed order. */
export function formatProgressLine(progress: Progress & { record: StepRecord }): string {
  const { record, totalSteps, epochs } = progress;
  return [`epoch ${record.epoch + 1}/${epochs} step ${record.step}/${totalSteps}`, ...parts(progress)].join(
    " · ",
  );
}

/**
 * A line for a terminal: a bar and as many figures as fit, never wider than `columns`, so that it can be rewritten in
 * place with a carriage return.
 */
export function formatTerminalLine(progress: Progress, columns: number): string {
  const { totalSteps } = progress, step = stepOf(progress);
  const share = totalSteps > 0 ? step / totalSteps : 0;
  const head = `${String(Math.floor(100 * share)).padStart(3)} %`;
  const bar = columns >= 60 ? `▕${progressBar(share, columns >= 100 ? 20 : 10)}▏` : "";
  const pieces = [`${bar}${head} ${step}/${totalSteps}`];
  let length = pieces[0].length;
  for (const part of parts(progress)) {
    // One column stays free: a full line makes some terminals wrap.
    if (length + 3 + part.length >= columns) break;
    pieces.push(part);
    length += 3 + part.length;
  }
  return pieces.join(" · ").slice(0, Math.max(0, columns - 1));
}

/** The line that reports an evaluation. */
export function formatEvaluation(
  record: EvalRecord,
  options: { epochs: number; best: boolean; columns: readonly MetricColumn[] },
): string {
  const place = record.step === 0 ? "before training" : `after epoch ${record.epoch + 1}/${options.epochs}`;
  return `evaluation ${place}: ${formatMetrics(record, options)}${options.best ? " · best so far" : ""}`;
}

/** Where the best evaluation of a run was and what it gave, beside the last one; "" where none was made. */
export function formatBest(
  { best, steps }: Pick<Summary, "best" | "steps">,
  options: { columns: readonly MetricColumn[] },
): string {
  if (!best) return "";
  return best.step === steps
    ? "the last evaluation is the best"
    : `best after epoch ${best.epoch + 1}: ${formatMetrics(best, options)}`;
}

/** The metrics of an evaluation in one line, without details. */
function formatMetrics(
  record: Readonly<Record<string, unknown>>,
  { columns }: { columns: readonly MetricColumn[] },
): string {
  return columns.filter(({ detail }) => !detail)
    .map((column) => `${column.name} ${formatMetric(column, metricOf(record, column.key))}`)
    .join(" · ");
}
