/**
 * Batch normalisation over all but the last axis (Ioffe & Szegedy 2015, arXiv 1502.03167).
 *
 * Training uses the biased variance of the batch; running statistics take the unbiased one. Every sum over rows has two
 * stages (`_columns.ts`); the statistics of chunks are merged without cancellation.
 */

import mergeSource from "./batch_norm_merge.wgsl" with { type: "text" };
import sumsSource from "./batch_norm_backward_sums.wgsl" with { type: "text" };
import columnsSource from "./batch_norm_backward_columns.wgsl" with { type: "text" };
import updateSource from "./batch_norm_update.wgsl" with { type: "text" };
import type { Dtype, Graph, Tensor } from "../graph.ts";
import { sizeOf } from "../graph.ts";
import { defineOp, type Dispatch, recordOne } from "../op.ts";
import { floatType } from "./_dispatch.ts";
import {
  apply,
  chunkStatistics,
  constants,
  inputGradient,
  type NormAttrs,
  referenceApply,
  referenceInputGradient,
} from "./_batch_norm.ts";
import { sharedNormTrainOp } from "./shared_batch_norm.ts";
import { COLUMNS, referenceColumnSums, rowChunks, sumPartials } from "./_columns.ts";

const batchNormTrainOp = defineOp<NormAttrs>({
  name: "batchNormTrain",
  inputs: { x: "*R C", weight: "C", bias: "C" },
  attrs: { eps: 1e-5 },
  isCheap: true,
  outputs: ({ inputs, attrs, axes: { R, C } }) => ({
    out: { shape: inputs.x.shape, dtype: attrs.dtype ?? "f32" },
    mean: { shape: [C], auxiliary: true },
    variance: { shape: [C], auxiliary: true },
    partials: { shape: [rowChunks(R).chunks, 2, C], auxiliary: true },
  }),
  dispatches: (context) => {
    const { inputs, outputs, axes: { R, C } } = context;
    const { chunkRows, chunks } = rowChunks(R);
    const columnGroups = Math.ceil(C / COLUMNS);
    const dispatches: Dispatch[] = [
      chunkStatistics(inputs.x, outputs.partials, { R, C }),
      {
        label: "batchNorm.merge",
        source: mergeSource,
        constants,
        tensors: [outputs.partials, outputs.mean, outputs.variance],
        params: { rows: R, channels: C, chunk_rows: chunkRows, chunks },
        grid: [columnGroups, 1, 1],
      },
      apply({ ...inputs, ...outputs }, context),
    ];
    return dispatches;
  },
  gradient: ({ g, inputs, outputs, attrs, grads, needs }) => {
    const { dx, dWeight, dBias } = g.record(batchNormBackwardOp, {
      x: inputs.x,
      weight: inputs.weight,
      mean: outputs.mean,
      variance: outputs.variance,
      dout: grads.out,
    }, { eps: attrs.eps, batchStatistics: true, wantsX: needs("x") });
    return { x: dx, weight: dWeight, bias: dBias };
  },
  reference: (arrays, { axes: { R, C }, attrs }) => {
    const { x } = arrays;
    const { chunkRows } = rowChunks(R);
    const { partials, first } = referenceColumnSums(R, C, (r, c) => [x[r * C + c], 0]);
    const mean = first.map((sum) => sum / R), variance = new Float64Array(C);
    for (let start = 0; start < R; start += chunkRows) {
      const at = start / chunkRows * 2 * C, end = Math.min(R, start + chunkRows);
      for (let c = 0; c < C; c++) {
        partials[at + c] /= end - start;
        for (let r = start; r < end; r++) {
          partials[at + C + c] += (x[r * C + c] - partials[at + c]) ** 2;
          variance[c] += (x[r * C + c] - mean[c]) ** 2 / R;
        }
      }
    }
    return { out: referenceApply(arrays, { mean, variance }, attrs.eps), mean, variance, partials };
  },
  flops: ({ axes }) => 7 * axes.R * axes.C,
});

