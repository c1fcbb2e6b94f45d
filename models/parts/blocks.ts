/**
 * Building blocks of the OpenAI path that side networks share: the projection of a tap and the pre-norm side block (spec
 * side4video §2.1, §2.2). A side network imports these, never another network.
 */

import type { Graph, Tensor } from "../../gpu/graph.ts";
import {
  add,
  attention,
  batchNorm,
  layerNorm,
  linear,
  reshape,
  sideTokens,
  sliceRows,
  splitTokens,
  temporalConv,
} from "../../gpu/ops/mod.ts";
import {
  type BatchNormWeights,
  declareBatchNorm,
  declareLayerNorm,
  declareLinear,
  type LinearInit,
  type LinearWeights,
} from "./declare.ts";
import type { NormWeights } from "../clip/transformer.ts";
import { constant, type Init, normal, type Weights } from "../params.ts";
import type { Mode } from "../video_model.ts";

/** The tap's way into the side network: a layer norm and a linear layer to D, in the network's own order. */
export interface BridgeWeights {
  norm: NormWeights;
  linear: LinearWeights;
}

/** What a side block reads of a frame besides the state: a tap in the side network's width. */
export interface BridgedTap {
  /** Class token and patches, [F N D]. */
  whole: Tensor;
  /** [F D]. */
  token: Tensor;
  /** [F P D]. */
  patches: Tensor;
}

/** Declares the bridge of side layer `k` under the original names. @param init Of its linear layer. */
export function declareBridge(
  weights: Weights,
  k: number,
  sizes: { width: number; sideDim: number },
  init?: LinearInit,
): BridgeWeights {
  const { width, sideDim } = sizes;
  return {
    norm: declareLayerNorm(weights, `visual.transformer.side_lns.${k}`, width),
    linear: declareLinear(weights, `visual.transformer.side_linears.${k}`, [sideDim, width], init),
  };
}

