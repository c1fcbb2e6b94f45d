/**
 * DiST's two trained branches beside the frozen tower and what they exchange (Qing et al. 2023, arXiv 2309.07911; spec dist §2, §3.1):
 * the temporal encoder reads all frames, the integration branch the tower's outputs for every α-th of them.
 */

import type { Graph, Tensor } from "../../gpu/graph.ts";
import {
  add,
  concat,
  convolution,
  layerNorm,
  linear,
  permute,
  quickGelu,
  repeatRows,
  reshape,
  splitTokens,
} from "../../gpu/ops/mod.ts";
import type { NormWeights } from "../clip/transformer.ts";
import { constant, normal, type Weights } from "../params.ts";
import type { Keep } from "../tower.ts";
import { declareLayerNorm, declareLinear, type LinearInit, type LinearWeights } from "./declare.ts";

/** Sizes of both branches. */
export interface BranchSizes {
  /** C, channels of the integration branch. */
  width: number;
  /** c, channels of the temporal encoder. */
  temporalWidth: number;
  /** Frames that a convolution over time reads, odd. */
  kernel: number;
  /** Hidden channels, as shares of the branch's own: of the temporal blocks, of the MLPs, and of the MLPs over time. */
  temporalRatio: number;
  mlpRatio: number;
  temporalMlpRatio: number;
}

/** What both branches hold of frames and grid. */
export interface BranchGeometry {
  /** Patches along a side of a frame. */
  grid: number;
  /** α, frames that the temporal encoder reads for each one that the tower reads. */
  ratio: number;
}

/** Initial values of every linear layer and convolution (spec dist §3.5). */
export const BRANCH_INIT: LinearInit = { init: normal(0.02), bias: constant(0) };
const TOKEN_INIT = normal(0.02);

/** A learned vector or table of them. */
export function declareTokens(weights: Weights, name: string, shape: readonly number[]): Tensor {
  return weights.trained(name, shape, TOKEN_INIT);
}

/** Two layers with QuickGELU between. */
export interface MlpWeights {
  fc: LinearWeights;
  proj: LinearWeights;
}

/** Declares an MLP of C channels. */
export function declareMlp(weights: Weights, prefix: string, C: number, hidden: number): MlpWeights {
  return {
    fc: declareLinear(weights, `${prefix}.c_fc`, [hidden, C], BRANCH_INIT),
    proj: declareLinear(weights, `${prefix}.c_proj`, [C, hidden], BRANCH_INIT),
  };
}

/** MLP of [… C], with what is added to it. */
export function mlp(g: Graph, x: Tensor, w: MlpWeights, options: { residual?: Tensor } = {}): Tensor {
  const h = linear(g, x, w.fc.weight, { bias: w.fc.bias, activation: "quickGelu" }); // […  hidden]
  return linear(g, h, w.proj.weight, { bias: w.proj.bias, residual: options.residual });
}

/** A block of the temporal encoder. */
interface TemporalBlockWeights {
  norm: NormWeights;
  conv1: LinearWeights;
  conv2: LinearWeights;
}

/** One layer of both branches with its exchanges, under the original names. */
export interface LayerWeights {
  input: LinearWeights;
  temporal: TemporalBlockWeights;
  toTemporal: LinearWeights;
  toIntegration: LinearWeights & { token: Tensor };
  mlpNorm: NormWeights;
  mlp: MlpWeights;
  timeNorm: NormWeights;
  time: { fc1: LinearWeights; fc2: LinearWeights; proj: LinearWeights };
}

/** Declares layer `i`. @param options.sparse S, frames of a clip that the tower reads. @param options.inputWidth Channels of its outputs. */
export function declareLayer(
  weights: Weights,
  i: number,
  sizes: BranchSizes,
  options: { sparse: number; inputWidth: number; ratio: number },
): LayerWeights {
  const { width: C, temporalWidth: c, kernel: k } = sizes, { sparse, inputWidth, ratio } = options;
  const hidden = Math.floor(c * sizes.temporalRatio), narrow = Math.floor(C * sizes.temporalMlpRatio);
  const convolution = (name: string, shape: number[]) =>
    declareLinear(weights, `dist_net.${name}`, shape, BRANCH_INIT);
  const temporal = `temporal_nets.${i}`,
    exchange = `temporal2integration_nets.${i}`,
    block = `integration_nets.${i}`;
  return {
    input: convolution(`input_linears.${i}`, [C, inputWidth]),
    toTemporal: convolution(`integration2temporal_nets.${i}.linear_fuse`, [c, C]),
    toIntegration: {
      token: declareTokens(weights, `dist_net.${exchange}.cls_token`, [1, 1, sparse, C]),
      ...convolution(`${exchange}.linear_fuse`, [C, c, ratio, 1, 1]),
    },
    temporal: {
      conv1: convolution(`${temporal}.temporal_net.c_fc1`, [hidden, c, k, 1, 1]),
      conv2: convolution(`${temporal}.temporal_net.c_fc2`, [c, hidden, 1, 3, 3]),
      norm: declareLayerNorm(weights, `dist_net.${temporal}.ln`, c),
    },
    mlp: declareMlp(weights, `dist_net.${block}.ffn`, C, Math.floor(C * sizes.mlpRatio)),
    time: {
      fc1: convolution(`${block}.temporal_ffn.c_fc1`, [narrow, C, 1, 1, 1]),
      fc2: convolution(`${block}.temporal_ffn.c_fc2`, [narrow, narrow, k, 1, 1]),
      proj: convolution(`${block}.temporal_ffn.c_proj`, [C, narrow, 1, 1, 1]),
    },
    mlpNorm: declareLayerNorm(weights, `dist_net.${block}.ln`, C),
    timeNorm: declareLayerNorm(weights, `dist_net.${block}.ln_temporal`, C),
  };
}

