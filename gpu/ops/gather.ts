/**
 * Rows picked by index.
 *
 * Gradients: that of a table is zero in rows that were not picked, and a sum over the places in their order where one was picked
 * several times; a training run of several programs adds it to memory without a table of zeros in between.
 */

import dTableSource from "./embedding_dtable.wgsl" with { type: "text" };
import linksSource from "./embedding_links.wgsl" with { type: "text" };
import source from "./gather.wgsl" with { type: "text" };
import dxSource from "./gather_dx.wgsl" with { type: "text" };
import type { Graph, Tensor } from "../graph.ts";
import { sizeOf } from "../graph.ts";
import { type Arrays, defineOp, type Dispatch, recordOne } from "../op.ts";
import { flatDispatch } from "./_dispatch.ts";
import { fillAll } from "./memory.ts";

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
  gradient: ({ g, inputs: { ids, table }, grads }) => ({
    table: recordOne(g, embeddingDTableOp, { ids, dOut: grads.out }, { rows: table.shape[0] }),
  }),
  reference: ({ ids, table }, { axes: { R, V, C } }) => ({
    out: Float64Array.from({ length: R * C }, (_, i) => {
      const row = Math.min(ids[Math.floor(i / C)], V - 1);
      return table[row * C + i % C];
    }),
  }),
});

const embeddingDTableOp = defineOp({
  name: "embeddingDTable",
  inputs: { ids: "*R", dOut: "*R C" },
  attrs: { rows: 1 },
  outputs: ({ axes, attrs }) => ({
    out: { shape: [attrs.rows, axes.C] },
    links: { shape: [axes.R], dtype: "u32", auxiliary: true },
  }),
  dispatches: ({ inputs: { ids, dOut }, outputs: { out, links } }) => [
    fillAll(out, 0),
    ...addPicked({ ids, dOut, links, dTable: out }),
  ],
  addInto: (g, { inputs: { ids, dOut } }, dTable) =>
    void g.record(addEmbeddingDTableOp, { ids, dOut, dTable }),
  gradient: "none",
  reference: (arrays, { axes: { R, C }, attrs }) => ({
    out: addedPicked(arrays, new Float64Array(attrs.rows * C)),
    links: linksOf(arrays.ids, { places: R, rows: attrs.rows }),
  }),
  flops: ({ axes }) => axes.R * axes.C,
});

const addEmbeddingDTableOp = defineOp({
  name: "addEmbeddingDTable",
  inputs: { ids: "*R", dOut: "*R C", dTable: "V C" },
  updates: ["dTable"],
  outputs: ({ axes }) => ({ links: { shape: [axes.R], dtype: "u32", auxiliary: true } }),
  dispatches: ({ inputs: { ids, dOut, dTable }, outputs: { links } }) =>
    addPicked({ ids, dOut, dTable, links }),
  gradient: "stop",
  reference: (arrays, { axes: { R, V } }) => ({
    dTable: addedPicked(arrays, arrays.dTable.slice()),
    links: linksOf(arrays.ids, { places: R, rows: V }),
  }),
  flops: ({ axes }) => axes.R * axes.C,
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
  gradient: ({ g, inputs: { x, index }, grads }) => ({
    x: recordOne(g, gatherRowsDxOp, { index, dOut: grads.out }, { rows: x.shape[1] }),
  }),
  reference: ({ x, index }, { axes: { B, N, C } }) => ({
    out: Float64Array.from({ length: B * C }, (_, i) => {
      const b = Math.floor(i / C);
      return x[(b * N + Math.min(index[b], N - 1)) * C + i % C];
    }),
  }),
});

const gatherRowsDxOp = defineOp({
  name: "gatherRowsDx",
  inputs: { index: "B", dOut: "B C" },
  attrs: { rows: 1 },
  outputs: ({ inputs, axes, attrs }) => ({
    out: { shape: [axes.B, attrs.rows, axes.C], dtype: inputs.dOut.dtype },
  }),
  dispatches: ({ inputs, outputs, axes, attrs }) => [
    flatDispatch("gatherRows.backward", dxSource, {
      tensors: { dout: inputs.dOut, index: inputs.index, dx: outputs.out },
      params: { channels: axes.C, rows: attrs.rows },
      count: sizeOf(outputs.out.shape),
    }),
  ],
  gradient: "none",
  reference: ({ index, dOut }, { axes: { B, C }, attrs }) => {
    const out = new Float64Array(B * attrs.rows * C);
    for (let b = 0; b < B; b++) {
      const row = b * attrs.rows + Math.min(index[b], attrs.rows - 1);
      out.set(dOut.subarray(b * C, (b + 1) * C), row * C);
    }
    return { out };
  },
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

/** Adds the gradient of every picked row to its place: equal ids are chained first, so that the work is that of the places alone. */
function addPicked(
  { ids, dOut, links, dTable }: Record<"ids" | "dOut" | "links" | "dTable", Tensor>,
): Dispatch[] {
  const places = sizeOf(ids.shape), [rows, channels] = dTable.shape;
  return [
    flatDispatch("embedding.links", linksSource, {
      tensors: { ids, links },
      params: { rows },
      count: places,
      wgSize: 64,
    }),
    flatDispatch("embedding.backward", dTableSource, {
      tensors: { ids, links, dout: dOut, dtable: dTable },
      params: { places, channels, rows },
      count: places * channels,
      wgSize: 64,
    }),
  ];
}

function addedPicked({ ids, dOut }: Arrays, dTable: Float64Array): Float64Array {
  const C = dOut.length / ids.length, last = dTable.length / C - 1;
  dOut.forEach((value, i) => dTable[Math.min(ids[Math.floor(i / C)], last) * C + i % C] += value);
  return dTable;
}

/** For every place the next one of the same id, or the number of places; plus 2³¹ at the first place of an id. */
function linksOf(ids: Float64Array, { places, rows }: { places: number; rows: number }): Float64Array {
  const rowOf = [...ids].map((id) => Math.min(id, rows - 1));
  return Float64Array.from(rowOf, (row, r) => {
    const next = rowOf.indexOf(row, r + 1);
    return (next < 0 ? places : next) + (rowOf.indexOf(row) === r ? 2 ** 31 : 0);
  });
}
