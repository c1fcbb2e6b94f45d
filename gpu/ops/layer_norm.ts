/**
 * Layer normalisation over the last axis (Ba et al. 2016, arXiv 1607.06450), with the biased variance.
 *
 * The statistics are kept for the backward pass. dWeight and dBias are summed in two stages (`_columns.ts`).
 */

import source from "./layer_norm.wgsl" with { type: "text" };
import rowsSource from "./layer_norm_rows.wgsl" with { type: "text" };
import backwardSource from "./layer_norm_backward.wgsl" with { type: "text" };
import backwardRowsSource from "./layer_norm_backward_rows.wgsl" with { type: "text" };
import weightSource from "./layer_norm_backward_weight.wgsl" with { type: "text" };
import type { Dtype, Graph, Tensor } from "../graph.ts";
import { defineOp, grid1d, type KernelEnvironment, recordOne } from "../op.ts";
import { floatType } from "./_dispatch.ts";
import { COLUMNS, referenceColumnSums, rowChunks, sumPartials } from "./_columns.ts";

const ROW_WG_SIZE = 64, SOFTWARE_WG_SIZE = 8;

/** Which of the two algorithms runs, and its launch. On a software adapter a barrier costs more than a row. */
function rowKernel(environment: KernelEnvironment, sizes: { R: number; C: number }, sources: string[]) {
  const [perWorkgroup, perInvocation] = sources;
  return environment.isSoftware && sizes.C % 4 === 0
    ? {
      source: perInvocation,
      constants: { WG_SIZE: SOFTWARE_WG_SIZE },
      grid: grid1d(Math.ceil(sizes.R / SOFTWARE_WG_SIZE)),
    }
    : { source: perWorkgroup, constants: { WG_SIZE: ROW_WG_SIZE }, grid: grid1d(sizes.R) };
}

const layerNormOp = defineOp<{ eps: number; dtype?: Dtype }>({
  name: "layerNorm",
  inputs: { x: "*R C", weight: "C", bias: "C" },
  attrs: { eps: 1e-5 },
  isCheap: true,
  outputs: ({ inputs, attrs, axes }) => ({
    out: { shape: inputs.x.shape, dtype: attrs.dtype ?? "f32" },
    mean: { shape: [axes.R], auxiliary: true },
    rstd: { shape: [axes.R], auxiliary: true },
  }),
  dispatches: ({ inputs, outputs, attrs, axes, environment }) => [{
    label: "layerNorm",
    ...rowKernel(environment, { R: axes.R, C: axes.C }, [source, rowsSource]),
    aliases: {
      x_t: floatType(inputs.x),
      weight_t: floatType(inputs.weight),
      bias_t: floatType(inputs.bias),
      out_t: floatType(outputs.out),
    },
    tensors: [inputs.x, inputs.weight, inputs.bias, outputs.out, outputs.mean, outputs.rstd],
    params: { rows: axes.R, channels: axes.C, eps: attrs.eps },
  }],
  gradient: ({ g, inputs, outputs, grads, needs }) => {
    const { x, weight } = inputs, { mean, rstd } = outputs, dout = grads.out;
    const sums = needs("weight") || needs("bias")
      ? g.record(layerNormBackwardWeightOp, { x, mean, rstd, dout })
      : undefined;
    return {
      x: needs("x") ? g.record(layerNormBackwardOp, { x, weight, mean, rstd, dout }).dx : undefined,
      weight: sums?.dWeight,
      bias: sums?.dBias,
    };
  },
  reference: ({ x, weight, bias }, { axes: { R, C }, attrs }) => {
    const out = new Float64Array(R * C), mean = new Float64Array(R), rstd = new Float64Array(R);
    for (let r = 0; r < R; r++) {
      let sum = 0, squares = 0;
      for (let c = 0; c < C; c++) sum += x[r * C + c];
      mean[r] = sum / C;
      for (let c = 0; c < C; c++) squares += (x[r * C + c] - mean[r]) ** 2;
      rstd[r] = 1 / Math.sqrt(squares / C + attrs.eps);
      for (let c = 0; c < C; c++) out[r * C + c] = (x[r * C + c] - mean[r]) * rstd[r] * weight[c] + bias[c];
    }
    return { out, mean, rstd };
  },
  flops: ({ axes }) => 8 * axes.R * axes.C,
});

