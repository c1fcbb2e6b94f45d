/** A recorded reference case, wherever its description and its tensors come from. */

import { DataError } from "../../lib/errors.ts";
import type { WeightSource } from "../../models/params.ts";

/** The description, as far as replaying needs it. */
export interface CaseDescription {
  system: string;
  case: string;
  file: string;
  // deno-lint-ignore no-explicit-any
  config: any;
  /** Texts and their tokens, in cases of a tokenizer, which has no configuration. */
  strings?: { text: string; ids: number[] }[];
  /** Matrices of scores and their metrics, in cases of metrics. */
  cases?: RecordedMetrics[];
  null_gradient_parameters?: string[];
  /** Error of a recorded f32 gradient against f64, relative to the tensor's largest value, where it is worth telling. */
  noisy_gradients?: Record<string, number>;
  float32_against_float64?: Record<string, number>;
}

/** Metrics of a matrix of scores, which is the tensor of this name. */
export interface RecordedMetrics {
  name: string;
  /** Sentences of every video, in order; absent: one each. */
  sentences_per_video?: number[];
  text_to_video: RecordedDirection;
  video_to_text: RecordedDirection;
}

/** One direction: shares of 100, ranks from 1, and the ranks of the queries from 0. */
export interface RecordedDirection {
  R1: number;
  R5: number;
  R10: number;
  MedianR: number;
  MeanR: number;
  cols?: number[];
}

/** An open case. */
export interface ReferenceCase extends AsyncDisposable {
  readonly description: CaseDescription;
  has(name: string): boolean;
  /** Names that start with `prefix`, in the file's order. */
  names(prefix: string): string[];
  shapeOf(name: string): readonly number[];
  read(name: string): Promise<Float32Array>;
}

/**
 * Refuses what is no description of a case.
 *
 * @throws {DataError}
 */
export function requireDescription(description: CaseDescription, path: string): void {
  const isWithoutNetwork = Array.isArray(description?.strings) || Array.isArray(description?.cases);
  if (
    typeof description?.system !== "string" || (typeof description.config !== "object" && !isWithoutNetwork)
  ) {
    throw new DataError(
      `Cannot read case "${path}": it must have "system" and "config", or "strings" or "cases", as in a recorded reference case`,
    );
  }
}

/** A case whose tensors are those of an open file, which is the case's from now on. */
export function referenceCase(
  source: WeightSource & Partial<AsyncDisposable>,
  description: CaseDescription,
): ReferenceCase {
  const all = [...source.names()];
  return {
    description,
    has: (name) => source.shapeOf(name) !== undefined,
    names: (prefix) => all.filter((name) => name.startsWith(prefix)),
    shapeOf: (name) => source.shapeOf(name)!,
    read: (name) => source.readF32(name),
    [Symbol.asyncDispose]: async () => await source[Symbol.asyncDispose]?.(),
  };
}
