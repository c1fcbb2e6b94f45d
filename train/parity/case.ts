/** A recorded reference case: a JSON description beside a safetensors file (docs/architecture.md, "Reference cases"). */

import { type OpenCheckpoint, openCheckpoint } from "../files/checkpoint.ts";
import { textOfFile } from "../../data/files.ts";
import { DataError } from "../../lib/errors.ts";

/** The description, as far as replaying needs it. */
export interface CaseDescription {
  system: string;
  case: string;
  file: string;
  // deno-lint-ignore no-explicit-any
  config: any;
  /** Texts and their tokens, in cases of a tokenizer, which has no configuration. */
  strings?: { text: string; ids: number[] }[];
  null_gradient_parameters?: string[];
  /** Error of a recorded f32 gradient against f64, relative to the tensor's largest value, where it is worth telling. */
  noisy_gradients?: Record<string, number>;
  float32_against_float64?: Record<string, number>;
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
  const isOfTexts = Array.isArray(description?.strings);
  if (typeof description?.system !== "string" || (typeof description.config !== "object" && !isOfTexts)) {
    throw new DataError(
      `Cannot read case "${path}": it must have "system" and "config", or "strings", as in a recorded reference case`,
    );
  }
  const file = description.file ?? `${path.replace(/^.*[\\/]/, "").replace(/\.json$/, "")}.safetensors`;
  const folder = /^(.*[\\/])?/.exec(path)![0];
  const source: OpenCheckpoint = await openCheckpoint(`${folder}${file}`);
  const all = [...source.names()];
  return {
    description: { ...description, case: description.case ?? path },
    has: (name) => source.shapeOf(name) !== undefined,
    names: (prefix) => all.filter((name) => name.startsWith(prefix)),
    shapeOf: (name) => source.shapeOf(name)!,
    read: (name) => source.readF32(name),
    [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
  };
}
