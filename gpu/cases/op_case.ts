/** Case tables: one per op file, read by the forward check, the gradient check and the bench. */

import { type Dtype, resident, sizeOf, type Tensor } from "../graph.ts";
import type { Op } from "../op.ts";
import { fromHalfArray, toHalfArray } from "../../lib/half.ts";
import type { Prng } from "../../lib/random.ts";

/** One use of an op on concrete shapes. Inputs default to seeded normal values. */
export interface OpCase {
  /** The situation: "C is a prime", "one past a tile". */
  name: string;
  /** Shapes of the inputs by name; absent optional inputs are simply left out. */
  inputs: Record<string, readonly number[]>;
  attrs?: Record<string, unknown>;
  /** The size at which the op is measured. Tests leave it out: plain loops over it take too long. */
  bench?: true;
  /** Values of an input, by flat index, where normal ones will not do (labels, variances, ids). */
  values?: Record<string, (i: number, normal: () => number) => number>;
  /** Inputs of another storage type than f32. */
  dtypes?: Record<string, "f32" | "f16" | "u32">;
  /** Inputs that are constants to differentiation. */
  constant?: readonly string[];
  /** "none": only the forward pass is checked, because the op's gradient is a window of its input (joined elsewhere). */
  gradient?: "none";
  /** Allowed error of the forward pass, relative to the largest value (default 2e-5; f16 outputs 2e-3). */
  tolerance?: number;
  /** Allowed error of gradients, relative to the largest value (default 1e-3). */
  gradientTolerance?: number;
}

/** Cases by op name. */
export type CaseTable = Record<string, readonly OpCase[]>;

/** Declares the inputs of a case: those that the op updates are state, trainable ones parameters. */
export function declareInputs(op: Op, each: OpCase): Record<string, Tensor> {
  return Object.fromEntries(
    Object.entries(each.inputs).map(([name, shape]) => {
      const dtype = each.dtypes?.[name] ?? "f32", isUpdated = op.updates.includes(name);
      const isTrained = dtype === "f32" && !isUpdated && !each.constant?.includes(name);
      return [name, resident(isUpdated ? "state" : isTrained ? "parameter" : "input", name, shape, dtype)];
    }),
  );
}

/** Values of an input as its storage type holds them: the case's own, else normal ones. */
export function inputValues(
  each: OpCase,
  input: { label: string; shape: readonly number[]; dtype: Dtype },
  options: { prng: Prng },
): Float32Array | Uint32Array {
  const normal = () => options.prng.normal();
  const make = each.values?.[input.label] ?? normal;
  const numbers = Array.from({ length: sizeOf(input.shape) }, (_, i) => make(i, normal));
  if (input.dtype === "u32") return Uint32Array.from(numbers);
  const floats = Float32Array.from(numbers);
  return input.dtype === "f16" ? fromHalfArray(toHalfArray(floats)) : floats;
}
