/**
 * Side4Video's side network as it is for retrieval, beside a CLIP or an EVA-CLIP tower (spec retrieval §3.3, §3.4): the blocks of
 * recognition; beside CLIP with other names and initial values, and a position for the class token as well.
 */

import type { Graph, Tensor } from "../../gpu/graph.ts";
import { isEva } from "../eva/tower.ts";
import { constant, normal, type Weights } from "../params.ts";
import { type Keep, patchesOf, type TowerSizes } from "../tower.ts";
import type { Mode } from "../video_model.ts";
import {
  bridge,
  type BridgedTap,
  declareBridge,
  declareSideBlock,
  fuseTap,
  sideBlock,
  type SideBlockForm,
} from "./blocks.ts";
import {
  declarePostNormBlock,
  declarePostNormBridge,
  postNormBlock,
  postNormBridge,
} from "./post_norm_blocks.ts";

/** What a side layer works on. */
export interface SideStep {
  /** Output of the layer's block of the tower, [F N C]. */
  tap: Tensor;
  /** [B T P D]. */
  s: Tensor;
  mode: Mode;
  keep: Keep;
}

/** A side network's layers with their declared weights. */
export interface SideNetwork {
  /** Blocks of the tower that they read, one each, in order. */
  readonly reads: readonly number[];
  /** Records layer `k`: the next state [B T P D]. */
  layer(g: Graph, k: number, step: SideStep): Tensor;
}

/** Initial values of linear layers in CLIP's models. */
const LINEAR = { init: normal(0.02), bias: constant(0) };

const CLIP_FORM: SideBlockForm = {
  names: { bn1: "norm1", conv: ["pw_conv1", "dw_conv1", "pw_conv2"], bn2: "norm2" },
  init: (D) => ({
    pointwise: normal(0.02),
    depthwise: normal(D ** -0.5),
    fc1: LINEAR,
    fc2: LINEAR,
    out: LINEAR.init,
  }),
};

/** Declares the layers beside a tower of these sizes. */
export function declareSideNetwork(
  weights: Weights,
  { backbone, sideDim }: { backbone: TowerSizes; sideDim: number },
): SideNetwork {
  const { width, layers } = backbone, patches = patchesOf(backbone), sizes = { width, sideDim };
  if (!isEva(backbone)) {
    const reads = Array.from({ length: layers }, (_, k) => k);
    const position = weights.trained(
      "visual.transformer.side_spatial_position_embeddings",
      [patches + 1, sideDim],
      normal(0.01),
    );
    const bridges = reads.map((k) => declareBridge(weights, k, sizes, LINEAR));
    const blocks = reads.map((k) =>
      declareSideBlock(weights, `visual.transformer.side_transformer.${k}`, sideDim, CLIP_FORM)
    );
    return {
      reads,
      layer: (g, k, { tap, s, mode, keep }) => {
        const { token, patches } = kept(bridge(g, tap, bridges[k]), k, keep);
        return sideBlock(g, fuseTap(g, s, patches), blocks[k], { token, position, mode });
      },
    };
  }
  const reads = Array.from({ length: Math.floor(layers / 2) }, (_, k) => 2 * k + 1);
  const position = weights.trained(
    "visual.side_spatial_position_embeddings",
    [patches, sideDim],
    normal(0.02),
  );
  const bridges = reads.map((_, k) => declarePostNormBridge(weights, k, sizes));
  const blocks = reads.map((_, k) => declarePostNormBlock(weights, `visual.side_blocks.${k}`, sideDim));
  return {
    reads,
    layer: (g, k, { tap, s, mode, keep }) => {
      const { token, patches } = kept(postNormBridge(g, tap, bridges[k]), k, keep);
      return postNormBlock(g, fuseTap(g, s, patches), blocks[k], { token, position, mode });
    },
  };
}

function kept(bridged: BridgedTap, k: number, keep: Keep): BridgedTap {
  keep(`bridge.${k}`, bridged.whole); // [B*T N D]
  return bridged;
}
