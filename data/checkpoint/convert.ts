/** Tensors of an open checkpoint as tensors to write: another type, other names, a part of them. */
import { type Dtype, type FloatDtype, isFloat, narrow } from "./dtype.ts";
import { findNonFinite, type NonFinite } from "./finite.ts";
import type { TensorToStream } from "./safetensors.ts";

/** Tensors to convert: an open checkpoint. */
export interface ConvertSource {
  names(): Iterable<string>;
  shapeOf(name: string): readonly number[] | undefined;
  dtypeOf(name: string): Dtype | undefined;
  readRaw(name: string): Promise<Uint8Array>;
  readF32(name: string): Promise<Float32Array>;
}

/** What to make of them. */
export interface ConvertOptions {
  /** Type of every floating tensor; whole numbers keep theirs. By default all do. */
  dtype?: FloatDtype;
  /** New name of a tensor; null leaves it out. */
  rename?: (name: string) => string | null;
  /** Told of finite values that the type cannot hold and that became infinite. */
  onOverflow?: (name: string, count: number) => void;
  /** Told of a tensor that holds NaN or infinities, when it is read; may refuse it by an error. */
  onNonFinite?: (name: string, found: NonFinite) => void;
}

/** Describes the converted tensors; each is read when it is written. */
export function convertTensors(source: ConvertSource, options: ConvertOptions = {}): TensorToStream[] {
  const tensors: TensorToStream[] = [];
  for (const name of source.names()) {
    const renamed = options.rename ? options.rename(name) : name;
    if (renamed === null) continue;
    const stored = source.dtypeOf(name)!;
    const dtype = options.dtype !== undefined && isFloat(stored) ? options.dtype : stored;
    tensors.push({
      name: renamed,
      dtype,
      shape: source.shapeOf(name)!,
      read: () => readAs(source, { name, renamed, stored, dtype }, options),
    });
  }
  return tensors;
}

async function readAs(
  source: ConvertSource,
  { name, renamed, stored, dtype }: { name: string; renamed: string; stored: Dtype; dtype: Dtype },
  { onOverflow, onNonFinite }: ConvertOptions,
): Promise<Uint8Array> {
  const kept = dtype === stored || !isFloat(dtype);
  const raw = kept || onNonFinite ? await source.readRaw(name) : new Uint8Array();
  const found = onNonFinite && findNonFinite(raw, stored);
  if (found) onNonFinite(name, found);
  if (dtype === stored || !isFloat(dtype)) return raw;
  const values = await source.readF32(name);
  if (onOverflow && dtype === "F16") {
    const overflowed = countOverflow(values);
    if (overflowed > 0) onOverflow(renamed, overflowed);
  }
  return narrow(values, dtype);
}

/** Half-way from the largest half, 65504, to the next step: from here on rounding gives infinity. */
const HALF_LIMIT = 65520;

function countOverflow(values: Float32Array): number {
  let count = 0;
  for (const value of values) if (Math.abs(value) >= HALF_LIMIT && Math.abs(value) !== Infinity) count++;
  return count;
}
