/**
 * Building blocks that side networks share: batch norm with its statistics, the patch stem, the projection of a tap and the
 * pre-norm side block of the OpenAI path (spec side4video §2.1, §2.2). A side network imports these, never another network.
 */

import { DTYPE_BYTES, type Graph, type Tensor } from "../gpu/graph.ts";
import {
  add,
  attention,
  batchNorm,
  concatRows,
  layerNorm,
  linear,
  reshape,
  sideTokens,
  sliceRows,
  splitTokens,
  temporalConv,
  unfold,
} from "../gpu/ops/mod.ts";
import { constant, normal, uniform, type Weights } from "./params.ts";
import type { NormWeights } from "./clip/transformer.ts";

/** Whether batch norms use the batch's statistics (and update the running ones) or the running ones. */
export type Mode = "train" | "eval";

/** Affine and running statistics of a batch norm over all axes but the last. */
export interface BatchNormWeights extends NormWeights {
  runningMean: Tensor;
  runningVar: Tensor;
}

/** Declares a batch norm under PyTorch's five names. */
export function declareBatchNorm(weights: Weights, prefix: string, width: number): BatchNormWeights {
  weights.counter(`${prefix}.num_batches_tracked`);
  return weights.inGroup("batch_norm", () => ({
    weight: weights.trained(`${prefix}.weight`, [width], constant(1)),
    bias: weights.trained(`${prefix}.bias`, [width], constant(0)),
    runningMean: weights.statistic(`${prefix}.running_mean`, [width], constant(0)),
    runningVar: weights.statistic(`${prefix}.running_var`, [width], constant(1)),
  }));
}

/** Declares a trained layer norm. */
export function declareLayerNorm(weights: Weights, prefix: string, width: number): NormWeights {
  return {
    weight: weights.trained(`${prefix}.weight`, [width], constant(1)),
    bias: weights.trained(`${prefix}.bias`, [width], constant(0)),
  };
}

/** Weight and bias of a linear layer or a convolution. */
export interface LinearWeights {
  weight: Tensor;
  bias: Tensor;
}

/** Declares a trained linear layer with PyTorch's default initial values, U(±1/√fan-in), unless told otherwise. */
export function declareLinear(
  weights: Weights,
  prefix: string,
  shape: readonly number[],
  options: { init?: Parameters<Weights["trained"]>[2] } = {},
): LinearWeights {
  const bound = shape.slice(1).reduce((a, b) => a * b, 1) ** -0.5;
  return {
    weight: weights.trained(`${prefix}.weight`, shape, options.init ?? uniform(bound)),
    bias: weights.trained(`${prefix}.bias`, [shape[0]], uniform(bound)),
  };
}

/** A 3-D patch convolution over time and space followed by a batch norm. */
export interface StemWeights {
  conv: LinearWeights;
  norm: BatchNormWeights;
}

/** Declares the stem: kernel (3, p, p), stride (1, p, p). @param options.channels Of its input; 3 by default. */
export function declareStem(
  weights: Weights,
  options: { side: number; patchSize: number; conv: string; norm: string; channels?: number },
): StemWeights {
  const { side, patchSize: p, channels = 3 } = options;
  return {
    conv: declareLinear(weights, options.conv, [side, channels, 3, p, p]),
    norm: declareBatchNorm(weights, options.norm, side),
  };
}

/** Columns of the stem's patches in memory at once, at most, unless one clip alone has more. */
const MOST_COLUMN_BYTES = 2 ** 29;

/** How a stem reads its input. */
export interface StemOptions {
  T: number;
  patchSize: number;
  padding: number;
  /** Pictures of every frame, 1 by default. */
  window?: number;
  /** What the convolution sees of the pictures of some clips, [b*T c H W]; the pictures themselves by default. */
  prepare?: (pictures: Tensor) => Tensor;
}

