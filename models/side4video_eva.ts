/**
 * Side4Video on an EVA-CLIP tower (Yao et al. 2023, arXiv 2311.15769; spec side4video §1.3, §2, §3): post-norm side blocks
 * beside every second backbone block, on a state of patch tokens that starts from a 3-D convolution of the pixels.
 */

import type { Graph, Tensor } from "../gpu/graph.ts";
import { batchNorm } from "../gpu/ops/mod.ts";
import { type BridgeWeights, fuseTap, sideHeads, sideLayer } from "./parts/blocks.ts";
import {
  classifyClips,
  type ClipClassifierSizes,
  type ClipClassifierWeights,
  declareClipClassifier,
} from "./parts/clip_classifier.ts";
import {
  declarePostNormBlock,
  declarePostNormBridge,
  postNormBlock,
  type PostNormBlockWeights,
  postNormBridge,
} from "./parts/post_norm_blocks.ts";
import { declareStem, stemConv, type StemWeights } from "./parts/stem.ts";
import type { EvaConfig } from "./eva/block.ts";
import { type IgnoreList, normal, Weights } from "./params.ts";
import { type FrozenTower, ofBlocks, patchesOf } from "./tower.ts";
import { declareTower, towerOf } from "./towers.ts";
import {
  collectActivations,
  type Mode,
  type ModelInputs,
  type ModelOptions,
  type ModelOutput,
  type TapSource,
  type VideoModel,
} from "./video_model.ts";

/** A Side4Video model on an EVA tower: its weights, and how to record its forward pass. */
export class Side4VideoEva implements VideoModel {
  readonly weights: Weights;
  readonly config: ClipClassifierSizes<EvaConfig>;
  readonly unusedInBackbone: IgnoreList;
  readonly taps: TapSource;
  /** The odd blocks. */
  readonly tapped: readonly number[];
  readonly #tower: FrozenTower;
  readonly #stem: StemWeights;
  readonly #position: Tensor;
  readonly #bridges: BridgeWeights[];
  readonly #blocks: PostNormBlockWeights[];
  readonly #classifier: ClipClassifierWeights;

  constructor(config: ClipClassifierSizes<EvaConfig>, options: ModelOptions = {}) {
    const { backboneDtype: dtype = "f32", taps = "tower" } = options;
    const { backbone, sideDim } = config, { width, patchSize } = backbone;
    sideHeads(sideDim); // refuses a width that does not divide
    const weights = new Weights({ frozenDtype: dtype, group: "side" });
    this.config = config;
    this.weights = weights;
    this.taps = taps;
    this.tapped = Array.from({ length: Math.floor(backbone.layers / 2) }, (_, k) => 2 * k + 1);
    this.unusedInBackbone = towerOf(backbone).unused(backbone);
    this.#tower = declareTower(weights, backbone, { dtype, taps });
    this.#stem = declareStem(weights, {
      sideDim,
      patchSize,
      conv: "visual.side_conv1",
      norm: "visual.side_pre_bn3d",
    });
    this.#position = weights.trained(
      "visual.side_spatial_position_embeddings",
      [patchesOf(backbone), sideDim],
      normal(0.02),
    );
    this.#bridges = this.tapped.map((_, k) => declarePostNormBridge(weights, k, { width, sideDim }));
    this.#blocks = this.tapped.map((_, k) =>
      declarePostNormBlock(weights, `visual.side_blocks.${k}`, sideDim)
    );
    this.#classifier = declareClipClassifier(weights, config);
  }

  forward(g: Graph, { frames, taps }: ModelInputs, { mode }: { mode: Mode }): ModelOutput {
    const { frames: T, backbone: { patchSize } } = this.config, position = this.#position;
    const { activations, keep } = collectActivations();
    let s = g.scope("side/stem", () => {
      const x = keep("side_conv1", stemConv(g, frames, this.#stem.conv, { T, patchSize, padding: 0 })); // [B T P D]
      return keep("side_pre_bn3d", batchNorm(g, x, this.#stem.norm, { mode })); // [B T P D]
    });
    let k = 0;
    for (const tap of taps ?? ofBlocks(this.#tower.outputs(g, frames, keep), this.tapped)) {
      s = sideLayer(g, k, () => {
        const { whole, token, patches } = postNormBridge(g, tap, this.#bridges[k]);
        keep(`bridge.${k}`, whole); // [B*T N D]
        return postNormBlock(g, fuseTap(g, s, patches), this.#blocks[k], { token, position, mode });
      }); // [B T P D]
      keep(`side.${k++}`, s);
    }
    return { outputs: classifyClips(g, s, this.#classifier, { mode, keep }), activations };
  }

  recordTaps(g: Graph, pictures: Tensor): Tensor[] {
    return [...ofBlocks(this.#tower.outputs(g, pictures), this.tapped)];
  }
}
