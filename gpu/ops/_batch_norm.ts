/** What the ways of batch normalisation share: the statistics of chunks, and the elementwise kernel that normalises by given ones. */

import backwardSource from "./batch_norm_backward.wgsl" with { type: "text" };
import applySource from "./batch_norm_apply.wgsl" with { type: "text" };
import partialsSource from "./batch_norm_partials.wgsl" with { type: "text" };
import type { Dtype, Tensor } from "../graph.ts";
import { type Arrays, type Dispatch, MAX_GRID, type OpContext } from "../op.ts";
import { COLUMNS, rowChunks } from "./_columns.ts";
import { floatType } from "./_dispatch.ts";

/** Rows of one workgroup of the elementwise kernels, so that the values of a column are read once for all of them. */
const APPLY_ROWS = 16;

/** Constants of the kernels. */
export const constants = { WG_SIZE: COLUMNS };

/** Attributes of a normalisation. */
export type NormAttrs = { eps: number; dtype?: Dtype };

/** Chunks of the elementwise kernels. */
export function applyChunks(rows: number, columns: number) {
  const chunkRows = Math.max(APPLY_ROWS, Math.ceil(rows / MAX_GRID));
  return {
    chunkRows,
    grid: [Math.ceil(columns / COLUMNS), Math.ceil(rows / chunkRows), 1] as [number, number, number],
  };
}

/** The first stage of a batch's statistics: those of every chunk of rows. */
export function chunkStatistics(x: Tensor, partials: Tensor, { R, C }: { R: number; C: number }): Dispatch {
  const { chunkRows, chunks } = rowChunks(R);
  return {
    label: "batchNorm.partials",
    source: partialsSource,
    constants,
    aliases: { x_t: floatType(x) },
    tensors: [x, partials],
    params: { rows: R, channels: C, chunk_rows: chunkRows },
    grid: [Math.ceil(C / COLUMNS), chunks, 1],
  };
}

/** Normalises by given statistics. */
export function apply(
  tensors: Record<string, Tensor>,
  { axes: { R, C }, attrs }: Pick<OpContext<NormAttrs>, "axes" | "attrs">,
): Dispatch {
  const { x, mean, variance, weight, bias, out } = tensors;
  const { chunkRows, grid } = applyChunks(R, C);
  return {
    label: "batchNorm.apply",
    source: applySource,
    constants,
    aliases: { x_t: floatType(x), out_t: floatType(out) },
    tensors: [x, mean, variance, weight, bias, out],
    params: { rows: R, channels: C, chunk_rows: chunkRows, eps: attrs.eps },
    grid,
  };
}

/** The gradient of the input, from what every row of a column needs (`columns` [4 C]), and what is added to it. */
export function inputGradient(
  { x, dout, columns, dx, residual }: Record<string, Tensor>,
  { R, C }: { R: number; C: number },
): Dispatch {
  const { chunkRows, grid } = applyChunks(R, C);
  return {
    label: "batchNorm.backward",
    source: backwardSource,
    entryPoint: residual ? "with_residual" : "main",
    constants,
    aliases: { x_t: floatType(x), dout_t: floatType(dout) },
    tensors: [x, dout, columns, dx, ...residual ? [residual] : []],
    params: { rows: R, channels: C, chunk_rows: chunkRows },
    grid,
  };
}

/** The same in plain loops: what every row of a column needs, and with it the gradient of every row. */
export function referenceInputGradient(
  { x, weight, mean, variance, dout, residual }: Arrays,
  { flow, slope, eps }: { flow: Float64Array; slope: Float64Array; eps: number },
): { columns: Float64Array; dx: Float64Array } {
  const C = weight.length, rstd = variance.map((v) => 1 / Math.sqrt(v + eps));
  const columns = [mean, weight.map((w, c) => w * rstd[c]), flow, slope.map((s, c) => s * rstd[c])];
  const [centre, factor, flows, slopes] = columns;
  const dx = dout.map((given, i) => {
    const c = i % C;
    return factor[c] * (given - flows[c] - (x[i] - centre[c]) * slopes[c]) + (residual?.[i] ?? 0);
  });
  return { columns: Float64Array.from(columns.flatMap((column) => [...column])), dx };
}

/** `apply` in plain loops. */
export function referenceApply(
  { x, weight, bias }: Arrays,
  statistics: { mean: Float64Array; variance: Float64Array },
  eps: number,
): Float64Array {
  const C = weight.length;
  return x.map((value, i) => {
    const c = i % C;
    return (value - statistics.mean[c]) / Math.sqrt(statistics.variance[c] + eps) * weight[c] + bias[c];
  });
}
