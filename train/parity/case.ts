/** A recorded reference case: a JSON description beside a safetensors file (docs/architecture.md, "Reference cases"). */

import { type OpenCheckpoint, openCheckpoint } from "../files/checkpoint.ts";
import { textOfFile } from "../../data/files.ts";
import { DataError } from "../../lib/errors.ts";
import { referenceCase, requireDescription } from "./reference.ts";

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

/** Opens `path` (JSON) and the safetensors file it names. */
export async function openCase(path: string): Promise<ReferenceCase> {
  let description: CaseDescription;
  try {
    description = JSON.parse(await textOfFile(path));
  } catch (error) {
    throw new DataError(`Cannot read case "${path}": ${(error as Error).message}`);
  }
  requireDescription(description, path);
  const file = description.file ?? `${path.replace(/^.*[\\/]/, "").replace(/\.json$/, "")}.safetensors`;
  const folder = /^(.*[\\/])?/.exec(path)![0];
  const source: OpenCheckpoint = await openCheckpoint(`${folder}${file}`);
  return referenceCase(source, { ...description, case: description.case ?? path });
}
