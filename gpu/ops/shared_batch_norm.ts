/**
 * Batch normalisation whose statistics are those of all ranks' rows (`network.sync_bn`). Each rank puts its mean, squared deviations and
 * rows in its own place; the sum over ranks is everybody's, and all merge them in the order of ranks. Backward, the two sums over rows
 * are summed over ranks. The gradients of weight and bias stay a rank's own: they are summed with all others.
 */

import sumsSource from "./batch_norm_backward_sums.wgsl" with { type: "text" };
import partSource from "./batch_norm_rank_part.wgsl" with { type: "text" };
import mergeSource from "./batch_norm_rank_merge.wgsl" with { type: "text" };
import rankSumsSource from "./batch_norm_rank_sums.wgsl" with { type: "text" };
import meansSource from "./batch_norm_rank_means.wgsl" with { type: "text" };
import { defineOp, type Dispatch } from "../op.ts";
import {
  apply,
  chunkStatistics,
  constants,
  inputGradient,
  type NormAttrs,
  referenceApply,
  referenceInputGradient,
} from "./_batch_norm.ts";
import { floatType } from "./_dispatch.ts";
import { COLUMNS, referenceColumnSums, rowChunks, sumPartials } from "./_columns.ts";

type SharedAttrs = NormAttrs & { rank: number; ranks: number };

/** Normalises by the statistics of all ranks. In plain loops this rank is alone. */
export const sharedNormTrainOp = defineOp<SharedAttrs>({
  name: "sharedNormTrain",
  inputs: { x: "*R C", weight: "C", bias: "C" },
  attrs: { eps: 1e-5, rank: 0, ranks: 1 },
  outputs: ({ inputs, attrs, axes: { R, C } }) => ({
    out: { shape: inputs.x.shape, dtype: attrs.dtype ?? "f32" },
    mean: { shape: [C], auxiliary: true },
    variance: { shape: [C], auxiliary: true },
    unbiased: { shape: [C], auxiliary: true },
    parts: { shape: [attrs.ranks, 3, C], auxiliary: true },
    partials: { shape: [rowChunks(R).chunks, 2, C], auxiliary: true },
  }),
  dispatches: (context) => {
    const { inputs, outputs, attrs: { rank, ranks }, axes: { R, C } } = context;
    const { chunkRows, chunks } = rowChunks(R), groups = Math.ceil(C / COLUMNS);
    const dispatches: Dispatch[] = [
      chunkStatistics(inputs.x, outputs.partials, { R, C }),
      {
        label: "batchNorm.rankPart",
        source: partSource,
        constants,
        tensors: [outputs.partials, outputs.parts],
        params: { rows: R, channels: C, chunk_rows: chunkRows, chunks, rank, ranks },
        grid: [groups, 1, 1],
        sumOverRanks: outputs.parts,
      },
      {
        label: "batchNorm.rankMerge",
        source: mergeSource,
        constants,
        tensors: [outputs.parts, outputs.mean, outputs.variance, outputs.unbiased],
        params: { channels: C, ranks },
        grid: [groups, 1, 1],
      },
      apply({ ...inputs, ...outputs }, context),
    ];
    return dispatches;
  },
  gradient: ({ g, inputs, outputs, attrs: { eps, rank, ranks }, grads, needs }) => {
    const { dx, dWeight, dBias } = g.record(sharedNormBackwardOp, {
      x: inputs.x,
      weight: inputs.weight,
      mean: outputs.mean,
      variance: outputs.variance,
      parts: outputs.parts,
      dout: grads.out,
    }, { eps, rank, ranks, wantsX: needs("x") });
    return { x: dx, weight: dWeight, bias: dBias };
  },
  reference: (arrays, { axes: { R, C }, attrs }) => {
    const { x } = arrays, { chunkRows } = rowChunks(R);
    const { partials, first } = referenceColumnSums(R, C, (r, c) => [x[r * C + c], 0]);
    const mean = first.map((sum) => sum / R), squares = new Float64Array(C);
    for (let start = 0; start < R; start += chunkRows) {
      const at = start / chunkRows * 2 * C, end = Math.min(R, start + chunkRows);
      for (let c = 0; c < C; c++) {
        partials[at + c] /= end - start;
        for (let r = start; r < end; r++) {
          partials[at + C + c] += (x[r * C + c] - partials[at + c]) ** 2;
          squares[c] += (x[r * C + c] - mean[c]) ** 2;
        }
      }
    }
    const variance = squares.map((sum) => sum / R), unbiased = squares.map((sum) => sum / Math.max(1, R - 1));
    const out = referenceApply(arrays, { mean, variance }, attrs.eps);
    const parts = Float64Array.from([...mean, ...squares, ...new Array<number>(C).fill(R)]);
    return { out, mean, variance, unbiased, parts, partials };
  },
  flops: ({ axes }) => 7 * axes.R * axes.C,
});