/** The gradient of the input, and what is added to it. */
export const layerNormBackwardOp = defineOp({
  name: "layerNormBackward",
  inputs: { x: "*R C", weight: "C", mean: "R", rstd: "R", dout: "*R C", "residual?": "*R C" },
  outputs: ({ inputs }) => ({ dx: { shape: inputs.x.shape } }),
  overwrites: { dx: ["residual"] },
  dispatches: ({ inputs, outputs, axes, environment }) => [{
    label: "layerNorm.backward",
    ...rowKernel(environment, { R: axes.R, C: axes.C }, [backwardSource, backwardRowsSource]),
    entryPoint: inputs.residual ? "with_residual" : "main",
    aliases: {
      x_t: floatType(inputs.x),
      weight_t: floatType(inputs.weight),
      dout_t: floatType(inputs.dout),
    },
    tensors: [
      inputs.x,
      inputs.weight,
      inputs.mean,
      inputs.rstd,
      inputs.dout,
      outputs.dx,
      ...inputs.residual ? [inputs.residual] : [],
    ],
    params: { rows: axes.R, channels: axes.C },
  }],
  gradient: "none",
  reference: ({ x, weight, mean, rstd, dout, residual }, { axes: { R, C } }) => {
    const dx = residual?.slice() ?? new Float64Array(R * C);
    for (let r = 0; r < R; r++) {
      let flowSum = 0, productSum = 0;
      for (let c = 0; c < C; c++) {
        const flow = weight[c] * dout[r * C + c];
        flowSum += flow;
        productSum += flow * (x[r * C + c] - mean[r]) * rstd[r];
      }
      for (let c = 0; c < C; c++) {
        const normal = (x[r * C + c] - mean[r]) * rstd[r];
        dx[r * C + c] += rstd[r] * (weight[c] * dout[r * C + c] - flowSum / C - normal * productSum / C);
      }
    }
    return { dx };
  },
  flops: ({ axes }) => 14 * axes.R * axes.C,
});

const layerNormBackwardWeightOp = defineOp({
  name: "layerNormBackwardWeight",
  inputs: { x: "*R C", mean: "R", rstd: "R", dout: "*R C" },
  outputs: ({ axes: { R, C } }) => ({
    dWeight: { shape: [C] },
    dBias: { shape: [C] },
    partials: { shape: [rowChunks(R).chunks, 2, C], auxiliary: true },
  }),
  dispatches: ({ inputs, outputs, axes: { R, C } }) => {
    const { chunkRows, chunks } = rowChunks(R);
    return [
      {
        label: "layerNorm.backwardWeight",
        source: weightSource,
        constants: { WG_SIZE: COLUMNS },
        aliases: { x_t: floatType(inputs.x), dout_t: floatType(inputs.dout) },
        tensors: [inputs.x, inputs.mean, inputs.rstd, inputs.dout, outputs.partials],
        params: { rows: R, channels: C, chunk_rows: chunkRows },
        grid: [Math.ceil(C / COLUMNS), chunks, 1],
      },
      sumPartials("layerNorm.backwardWeight.sum", outputs.partials, {
        first: outputs.dWeight,
        second: outputs.dBias,
      }),
    ];
  },
  gradient: "none",
  reference: ({ x, mean, rstd, dout }, { axes: { R, C } }) => {
    const { partials, first, second } = referenceColumnSums(R, C, (r, c) => {
      const flow = dout[r * C + c];
      return [flow * (x[r * C + c] - mean[r]) * rstd[r], flow];
    });
    return { dWeight: first, dBias: second, partials };
  },
  flops: ({ axes }) => 5 * axes.R * axes.C,
});

/**
 * Normalises every row of x to mean 0 and variance 1, then applies weight and bias.
 *
 * @param x `[… C]`, f32 or f16.
 * @param options.weight `[C]`
 * @param options.bias `[C]`
 * @param options.eps Added to the variance.
 * @param options.dtype Storage type of the result.
 * @returns `[… C]`.
 */
export function layerNorm(
  g: Graph,
  x: Tensor,
  options: { weight: Tensor; bias: Tensor; eps?: number; dtype?: Dtype },
): Tensor {
  const { weight, bias, eps = 1e-5, dtype = "f32" } = options;
  return recordOne(g, layerNormOp, { x, weight, bias }, { eps, dtype });
}
