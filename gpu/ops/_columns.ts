/**
 * Sums over rows, one per column, in two stages: partial sums of chunks of rows, then their total. One invocation never
 * walks all rows, and the order of additions is fixed.
 */

import source from "./sum_partials.wgsl" with { type: "text" };
import type { Tensor } from "../graph.ts";
import type { Dispatch } from "../op.ts";

/** Columns one workgroup covers. */
export const COLUMNS = 64;

const MIN_CHUNK_ROWS = 32, MAX_CHUNKS = 256;

/** How `rows` are cut: every chunk has `chunkRows` rows but the last, which has at least one. */
export function rowChunks(rows: number): { chunkRows: number; chunks: number } {
  const chunkRows = Math.max(MIN_CHUNK_ROWS, Math.ceil(rows / MAX_CHUNKS));
  return { chunkRows, chunks: Math.ceil(rows / chunkRows) };
}

/** Totals of `partials` [chunks 2 C] into `first` and `second` [C]. */
export function sumPartials(
  label: string,
  partials: Tensor,
  totals: { first: Tensor; second: Tensor },
): Dispatch {
  const [chunks, , columns] = partials.shape;
  return {
    label,
    source,
    constants: { WG_SIZE: COLUMNS },
    tensors: [partials, totals.first, totals.second],
    params: { chunks, columns },
    grid: [Math.ceil(columns / COLUMNS), 1, 1],
  };
}

/**
 * Plain loops: for every column and chunk the two sums of `terms(row, column)`, as [chunks 2 C], and their totals.
 */
export function referenceColumnSums(
  rows: number,
  columns: number,
  terms: (row: number, column: number) => readonly [number, number],
): { partials: Float64Array; first: Float64Array; second: Float64Array } {
  const { chunkRows, chunks } = rowChunks(rows);
  const partials = new Float64Array(chunks * 2 * columns);
  const first = new Float64Array(columns), second = new Float64Array(columns);
  for (let r = 0; r < rows; r++) {
    const at = Math.floor(r / chunkRows) * 2 * columns;
    for (let c = 0; c < columns; c++) {
      const [a, b] = terms(r, c);
      partials[at + c] += a;
      partials[at + columns + c] += b;
      first[c] += a;
      second[c] += b;
    }
  }
  return { partials, first, second };
}
