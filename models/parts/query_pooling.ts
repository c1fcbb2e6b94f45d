/** DiST's pooling of a clip by learned queries (spec dist §3.2): one for every frame over its tokens, one for the clip over its frames. */

import type { Graph, Tensor } from "../../gpu/graph.ts";
import { add, addPosition, attention, layerNorm, linear, reshape, sliceRows } from "../../gpu/ops/mod.ts";
import type { NormWeights } from "../clip/transformer.ts";
import { constant, uniform, type Weights } from "../params.ts";
import { sideHeads } from "./blocks.ts";
import { BRANCH_INIT, declareMlp, declareTokens, mlp, type MlpWeights } from "./integration.ts";
import { declareLayerNorm, declareLinear, type LinearWeights } from "./declare.ts";

/** Hidden channels of an MLP, over C. */
const MLP_RATIO = 4;

/** A query's attention: one norm serves the query, and what it looks at. */
interface CrossAttentionWeights {
  norm: NormWeights;
  inWeight: Tensor;
  inBias: Tensor;
  out: LinearWeights;
}

/** One layer of pooling. */
export interface PoolingWeights {
  position: Tensor;
  spatial: CrossAttentionWeights;
  spatialNorm: NormWeights;
  spatialMlp: MlpWeights;
  temporal: CrossAttentionWeights;
  temporalNorm: NormWeights;
  temporalMlp: MlpWeights;
}

/** Declares layer `j` under the original names. @param options.frames S. */
export function declarePooling(
  weights: Weights,
  j: number,
  { width: C, frames: S }: { width: number; frames: number },
): PoolingWeights {
  const prefix = `dist_net.adapooling_nets.${j}`;
  return {
    position: declareTokens(weights, `${prefix}.positional_embedding`, [1, S, C]),
    temporal: declareCrossAttention(weights, `${prefix}.temporal_transformer`, C),
    spatial: declareCrossAttention(weights, `${prefix}.spatial_transformer`, C),
    temporalMlp: declareMlp(weights, `${prefix}.output_map_cls_token`, C, MLP_RATIO * C),
    spatialMlp: declareMlp(weights, `${prefix}.output_map_spatial_cls_token`, C, MLP_RATIO * C),
    temporalNorm: declareLayerNorm(weights, `${prefix}.ln_out_temp_cls_token`, C),
    spatialNorm: declareLayerNorm(weights, `${prefix}.ln_out_spat_cls_token`, C),
  };
}

function declareCrossAttention(weights: Weights, prefix: string, C: number): CrossAttentionWeights {
  return {
    // Xavier's uniform: of C columns and 3C rows.
    inWeight: weights.trained(`${prefix}.attn.in_proj_weight`, [3 * C, C], uniform((6 / (4 * C)) ** 0.5)),
    inBias: weights.trained(`${prefix}.attn.in_proj_bias`, [3 * C], constant(0)),
    out: declareLinear(weights, `${prefix}.attn.out_proj`, [C, C], BRANCH_INIT),
    norm: declareLayerNorm(weights, `${prefix}.ln_1`, C),
  };
}

/** The queries: of frames [B*S C], of clips [B C]. */
export interface Queries {
  frames: Tensor;
  clips: Tensor;
}

/** One layer of pooling: frames look at their tokens, clips at their frames. features: [B*S N C]. */
export function poolingLayer(g: Graph, queries: Queries, features: Tensor, w: PoolingWeights): Queries {
  const [B, C] = queries.clips.shape, S = queries.frames.shape[0] / B;
  let s = crossAttention(g, queries.frames, features, w.spatial); // [B*S C]
  s = mlp(g, layerNorm(g, s, w.spatialNorm), w.spatialMlp, { residual: s }); // [B*S C]
  const placed = addPosition(g, reshape(g, s, [B, S, C]), reshape(g, w.position, [S, C])); // [B S C]
  let q = crossAttention(g, queries.clips, placed, w.temporal); // [B C]
  q = mlp(g, layerNorm(g, q, w.temporalNorm), w.temporalMlp, { residual: q }); // [B C]
  return { frames: s, clips: q };
}

/** query + attention of every query [R C] over tokens of its own [R M C]. */
function crossAttention(g: Graph, query: Tensor, tokens: Tensor, w: CrossAttentionWeights): Tensor {
  const [R, C] = query.shape;
  const q = linear(g, layerNorm(g, query, w.norm), sliceRows(g, w.inWeight, { start: 0, rows: C }), {
    bias: sliceRows(g, w.inBias, { start: 0, rows: C }),
  }); // [R C]
  const kv = linear(g, layerNorm(g, tokens, w.norm), sliceRows(g, w.inWeight, { start: C, rows: 2 * C }), {
    bias: sliceRows(g, w.inBias, { start: C, rows: 2 * C }),
  }); // [R M 2C]
  const a = attention(g, reshape(g, q, [R, 1, C]), kv, { heads: sideHeads(C) }); // [R 1 C]
  return add(g, query, linear(g, reshape(g, a, [R, C]), w.out.weight, { bias: w.out.bias })); // [R C]
}
