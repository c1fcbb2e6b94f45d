/** Rows picked by index. Tables are frozen where these are used: there is no gradient. */

import source from "./gather.wgsl" with { type: "text" };
import type { Graph, Tensor } from "../graph.ts";
import { defineOp, recordOne } from "../op.ts";
import { flatDispatch } from "./_dispatch.ts";

const embeddingOp = defineOp({
  name: "embedding",
  inputs: { ids: "*R", table: "V C" },
  outputs: ({ inputs, axes }) => ({
    out: { shape: [...inputs.ids.shape, axes.C], dtype: inputs.table.dtype },
  }),
  dispatches: ({ inputs, outputs, axes }) => [
    flatDispatch("embedding", source, {
      tensors: { table: inputs.table, index: inputs.ids, out: outputs.out },
      params: { channels: axes.C, rows: axes.V, step: 0 },
      count: axes.R * axes.C,
    }),
  ],
  gradient: "none",
  reference: ({ ids, table }, { axes: { R, V, C } }) => ({
    out: Float64Array.from({ length: R * C }, (_, i) => {
      const row = Math.min(ids[Math.floor(i / C)], V - 1);
      return table[row * C + i % C];
    }),
  }),
});

const gatherRowsOp = defineOp({
  name: "gatherRows",
  inputs: { x: "B N C", index: "B" },
  outputs: ({ inputs, axes }) => ({ out: { shape: [axes.B, axes.C], dtype: inputs.x.dtype } }),
  dispatches: ({ inputs, outputs, axes }) => [
    flatDispatch("gatherRows", source, {
      tensors: { table: inputs.x, index: inputs.index, out: outputs.out },
      params: { channels: axes.C, rows: axes.N, step: axes.N },
      count: axes.B * axes.C,
    }),
  ],
  gradient: "none",
  reference: ({ x, index }, { axes: { B, N, C } }) => ({
    out: Float64Array.from({ length: B * C }, (_, i) => {
      const b = Math.floor(i / C);
      return x[(b * N + Math.min(index[b], N - 1)) * C + i % C];
    }),
  }),
});

/**
 * `out[…, :] = table[ids[…], :]`. An id past the table reads its last row, so that no id can read foreign memory.
 *
 * @param ids u32, any shape
 * @param table `[V C]`
 */
export function embedding(g: Graph, ids: Tensor, table: Tensor): Tensor {
  return recordOne(g, embeddingOp, { ids, table });
}

/** `out[b, :] = x[b, index[b], :]` for x `[B N C]` and index `[B]` (u32); an index past the end reads the last row. */
export function gatherRows(g: Graph, x: Tensor, index: Tensor): Tensor {
  return recordOne(g, gatherRowsOp, { x, index });
}