const batchNormEvalOp = defineOp<NormAttrs>({
  name: "batchNormEval",
  inputs: { x: "*R C", weight: "C", bias: "C", runningMean: "C", runningVar: "C" },
  attrs: { eps: 1e-5 },
  isCheap: true,
  outputs: ({ inputs, attrs }) => ({
    out: { shape: inputs.x.shape, dtype: attrs.dtype ?? "f32" },
  }),
  dispatches: (context) => {
    const { inputs, outputs } = context;
    return [
      apply(
        { ...inputs, mean: inputs.runningMean, variance: inputs.runningVar, out: outputs.out },
        context,
      ),
    ];
  },
  gradient: ({ g, inputs, attrs, grads, needs }) => {
    if (needs("runningMean") || needs("runningVar")) {
      throw new Error('Cannot train through op "batchNormEval": running statistics must be constants');
    }
    const { dx, dWeight, dBias } = g.record(batchNormBackwardOp, {
      x: inputs.x,
      weight: inputs.weight,
      mean: inputs.runningMean,
      variance: inputs.runningVar,
      dout: grads.out,
    }, { eps: attrs.eps, batchStatistics: false, wantsX: needs("x") });
    return { x: dx, weight: dWeight, bias: dBias };
  },
  reference: (arrays, { attrs }) => ({
    out: referenceApply(
      arrays,
      { mean: arrays.runningMean, variance: arrays.runningVar },
      attrs.eps,
    ),
  }),
  flops: ({ axes }) => 3 * axes.R * axes.C,
});

/** The gradients of a normalisation, and what is added to that of its input. */
export const batchNormBackwardOp = defineOp({
  name: "batchNormBackward",
  inputs: { x: "*R C", weight: "C", mean: "C", variance: "C", dout: "*R C", "residual?": "*R C" },
  attrs: { eps: 1e-5, batchStatistics: true, wantsX: true },
  overwrites: { dx: ["residual"] },
  outputs: ({ inputs, attrs, axes: { R, C } }) => ({
    dWeight: { shape: [C] },
    dBias: { shape: [C] },
    partials: { shape: [rowChunks(R).chunks, 2, C], auxiliary: true },
    ...(attrs.wantsX ? { dx: { shape: inputs.x.shape }, columns: { shape: [4, C], auxiliary: true } } : {}),
  }),
  dispatches: ({ inputs, outputs, attrs, axes: { R, C } }) => {
    const { x, weight, mean, variance, dout } = inputs;
    const { partials, dWeight, dBias, columns } = outputs;
    const { chunkRows, chunks } = rowChunks(R), eps = attrs.eps;
    const sums: Dispatch = {
      label: "batchNorm.backwardSums",
      source: sumsSource,
      constants,
      aliases: { x_t: floatType(x), dout_t: floatType(dout) },
      tensors: [x, mean, variance, dout, partials],
      params: { rows: R, channels: C, chunk_rows: chunkRows, eps },
      grid: [Math.ceil(C / COLUMNS), chunks, 1],
    };
    if (!attrs.wantsX) {
      return [
        sums,
        sumPartials("batchNorm.backwardSums.sum", partials, { first: dWeight, second: dBias }),
      ];
    }
    const totals: Dispatch = {
      label: "batchNorm.backwardColumns",
      source: columnsSource,
      constants,
      tensors: [partials, weight, mean, variance, dWeight, dBias, columns],
      params: { chunks, channels: C, eps, share: attrs.batchStatistics ? 1 / R : 0 },
      grid: [Math.ceil(C / COLUMNS), 1, 1],
    };
    return [sums, totals, inputGradient({ ...inputs, ...outputs }, { R, C })];
  },
  gradient: "none",
  reference: (arrays, { axes: { R, C }, attrs }) => {
    const { x, mean, variance, dout } = arrays;
    const { partials, first, second } = referenceColumnSums(R, C, (r, c) => {
      const i = r * C + c;
      return [dout[i] * (x[i] - mean[c]) / Math.sqrt(variance[c] + attrs.eps), dout[i]];
    });
    const own = { dWeight: first, dBias: second, partials };
    if (!attrs.wantsX) return own;
    const share = attrs.batchStatistics ? 1 / R : 0;
    const [slope, flow] = [first, second].map((sums) => sums.map((sum) => share * sum));
    return { ...own, ...referenceInputGradient(arrays, { slope, flow, eps: attrs.eps }) };
  },
  flops: ({ axes }) => 11 * axes.R * axes.C,
});

