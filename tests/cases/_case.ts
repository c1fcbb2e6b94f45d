/** Case tables: one per op file, read by the forward check, the gradient check and the bench. */

/** One use of an op on concrete shapes. Inputs default to seeded normal values. */
export interface OpCase {
  /** The situation: "C is a prime", "one past a tile". */
  name: string;
  /** Shapes of the inputs by name; absent optional inputs are simply left out. */
  inputs: Record<string, readonly number[]>;
  attrs?: Record<string, unknown>;
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