/** Tap [F N C] through a layer norm on the tower's width, then a linear layer to D. */
export function bridge(g: Graph, tap: Tensor, w: BridgeWeights): BridgedTap {
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

/** Names of the three 3-D convolutions of a convolution over time, where they are one of PyTorch's sequences. */
export const CONV_SEQUENCE = ["conv.0", "conv.1", "conv.2"] as const;

/** Declares a convolution over time as three of PyTorch's 3-D convolutions. */
export function declareTemporalConv(
  weights: Weights,
  prefix: string,
  D: number,
  form: { names: readonly [string, string, string]; pointwise?: Init; depthwise?: Init } = {
    names: CONV_SEQUENCE,
  },
): TemporalConvWeights {
  const { names: [first, second, third], pointwise, depthwise } = form;
  return {
    conv0: declareLinear(weights, `${prefix}.${first}`, [D, D, 1, 1, 1], { init: pointwise }),
    conv1: declareLinear(weights, `${prefix}.${second}`, [D, 1, 3, 1, 1], { init: depthwise }),
    conv2: declareLinear(weights, `${prefix}.${third}`, [D, D, 1, 1, 1], { init: pointwise }),
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

/** What the published pre-norm side blocks differ in: names of their parts, and initial values. */
export interface SideBlockForm {
  readonly names: {
    readonly bn1: string;
    readonly conv: readonly [string, string, string];
    readonly bn2: string;
  };
  /** Initial values for D channels; PyTorch's where absent. */
  init(D: number): { pointwise?: Init; depthwise?: Init; fc1: LinearInit; fc2: LinearInit; out: Init };
}

/** The form of the networks for recognition (spec side4video §2.6, §2.8). */
const RECOGNITION_FORM: SideBlockForm = {
  names: { bn1: "bn_1", conv: CONV_SEQUENCE, bn2: "bn_2" },
  init(D) {
    // The constant 24 is 2 · 12 whatever the depth of the tower, as in the original.
    const residual = normal((24 * D) ** -0.5);
    return { fc1: { init: normal((2 * D) ** -0.5) }, fc2: { init: residual }, out: residual };
  },
};

/** Declares a side block under the original names and initial values. */
export function declareSideBlock(
  weights: Weights,
  prefix: string,
  D: number,
  form: SideBlockForm = RECOGNITION_FORM,
): SideBlockWeights {
  const { names, init } = form, { pointwise, depthwise, fc1, fc2, out } = init(D);
  return {
    bn1: declareBatchNorm(weights, `${prefix}.${names.bn1}`, D),
    ...declareTemporalConv(weights, prefix, D, { names: names.conv, pointwise, depthwise }),
    bn2: declareBatchNorm(weights, `${prefix}.${names.bn2}`, D),
    fc1: declareLinear(weights, `${prefix}.mlp.fc1`, [4 * D, D], fc1),
    fc2: declareLinear(weights, `${prefix}.mlp.fc2`, [D, 4 * D], fc2),
    inWeight: weights.trained(`${prefix}.attn.in_proj_weight`, [3 * D, D], normal(D ** -0.5)),
    inBias: weights.trained(`${prefix}.attn.in_proj_bias`, [3 * D], constant(0)),
    out: {
      weight: weights.trained(`${prefix}.attn.out_proj.weight`, [D, D], out),
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

/** What the attention of a side block reads besides the state. */
export interface AttentionContext {
  /** Class tokens [B*T D] of the same frames, not yet shifted in time. */
  token: Tensor;
  /** Spatial positions [P D], or [P+1 D] with the class token's first, which only the attention's input receives. */
  position: Tensor;
}

/** Spatial attention of one frame's patches over the patches and a class token from the neighbouring frames. s: [B T P D]. */
export function sideAttention(g: Graph, s: Tensor, w: SideBlockWeights, context: AttentionContext): Tensor {
  const [B, T, , D] = s.shape, { token, position } = context;
  const tokens = sideTokens(g, { c: reshape(g, token, [B, T, D]), s, position }); // [B*T N D]
  const A = layerNorm(g, tokens, w.ln1); // [B*T N D]
  const q = linear(g, A, sliceRows(g, w.inWeight, { start: 0, rows: D }), {
    bias: sliceRows(g, w.inBias, { start: 0, rows: D }),
  }); // [B*T N D]
  const kv = linear(g, A, sliceRows(g, w.inWeight, { start: D, rows: 2 * D }), {
    bias: sliceRows(g, w.inBias, { start: D, rows: 2 * D }),
  }); // [B*T N 2D]
  const a = attention(g, q, kv, { heads: sideHeads(D), queryStart: 1 }); // [B*T P D]
  return linear(g, reshape(g, a, s.shape), w.out.weight, { bias: w.out.bias, residual: s }); // [B T P D]
}

/** s + MLP(BN s). s: [B T P D]. */
export function sideMlp(g: Graph, s: Tensor, w: SideBlockWeights, options: { mode: Mode }): Tensor {
  const n = batchNorm(g, s, w.bn2, { mode: options.mode }); // [B T P D]
  const h = linear(g, n, w.fc1.weight, { bias: w.fc1.bias, activation: "gelu" }); // [B T P 4D]
  return linear(g, h, w.fc2.weight, { bias: w.fc2.bias, residual: s }); // [B T P D]
}

/** The pre-norm side block: temporal convolution, attention, MLP, each added to the state. s: [B T P D]. */
export function sideBlock(
  g: Graph,
  s: Tensor,
  w: SideBlockWeights,
  options: AttentionContext & { mode: Mode },
): Tensor {
  const u = batchNorm(g, s, w.bn1, { mode: options.mode }); // [B T P D]
  s = temporalConvolution(g, u, w, { residual: s }); // [B T P D]
  s = sideAttention(g, s, w, options); // [B T P D]
  return sideMlp(g, s, w, options); // [B T P D]
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

/** s ← ½ s + ½ patches. s: [B T P D], patches: [B*T P D]. */
export function fuseTap(g: Graph, s: Tensor, patches: Tensor): Tensor {
  return add(g, s, reshape(g, patches, s.shape), { alpha: 0.5, beta: 0.5 });
}

/** Records side layer `k`: its values may be recomputed in the backward pass instead of kept. */
export function sideLayer<R>(g: Graph, k: number, body: () => R): R {
  return g.scope(`side/layer.${k}`, () => g.region(`side.${k}`, body));
}