/** What a layer hands to the next one. */
export interface BranchState {
  /** Z, the temporal encoder's state [B T P c]. */
  temporal: Tensor;
  /** R, what the integration branch hands on [B*S N C]; null before the first layer, where it is 0. */
  integration: Tensor | null;
}

/**
 * Layer `i` of both branches.
 *
 * @param x The tower's output [B*S N D].
 * @returns `next` for the layer behind it, and `last` [B*S N C] = U + R, which the pooling reads behind the last one, where the temporal
 * encoder's state goes nowhere.
 */
export function branchLayer(
  g: Graph,
  i: number,
  { x, state, isLast }: { x: Tensor; state: BranchState; isLast: boolean },
  w: LayerWeights,
  { grid, ratio, keep }: BranchGeometry & { keep: Keep },
): { next: BranchState; last: Tensor | null } {
  const [B, T, P, c] = state.temporal.shape, S = T / ratio;
  const z = keep(`temporal_nets.${i}`, temporalBlock(g, state.temporal, w.temporal, grid)); // [B T P c]
  const input = linear(g, x, w.input.weight, { bias: w.input.bias }); // [B*S N C]
  keep(`input_linears.${i}`, input);
  const y = state.integration ? add(g, input, state.integration) : input; // [B*S N C]
  const given = keep(`temporal2integration_nets.${i}`, toIntegration(g, z, w.toIntegration, ratio)); // [B*S N C]
  const u = add(g, y, given); // [B*S N C]
  const hidden = mlp(g, layerNorm(g, u, w.mlpNorm), w.mlp); // [B*S N C]
  const r = timeMlp(g, layerNorm(g, u, w.timeNorm), { w: w.time, sparse: S, residual: hidden }); // [B*S N C]
  keep(`integration_nets.${i}`, r);
  const patches = splitTokens(g, y).patches; // [B*S P C]
  const fused = linear(g, patches, w.toTemporal.weight, { bias: w.toTemporal.bias }); // [B*S P c]
  const repeated = repeatRows(g, reshape(g, fused, [B * S, P * c]), { rows: ratio }); // [B*S α P*c]
  const taken = keep(`integration2temporal_nets.${i}`, reshape(g, repeated, [B, T, P, c]));
  // What nothing reads, no plan runs: behind the last layer the temporal encoder ends.
  return {
    next: { temporal: isLast ? z : add(g, z, taken), integration: r },
    last: isLast ? add(g, u, r) : null,
  };
}

/** QuickGELU(z + conv(QuickGELU(conv(LN z)))): over time, then in space. z: [B T P c]. */
function temporalBlock(g: Graph, z: Tensor, w: TemporalBlockWeights, grid: number): Tensor {
  const sides = [grid, grid] as const;
  const h = convolution(g, layerNorm(g, z, w.norm), { ...w.conv1, grid: sides }); // [B T P hidden]
  return quickGelu(g, convolution(g, quickGelu(g, h), { ...w.conv2, grid: sides, residual: z })); // [B T P c]
}

/** The α frames of every sparse one, side by side, in C channels; before them the class token's own vector. z: [B T P c] to [B*S N C]. */
function toIntegration(g: Graph, z: Tensor, w: LinearWeights & { token: Tensor }, ratio: number): Tensor {
  const [B, T, P, c] = z.shape, [C] = w.weight.shape, S = T / ratio;
  const frames = permute(g, reshape(g, z, [B * S, ratio, P, c]), [0, 2, 1, 3]); // [B*S P α c]
  const kernel = permute(g, reshape(g, w.weight, [C, c, ratio]), [0, 2, 1]); // [C α c]
  const patches = linear(g, reshape(g, frames, [B * S, P, ratio * c]), reshape(g, kernel, [C, ratio * c]), {
    bias: w.bias,
  }); // [B*S P C]
  const tokens = repeatRows(g, reshape(g, w.token, [1, S * C]), { rows: B }); // [1 B S*C]
  return concat(g, [reshape(g, tokens, [B * S, 1, C]), patches], 1); // [B*S N C]
}

/** Of every token by itself, over time: point-wise, over neighbouring frames, QuickGELU, point-wise. x: [B*S N C]. */
function timeMlp(
  g: Graph,
  x: Tensor,
  { w, sparse, residual }: { w: LayerWeights["time"]; sparse: number; residual: Tensor },
): Tensor {
  const N = x.shape[1];
  const narrow = linear(g, x, w.fc1.weight, { bias: w.fc1.bias }); // [B*S N c]
  const clips = reshape(g, narrow, [-1, sparse, N, narrow.shape[2]]); // [B S N c]
  const h = quickGelu(g, convolution(g, clips, { ...w.fc2, grid: [N, 1] })); // [B S N c]
  return linear(g, reshape(g, h, narrow.shape), w.proj.weight, { bias: w.proj.bias, residual }); // [B*S N C]
}
