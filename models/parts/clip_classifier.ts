/** The end of a classifier of clips (spec side4video §2.5): the side state's mean over frames and patches, and a linear layer. */

import type { Graph, Tensor } from "../../gpu/graph.ts";
import { batchNorm, linear, meanTokens, reshape } from "../../gpu/ops/mod.ts";
import { type BatchNormWeights, declareBatchNorm, declareLinear, type LinearWeights } from "./declare.ts";
import type { Weights } from "../params.ts";
import type { Keep, TowerSizes } from "../tower.ts";
import type { Mode } from "../video_model.ts";

/** Sizes of a classifier of clips beside a frozen tower: plain data. */
export interface ClipClassifierSizes<Backbone extends TowerSizes = TowerSizes> {
  backbone: Backbone;
  /** T, frames of a clip. It shapes no weight. */
  frames: number;
  /** D, a multiple of 64 in the published models: heads are D // 64. */
  sideDim: number;
  /** K. */
  classes: number;
}

/** Weights of the classifier. */
export interface ClipClassifierWeights {
  /** On the last state; absent in the network beside an EVA tower. */
  norm?: BatchNormWeights;
  fc: LinearWeights;
}

/** Declares the classifier. @param options.norm Name of the last batch norm; none when absent. */
export function declareClipClassifier(
  weights: Weights,
  sizes: { sideDim: number; classes: number },
  options: { norm?: string } = {},
): ClipClassifierWeights {
  const { sideDim, classes } = sizes;
  return {
    norm: options.norm === undefined ? undefined : declareBatchNorm(weights, options.norm, sideDim),
    fc: weights.inGroup("head", () => declareLinear(weights, "fc", [classes, sideDim])),
  };
}

/** The last state [B T P D] to `logits` [B K] and what they are made of, `embedding` [B D]. */
export function classifyClips(
  g: Graph,
  s: Tensor,
  w: ClipClassifierWeights,
  options: { mode: Mode; keep: Keep },
): { logits: Tensor; embedding: Tensor } {
  const { mode, keep } = options, [B, , , D] = s.shape;
  return g.scope("head", () => {
    const y = w.norm ? keep("side_post_bn", batchNorm(g, s, w.norm, { mode })) : s; // [B T P D]
    const embedding = keep("video_embedding", meanTokens(g, reshape(g, y, [B, -1, D]))); // [B D]
    return { logits: linear(g, embedding, w.fc.weight, { bias: w.fc.bias }), embedding };
  });
}
