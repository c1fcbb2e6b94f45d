/**
 * What the EVA path of Side4Video has in place of the pre-norm pieces: a projection with its layer norm behind it, and the
 * post-norm side block (spec side4video §2.1, §2.3). What both paths share is in `blocks.ts`.
 */

import type { Graph, Tensor } from "../../gpu/graph.ts";
import {
  add,
  attention,
  batchNorm,
  concatRows,
  layerNorm,
  linear,
  reshape,
  sideTokens,
  splitTokens,
} from "../../gpu/ops/mod.ts";
import {
  type AttentionContext,
  type BridgedTap,
  type BridgeWeights,
  declareTemporalConv,
  sideHeads,
  temporalConvolution,
  type TemporalConvWeights,
} from "./blocks.ts";
import {
  type BatchNormWeights,
  declareBatchNorm,
  declareLayerNorm,
  declareLinear,
  type LinearWeights,
} from "./declare.ts";
import type { NormWeights } from "../clip/transformer.ts";
import type { Weights } from "../params.ts";
import type { Mode } from "../video_model.ts";

/** Declares the bridge of side layer `k` under the original names. */
export function declarePostNormBridge(
  weights: Weights,
  k: number,
  sizes: { width: number; sideDim: number },
): BridgeWeights {
  return {
    linear: declareLinear(weights, `visual.side_linears.${k}`, [sizes.sideDim, sizes.width]),
    norm: declareLayerNorm(weights, `visual.side_lns.${k}`, sizes.sideDim),
  };
}

/** Tap [F N C] through a linear layer to D, then a layer norm. */
export function postNormBridge(g: Graph, tap: Tensor, w: BridgeWeights): BridgedTap {
  const h = linear(g, tap, w.linear.weight, { bias: w.linear.bias }); // [F N D]
  const whole = layerNorm(g, h, w.norm); // [F N D]
  return { whole, ...splitTokens(g, whole) };
}

/** Weights of a post-norm side block. */
export interface PostNormBlockWeights extends TemporalConvWeights {
  bn1: BatchNormWeights;
  bn2: BatchNormWeights;
  fc1: LinearWeights;
  fc2: LinearWeights;
  q: LinearWeights;
  k: LinearWeights;
  v: LinearWeights;
  out: LinearWeights;
  ln1: NormWeights;
}

/** Declares a post-norm side block under the original names and PyTorch's default initial values (spec §2.6, §2.8). */
export function declarePostNormBlock(weights: Weights, prefix: string, D: number): PostNormBlockWeights {
  const square = (name: string) => declareLinear(weights, `${prefix}.attn.${name}`, [D, D]);
  return {
    bn1: declareBatchNorm(weights, `${prefix}.bn_1`, D),
    ...declareTemporalConv(weights, prefix, D),
    bn2: declareBatchNorm(weights, `${prefix}.bn_2`, D),
    fc1: declareLinear(weights, `${prefix}.mlp.0`, [4 * D, D]),
    fc2: declareLinear(weights, `${prefix}.mlp.2`, [D, 4 * D]),
    q: square("q_proj"),
    k: square("k_proj"),
    v: square("v_proj"),
    out: square("proj"),
    ln1: declareLayerNorm(weights, `${prefix}.ln_1`, D),
  };
}

/**
 * Spatial attention of one frame's patches over the patches and a class token from the neighbouring frames, without a norm
 * on its input. s: [B T P D]. Returns [B T P D], not yet added to s.
 */
function postNormAttention(
  g: Graph,
  s: Tensor,
  w: PostNormBlockWeights,
  context: AttentionContext,
): Tensor {
  const [B, T, , D] = s.shape, { token, position } = context;
  const A = sideTokens(g, { c: reshape(g, token, [B, T, D]), s, position }); // [B*T N D]
  const q = linear(g, A, w.q.weight, { bias: w.q.bias }); // [B*T N D]
  // The weights are joined rather than the results, which are far larger.
  const kv = linear(g, A, concatRows(g, [w.k.weight, w.v.weight]), {
    bias: concatRows(g, [w.k.bias, w.v.bias]),
  }); // [B*T N 2D]
  const a = attention(g, q, kv, { heads: sideHeads(D), queryStart: 1 }); // [B*T P D]
  return linear(g, reshape(g, a, s.shape), w.out.weight, { bias: w.out.bias }); // [B T P D]
}

/** The post-norm side block: temporal convolution, attention, MLP; the norm of each is on what is added. s: [B T P D]. */
export function postNormBlock(
  g: Graph,
  s: Tensor,
  w: PostNormBlockWeights,
  options: AttentionContext & { mode: Mode },
): Tensor {
  const { mode } = options;
  s = add(g, s, batchNorm(g, temporalConvolution(g, s, w), w.bn1, { mode })); // [B T P D]
  const a = postNormAttention(g, s, w, options); // [B T P D]
  s = add(g, s, layerNorm(g, a, w.ln1)); // [B T P D]
  const h = linear(g, s, w.fc1.weight, { bias: w.fc1.bias, activation: "gelu" }); // [B T P 4D]
  return add(g, s, batchNorm(g, linear(g, h, w.fc2.weight, { bias: w.fc2.bias }), w.bn2, { mode })); // [B T P D]
}