const batchNormUpdateOp = defineOp({
  name: "batchNormUpdate",
  inputs: { mean: "C", variance: "C", runningMean: "C", runningVar: "C" },
  attrs: { momentum: 0.1, count: 1 },
  updates: ["runningMean", "runningVar"],
  outputs: () => ({}),
  dispatches: ({ inputs, attrs, axes: { C } }) => [{
    label: "batchNorm.update",
    source: updateSource,
    constants,
    tensors: [inputs.mean, inputs.variance, inputs.runningMean, inputs.runningVar],
    params: { channels: C, momentum: attrs.momentum, unbias: unbias(attrs.count) },
    grid: [Math.ceil(C / COLUMNS), 1, 1],
  }],
  gradient: "stop",
  reference: ({ mean, variance, runningMean, runningVar }, { attrs }) => {
    const momentum = attrs.momentum, factor = unbias(attrs.count);
    return {
      runningMean: runningMean.map((old, c) => (1 - momentum) * old + momentum * mean[c]),
      runningVar: runningVar.map((old, c) => (1 - momentum) * old + momentum * factor * variance[c]),
    };
  },
});

/** From the biased to the unbiased variance of `count` rows; one row has no unbiased variance and keeps the biased. */
function unbias(count: number): number {
  return count > 1 ? count / (count - 1) : 1;
}

/** Weight, bias and running statistics of a batch normalisation, each `[C]`. */
export interface BatchNormTensors {
  weight: Tensor;
  bias: Tensor;
  runningMean: Tensor;
  runningVar: Tensor;
}

/**
 * Normalises every column of x over its rows, then applies weight and bias. Where the graph's batches are shared by ranks
 * (`Graph.normRanks`), the statistics of a batch are those of all ranks' rows.
 *
 * @param x `[… C]`.
 * @param options.mode "train": statistics of this batch, and the running ones move towards them; "eval": the running ones.
 * @param options.eps Added to the variance.
 * @param options.momentum Share of this batch in the running statistics.
 * @param options.dtype Storage type of the result.
 * @returns `[… C]`.
 */
export function batchNorm(
  g: Graph,
  x: Tensor,
  tensors: BatchNormTensors,
  options: { mode: "train" | "eval"; eps?: number; momentum?: number; dtype?: Dtype },
): Tensor {
  const { weight, bias, runningMean, runningVar } = tensors;
  const { eps = 1e-5, momentum = 0.1, dtype = "f32" } = options;
  if (options.mode === "eval") {
    return recordOne(g, batchNormEvalOp, { x, weight, bias, runningMean, runningVar }, { eps, dtype });
  }
  if (g.normRanks.ranks > 1) {
    const { rank, ranks } = g.normRanks;
    const shared = g.record(sharedNormTrainOp, { x, weight, bias }, { eps, dtype, rank, ranks });
    g.record(batchNormUpdateOp, {
      mean: shared.mean,
      variance: shared.unbiased,
      runningMean,
      runningVar,
    }, { momentum, count: 1 });
    return shared.out;
  }
  const { out, mean, variance } = g.record(batchNormTrainOp, { x, weight, bias }, { eps, dtype });
  const count = sizeOf(x.shape) / sizeOf(weight.shape);
  g.record(batchNormUpdateOp, { mean, variance, runningMean, runningVar }, { momentum, count });
  return out;
}