/** The gradients of it, and what is added to that of its input. */
export const sharedNormBackwardOp = defineOp<{ eps: number; wantsX: boolean; rank: number; ranks: number }>({
  name: "sharedNormBackward",
  inputs: {
    x: "*R C",
    weight: "C",
    mean: "C",
    variance: "C",
    parts: "K P C",
    dout: "*R C",
    "residual?": "*R C",
  },
  attrs: { eps: 1e-5, wantsX: true, rank: 0, ranks: 1 },
  overwrites: { dx: ["residual"] },
  outputs: ({ inputs, attrs, axes: { R, C } }) => ({
    dWeight: { shape: [C] },
    dBias: { shape: [C] },
    partials: { shape: [rowChunks(R).chunks, 2, C], auxiliary: true },
    ...attrs.wantsX && {
      sums: { shape: [2, C], auxiliary: true },
      columns: { shape: [4, C], auxiliary: true },
      dx: { shape: inputs.x.shape },
    },
  }),
  dispatches: ({ inputs, outputs, attrs: { eps, wantsX, ranks }, axes: { R, C } }) => {
    const { x, weight, mean, variance, parts, dout } = inputs,
      { dWeight, dBias, sums, columns } = outputs;
    const { chunkRows, chunks } = rowChunks(R), groups = Math.ceil(C / COLUMNS);
    const aliases = { x_t: floatType(x), dout_t: floatType(dout) };
    const dispatches: Dispatch[] = [
      {
        label: "batchNorm.backwardSums",
        source: sumsSource,
        constants,
        aliases,
        tensors: [x, mean, variance, dout, outputs.partials],
        params: { rows: R, channels: C, chunk_rows: chunkRows, eps },
        grid: [groups, chunks, 1],
      },
      sumPartials("batchNorm.backwardSums.sum", outputs.partials, { first: dWeight, second: dBias }),
    ];
    if (!wantsX) return dispatches;
    dispatches.push(
      {
        label: "batchNorm.rankSums",
        source: rankSumsSource,
        constants,
        tensors: [dWeight, dBias, sums],
        params: { channels: C },
        grid: [groups, 1, 1],
        sumOverRanks: sums,
      },
      {
        label: "batchNorm.rankMeans",
        source: meansSource,
        constants,
        tensors: [sums, parts, weight, mean, variance, columns],
        params: { channels: C, ranks, eps },
        grid: [groups, 1, 1],
      },
      inputGradient({ ...inputs, ...outputs }, { R, C }),
    );
    return dispatches;
  },
  gradient: "none",
  reference: (arrays, { axes: { R, C }, attrs }) => {
    const { x, mean, variance, parts, dout } = arrays;
    const rstd = variance.map((v) => 1 / Math.sqrt(v + attrs.eps));
    const normal = (i: number) => (x[i] - mean[i % C]) * rstd[i % C];
    const { partials, first, second } = referenceColumnSums(R, C, (r, c) => {
      const i = r * C + c;
      return [dout[i] * normal(i), dout[i]];
    });
    const own = { dWeight: first, dBias: second, partials };
    const rowsOf = (c: number) => parts[2 * C + c];
    const slope = first.map((sum, c) => sum / rowsOf(c)), flow = second.map((sum, c) => sum / rowsOf(c));
    const gradient = referenceInputGradient(arrays, { flow, slope, eps: attrs.eps });
    const sums = Float64Array.from([...first, ...second]);
    return attrs.wantsX ? { ...own, sums, ...gradient } : own;
  },
  flops: ({ axes }) => 11 * axes.R * axes.C,
});
