/**
 * The words of training progress: one short line for a terminal, which is rewritten in place, and plain lines for a log.
 * Pure formatting; printing is done in `cli/`.
 */
import type { EvalRecord, StepRecord } from "./run_folder.ts";

/** Where a run stands. */
export interface Progress {
  record: StepRecord;
  /** Optimiser steps of the whole run. */
  totalSteps: number;
  /** Epochs of the whole run. */
  epochs: number;
  /** Mean time of a step, in seconds: the ETA is built on it. */
  secondsPerStep: number;
}

/** A duration as `42s`, `3m 05s`, `2h 07m` or `3d 04h`. */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds) || seconds < 0) return "?";
  const whole = Math.round(seconds);
  const two = (n: number) => String(n).padStart(2, "0");
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${two(whole % 60)}s`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)}h ${two(Math.floor(whole % 3600 / 60))}m`;
  return `${Math.floor(whole / 86_400)}d ${two(Math.floor(whole % 86_400 / 3600))}h`;
}

/** Bytes in binary units with three significant digits: `812 B`, `4.25 GiB`. */
export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes, unit = 0;
  // From 999.5 on, three digits would round up to 1000.
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? Math.round(value) : threeDigits(value)} ${units[unit]}`;
}

/** A count with thousands separators: `21,112,686`. */
export function formatCount(count: number): string {
  return Math.round(count).toLocaleString("en-US");
}

/** A share as a percentage: `97.3 %`. */
export function formatShare(share: number, digits = 1): string {
  return Number.isFinite(share) ? `${(100 * share).toFixed(digits)} %` : "?";
}

/** A loss or a rate: four digits, scientific below a thousandth. */
export function formatValue(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  if (value !== 0 && Math.abs(value) < 1e-3) return value.toExponential(2);
  return value.toFixed(4);
}

/** Seconds until the last step, at the mean time of a step. */
export function remainingSeconds({ record, totalSteps, secondsPerStep }: Progress): number {
  return Math.max(0, totalSteps - record.step) * secondsPerStep;
}

/** The parts of a progress line, the most telling first. */
function parts(progress: Progress): string[] {
  const { record } = progress;
  return [
    `loss ${formatValue(record.loss)}`,
    `ETA ${formatDuration(remainingSeconds(progress))}`,
    `${threeDigits(record.clips_per_second)} clips/s`,
    `data wait ${formatShare(record.data_wait, 0)}`,
    `GPU ${formatBytes(record.gpu_bytes)}`,
    `lr ${record.lr.toExponential(2)}`,
  ];
}

/** A line for a log file or a pipe: everything, in a fixed order. */
export function formatProgressLine(progress: Progress): string {
  const { record, totalSteps, epochs } = progress;
  return [`epoch ${record.epoch + 1}/${epochs} step ${record.step}/${totalSteps}`, ...parts(progress)].join(
    " · ",
  );
}

const BAR_BLOCKS = " ▏▎▍▌▋▊▉█";

/** A bar of `width` cells, filled to a share in eighths of a cell. */
export function progressBar(share: number, width: number): string {
  const eighths = Math.round(Math.min(1, Math.max(0, share)) * width * 8);
  const full = Math.floor(eighths / 8);
  if (full >= width) return "█".repeat(width);
  return "█".repeat(full) + BAR_BLOCKS[eighths % 8] + " ".repeat(width - full - 1);
}

/**
 * A line for a terminal: a bar and as many figures as fit, never wider than `columns`, so that it can be rewritten in
 * place with a carriage return.
 */
export function formatTerminalLine(progress: Progress, columns: number): string {
  const { record, totalSteps } = progress;
  const share = totalSteps > 0 ? record.step / totalSteps : 0;
  const head = `${String(Math.floor(100 * share)).padStart(3)} %`;
  const bar = columns >= 60 ? `▕${progressBar(share, columns >= 100 ? 20 : 10)}▏` : "";
  const pieces = [`${bar}${head} ${record.step}/${totalSteps}`];
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
export function formatEvaluation(record: EvalRecord, options: { epochs: number; best: boolean }): string {
  const figures = [
    `top-1 ${formatShare(record.top1)}`,
    `top-5 ${formatShare(record.top5)}`,
    `loss ${formatValue(record.loss)}`,
  ];
  return `evaluation after epoch ${record.epoch + 1}/${options.epochs}: ${figures.join(" · ")}${
    options.best ? " · best so far" : ""
  }`;
}

function threeDigits(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}
