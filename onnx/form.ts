/** What an op of the engine is in ONNX: how a use of it becomes operators. */

import type { Node } from "../gpu/graph.ts";
import { isFixed, type Size } from "./sizes.ts";
import type { OnnxWriter, Value } from "./writer.ts";

/** A recorded use of an op, for any batch. */
export interface Use {
  readonly inputs: Readonly<Record<string, Value>>;
  /** Shapes of its outputs. */
  readonly outputs: Readonly<Record<string, readonly Size[]>>;
  /** The use in the recordings for two clips and for three. */
  readonly recorded: readonly [Node, Node];
}

/** Writes a use of an op, and returns its outputs that somebody may read. */
export type Emit = (w: OnnxWriter, use: Use) => Readonly<Record<string, Value>>;

/** The ONNX form of an op. */
export interface Form {
  readonly emit: Emit;
  /** Attributes that may depend on the batch; `emit` sees to it that they do so rightly. Others must not. */
  readonly varying: readonly string[];
}

/** A form whose only output is `out`, of the recorded shape. */
export function form(
  emit: (w: OnnxWriter, use: Use) => string,
  varying: readonly string[] = [],
): Form {
  return {
    emit: (w, use) => ({ out: { name: emit(w, use), shape: use.outputs.out } }),
    varying,
  };
}

/** An attribute of a use. The form and the op it is listed under agree on its type. */
export function attribute<Type>(use: Use, name: string): Type {
  return use.recorded[0].attrs[name] as Type;
}

/** A size that must not grow with the batch. */
export function fixed(size: Size, use: Use): number {
  if (isFixed(size)) return size;
  throw new RangeError(
    `Cannot export op "${
      use.recorded[0].op.name
    }": an axis that grows with the batch must not be cut or counted`,
  );
}

/** Such sizes. */
export function fixedAll(sizes: readonly Size[], use: Use): number[] {
  return sizes.map((size) => fixed(size, use));
}
