/** Columns as rows, for small matrices; products take their operands transposed without it. Gradient: dx overwrites. */

import source from "./transpose.wgsl" with { type: "text" };
import type { Graph, Tensor } from "../graph.ts";
import { sizeOf } from "../graph.ts";
import { defineOp, recordOne } from "../op.ts";
import { flatDispatch } from "./_dispatch.ts";

const transposeOp = defineOp({
  name: "transpose",
  inputs: { x: "R C" },
  outputs: ({ inputs, axes: { R, C } }) => ({ out: { shape: [C, R], dtype: inputs.x.dtype } }),
  dispatches: ({ inputs, outputs, axes: { R, C } }) => [
    flatDispatch("transpose", source, {
      tensors: { x: inputs.x, out: outputs.out },
      params: { rows: R, columns: C },
      count: sizeOf(outputs.out.shape),
    }),
  ],
  gradient: ({ g, grads }) => ({ x: transpose(g, grads.out) }),
  reference: ({ x }, { axes: { R, C } }) => ({
    out: x.map((_, i) => x[(i % R) * C + Math.floor(i / R)]),
  }),
});

/** `[R C]` → `[C R]`. */
export function transpose(g: Graph, x: Tensor): Tensor {
  return recordOne(g, transposeOp, { x });
}