/** Pictures of B clips [B*T*window 3 H W], clip-major, to the side network's first state [B T P D], before its batch norm. */
export function stemConv(g: Graph, pictures: Tensor, conv: LinearWeights, options: StemOptions): Tensor {
  const { T, patchSize: p, padding, window = 1, prepare } = options;
  const [D, channels] = conv.weight.shape, [H, W] = pictures.shape.slice(-2);
  const grid = (size: number) => Math.floor((size + 2 * padding - p) / p) + 1;
  const clipBytes = T * grid(H) * grid(W) * channels * 3 * p * p * DTYPE_BYTES[pictures.dtype];
  const rows = T * window, B = pictures.shape[0] / rows; // pictures of a clip, clips
  const most = Math.max(1, Math.floor(MOST_COLUMN_BYTES / clipBytes));
  const parts: Tensor[] = [];
  for (let first = 0; first < B; first += most) {
    const count = Math.min(most, B - first);
    // The columns are many times the pictures and cheap to make again: they never wait for the backward pass.
    parts.push(g.region(`${conv.weight.label}/part.${first}`, () => {
      const part = count === B
        ? pictures
        : sliceRows(g, pictures, { start: first * rows, rows: count * rows });
      const columns = unfold(g, prepare ? prepare(part) : part, {
        frames: T,
        kernel: [3, p, p],
        stride: [1, p, p],
        padding: [1, padding, padding],
      }); // [b*T*P c*3pp]
      return linear(g, columns, reshape(g, conv.weight, [D, -1]), { bias: conv.bias }); // [b*T*P D]
    }));
  }
  return reshape(g, concatRows(g, parts), [B, T, -1, D]); // [B T P D]
}

/** The tap's way into the side network: layer norm on the tower's width, then a linear layer to D. */
export interface BridgeWeights {
  norm: NormWeights;
  linear: LinearWeights;
}

/** Tap [F N C] to class token [F D] and patches [F P D]. `whole` is both, [F N D]. */
export function bridge(
  g: Graph,
  tap: Tensor,
  w: BridgeWeights,
): { whole: Tensor; token: Tensor; patches: Tensor } {
  const h = layerNorm(g, tap, { ...w.norm, dtype: "f32" }); // [F N C]
  const whole = linear(g, h, w.linear.weight, { bias: w.linear.bias }); // [F N D]
  return { whole, ...splitTokens(g, whole) };
}

/** Weights of a convolution over time: point-wise, depth-wise over three frames, point-wise. */
export interface TemporalConvWeights {
  conv0: LinearWeights;
  conv1: LinearWeights;
  conv2: LinearWeights;
}

/** Declares a convolution over time as PyTorch's sequence of three 3-D convolutions. */
export function declareTemporalConv(weights: Weights, prefix: string, D: number): TemporalConvWeights {
  return {
    conv0: declareLinear(weights, `${prefix}.0`, [D, D, 1, 1, 1]),
    conv1: declareLinear(weights, `${prefix}.1`, [D, 1, 3, 1, 1]),
    conv2: declareLinear(weights, `${prefix}.2`, [D, D, 1, 1, 1]),
  };
}

/** Weights of a pre-norm side block. */
export interface SideBlockWeights extends TemporalConvWeights {
  bn1: BatchNormWeights;
  bn2: BatchNormWeights;
  fc1: LinearWeights;
  fc2: LinearWeights;
  inWeight: Tensor;
  inBias: Tensor;
  out: LinearWeights;
  ln1: NormWeights;
}

/** Declares a side block under the original names and initial values (spec side4video §2.6, §2.8). */
export function declareSideBlock(weights: Weights, prefix: string, D: number): SideBlockWeights {
  // The constant 24 is 2 · 12 whatever the depth of the tower, as in the original.
  const residualDeviation = (24 * D) ** -0.5;
  return {
    bn1: declareBatchNorm(weights, `${prefix}.bn_1`, D),
    ...declareTemporalConv(weights, `${prefix}.conv`, D),
    bn2: declareBatchNorm(weights, `${prefix}.bn_2`, D),
    fc1: declareLinear(weights, `${prefix}.mlp.fc1`, [4 * D, D], { init: normal((2 * D) ** -0.5) }),
    fc2: declareLinear(weights, `${prefix}.mlp.fc2`, [D, 4 * D], { init: normal(residualDeviation) }),
    inWeight: weights.trained(`${prefix}.attn.in_proj_weight`, [3 * D, D], normal(D ** -0.5)),
    inBias: weights.trained(`${prefix}.attn.in_proj_bias`, [3 * D], constant(0)),
    out: {
      weight: weights.trained(`${prefix}.attn.out_proj.weight`, [D, D], normal(residualDeviation)),
      bias: weights.trained(`${prefix}.attn.out_proj.bias`, [D], constant(0)),
    },
    ln1: declareLayerNorm(weights, `${prefix}.ln_1`, D),
  };
}

