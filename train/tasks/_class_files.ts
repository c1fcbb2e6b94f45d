/** An evaluation's predictions of classes as files: CSV and JSON lines. */

import { stringify } from "csv-stringify/sync";
import { neutralText } from "../../lib/neutral.ts";
import { rankOf, topClasses } from "./class_metrics.ts";
import { type ClassShare, topShares } from "./class_shares.ts";
import type { ClipResult } from "./task.ts";

/** Result for one clip. */
export interface ClassPrediction extends ClipResult {
  /** By class, averaged over views. */
  readonly probabilities: Float64Array;
}

/** Classes written for every clip. */
const TOP = 5;

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
  predictions: readonly ClassPrediction[],
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
        rank: rankOf(probabilities, label),
        top: topShares(probabilities, labels, TOP),
      };
      if (options.all) line.probabilities = Array.from(probabilities, (p) => Number(p.toPrecision(6)));
      return JSON.stringify(line) + "\n";
    });
    yield encoder.encode(lines.join(""));
  }
}

/**
 * One line a clip: its class, the probability it was given and its rank, then the best classes with theirs. The table is for
 * spreadsheets, which take text that begins like a formula for one: such text has a "'" before it, as OWASP advises, and what a
 * terminal would act on stands as an escape. The JSON lines have every text as it is.
 */
export function predictionsCsv(predictions: readonly ClassPrediction[], labels: readonly string[]): string {
  const top = Math.min(TOP, labels.length);
  const header = ["path", "label", "label_name", "label_p", "label_rank"];
  for (let k = 1; k <= top; k++) header.push(`top${k}`, `top${k}_name`, `top${k}_p`);
  const lines = predictions.map(({ path, label, probabilities }) => {
    const best = topClasses(probabilities, top).flatMap((k) => [k, labels[k], probabilities[k]]);
    return [path, label, labels[label], probabilities[label], rankOf(probabilities, label), ...best];
  });
  return stringify([header, ...lines], { escape_formulas: true, cast: { string: neutralText } });
}
