/**
 * What the EVA path of Side4Video has in place of the pre-norm pieces: a projection with its layer norm behind it, and the
 * post-norm side block (spec side4video §2.1, §2.3). What both paths share is in `_blocks.ts`.
 */

import type { Graph, Tensor } from "../gpu/graph.ts";
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
} from "../gpu/ops/mod.ts";
import {
  type BatchNormWeights,
  type BridgeWeights,
  declareBatchNorm,
  declareLayerNorm,
  declareLinear,
  declareTemporalConv,
  type LinearWeights,
  type Mode,
  sideHeads,
  temporalConvolution,
  type TemporalConvWeights,
} from "./_blocks.ts";
import type { NormWeights } from "./clip/transformer.ts";
import type { Weights } from "./params.ts";

/** Tap [F N C] to class token [F D] and patches [F P D]: a linear layer, then a layer norm. `whole` is both, [F N D]. */
export function postNormBridge(
  g: Graph,
  tap: Tensor,
  w: BridgeWeights,
): { whole: Tensor; token: Tensor; patches: Tensor } {
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
    ...declareTemporalConv(weights, `${prefix}.conv`, D),
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
 * Spatial attention of one frame's patches over the patches and a class token taken from the neighbouring frames, without a
 * norm on its input. See `sideAttention` in `_blocks.ts` for s, token and position. Returns [B T P D], not yet added to s.
 */
function postNormAttention(
  g: Graph,
  s: Tensor,
  from: { token: Tensor; position: Tensor },
  w: PostNormBlockWeights,
): Tensor {
  const [B, T, , D] = s.shape;
  const A = sideTokens(g, { c: reshape(g, from.token, [B, T, D]), s, position: from.position }); // [B*T N D]
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
  from: { token: Tensor; position: Tensor },
  w: PostNormBlockWeights,
  options: { mode: Mode },
): Tensor {
  s = add(g, s, batchNorm(g, temporalConvolution(g, s, w), w.bn1, options)); // [B T P D]
  const a = postNormAttention(g, s, from, w); // [B T P D]
  s = add(g, s, layerNorm(g, a, w.ln1)); // [B T P D]
  const h = linear(g, s, w.fc1.weight, { bias: w.fc1.bias, activation: "gelu" }); // [B T P 4D]
  return add(g, s, batchNorm(g, linear(g, h, w.fc2.weight, { bias: w.fc2.bias }), w.bn2, options)); // [B T P D]
}