/** Three convolutions in a row without activations: point-wise, depth-wise over time, point-wise. u: [B T P D]. */
export function temporalConvolution(
  g: Graph,
  u: Tensor,
  w: TemporalConvWeights,
  options: { residual?: Tensor } = {},
): Tensor {
  const D = u.shape[3];
  const u0 = linear(g, u, w.conv0.weight, { bias: w.conv0.bias }); // [B T P D]
  const v = temporalConv(g, u0, { weight: reshape(g, w.conv1.weight, [D, 3]), bias: w.conv1.bias }); // [B T P D]
  return linear(g, v, w.conv2.weight, { bias: w.conv2.bias, residual: options.residual }); // [B T P D]
}

/**
 * Spatial attention of one frame's patches over the patches and a class token taken from the neighbouring frames.
 *
 * @param s State [B T P D].
 * @param token Class tokens [B*T D] of the same frames, not yet shifted.
 * @param position Spatial positions [P D], which only the attention input receives.
 */
export function sideAttention(
  g: Graph,
  s: Tensor,
  token: Tensor,
  position: Tensor,
  w: SideBlockWeights,
): Tensor {
  const [B, T, , D] = s.shape;
  const heads = sideHeads(D);
  const tokens = sideTokens(g, { c: reshape(g, token, [B, T, D]), s, position }); // [B*T N D]
  const A = layerNorm(g, tokens, w.ln1); // [B*T N D]
  const q = linear(g, A, sliceRows(g, w.inWeight, { start: 0, rows: D }), {
    bias: sliceRows(g, w.inBias, { start: 0, rows: D }),
  }); // [B*T N D]
  const kv = linear(g, A, sliceRows(g, w.inWeight, { start: D, rows: 2 * D }), {
    bias: sliceRows(g, w.inBias, { start: D, rows: 2 * D }),
  }); // [B*T N 2D]
  const a = attention(g, q, kv, { heads, queryStart: 1 }); // [B*T P D]
  return linear(g, reshape(g, a, s.shape), w.out.weight, { bias: w.out.bias, residual: s }); // [B T P D]
}

/**
 * Heads of a side block's attention: side_dim // 64, whatever their width.
 *
 * @throws {RangeError} when the width does not divide into them.
 */
export function sideHeads(sideDim: number): number {
  const heads = Math.max(1, Math.floor(sideDim / 64));
  if (sideDim % heads !== 0) {
    throw new RangeError(
      `Cannot build a side network: side_dim must be a multiple of side_dim // 64, current value is ${sideDim}`,
    );
  }
  return heads;
}

/**
 * The pre-norm side block: temporal convolution, attention, MLP, each added to the state. s: [B T P D].
 *
 * @param options.gate Adds the result of the temporal convolution [B T P D] to the state in a way of its own.
 */
export function sideBlock(
  g: Graph,
  s: Tensor,
  token: Tensor,
  position: Tensor,
  w: SideBlockWeights,
  options: { mode: Mode; gate?: (v: Tensor, s: Tensor) => Tensor },
): Tensor {
  const { mode, gate } = options;
  const u = batchNorm(g, s, w.bn1, { mode }); // [B T P D]
  s = gate ? gate(temporalConvolution(g, u, w), s) : temporalConvolution(g, u, w, { residual: s }); // [B T P D]
  s = sideAttention(g, s, token, position, w); // [B T P D]
  const h = linear(g, batchNorm(g, s, w.bn2, { mode }), w.fc1.weight, {
    bias: w.fc1.bias,
    activation: "gelu",
  }); // [B T P 4D]
  return linear(g, h, w.fc2.weight, { bias: w.fc2.bias, residual: s }); // [B T P D]
}

/** s ← ½ s + ½ patches. s: [B T P D], patches: [B*T P D]. */
export function fuseTap(g: Graph, s: Tensor, patches: Tensor): Tensor {
  return add(g, s, reshape(g, patches, s.shape), { alpha: 0.5, beta: 0.5 });
}
