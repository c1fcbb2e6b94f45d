/**
 * Side4Video (Yao et al. 2023, arXiv 2311.15769; spec side4video §2, §3): one side block beside every backbone block, on a
 * state of patch tokens that starts from a 3-D convolution of the pixels. Here on a CLIP tower; beside an EVA tower the
 * blocks differ (`side4video_eva.ts`).
 */

import type { Graph, Tensor } from "../gpu/graph.ts";
import { batchNorm } from "../gpu/ops/mod.ts";
import {
  bridge,
  type BridgeWeights,
  declareBridge,
  declareSideBlock,
  fuseTap,
  sideBlock,
  type SideBlockWeights,
  sideHeads,
  sideLayer,
} from "./parts/blocks.ts";
import { caseGroups, caseSizes, caseTower, channelsFirst, tokenFirst } from "./parts/cases.ts";
import {
  classifyClips,
  type ClipClassifierSizes,
  type ClipClassifierWeights,
  declareClipClassifier,
} from "./parts/clip_classifier.ts";
import {
  CLASSIFIER_NAMES,
  explainClassifier,
  holdsForRecognition,
  sideDimIn,
  towerBeside,
} from "./parts/files.ts";
import {
  evaRequirements,
  sideGroups,
  sideHeadsRequirement,
  sideSizes,
  singleClipRemarks,
} from "./parts/recipe_parts.ts";
import { declareStem, stemConv, type StemWeights } from "./parts/stem.ts";
import { evaOfCase } from "./eva/case.ts";
import { isEva } from "./eva/tower.ts";
import { type IgnoreList, normal, Weights } from "./params.ts";
import { Side4VideoEva } from "./side4video_eva.ts";
import type { RecipePart, System } from "./system.ts";
import { type FrozenTower, patchesOf } from "./tower.ts";
import { declareTower, towerOf, towerSizes } from "./towers.ts";
import {
  collectActivations,
  type Mode,
  type ModelInputs,
  type ModelOptions,
  type ModelOutput,
  type TapSource,
  type VideoModel,
} from "./video_model.ts";

/** A Side4Video model on a CLIP tower: its weights, and how to record its forward pass. */
export class Side4Video implements VideoModel {
  readonly weights: Weights;
  readonly config: ClipClassifierSizes;
  readonly unusedInBackbone: IgnoreList;
  readonly taps: TapSource;
  /** Every block of the tower. */
  readonly tapped: readonly number[];
  readonly #tower: FrozenTower;
  readonly #stem: StemWeights;
  readonly #position: Tensor;
  readonly #bridges: BridgeWeights[];
  readonly #blocks: SideBlockWeights[];
  readonly #classifier: ClipClassifierWeights;

  constructor(config: ClipClassifierSizes, options: ModelOptions = {}) {
    const { backboneDtype: dtype = "f32", taps = "tower" } = options;
    const { backbone, sideDim } = config, { width, patchSize } = backbone;
    sideHeads(sideDim); // refuses a width that does not divide
    const weights = new Weights({ frozenDtype: dtype, group: "side" });
    this.config = config;
    this.weights = weights;
    this.taps = taps;
    this.tapped = Array.from({ length: backbone.layers }, (_, k) => k);
    this.unusedInBackbone = towerOf(backbone).unused(backbone);
    this.#tower = declareTower(weights, backbone, { dtype, taps });
    this.#stem = declareStem(weights, {
      sideDim,
      patchSize,
      conv: "visual.side_conv1",
      norm: "visual.side_pre_bn3d",
    });
    this.#position = weights.trained(
      "visual.transformer.side_spatial_position_embeddings",
      [patchesOf(backbone), sideDim],
      normal(0.01),
    );
    this.#bridges = this.tapped.map((k) => declareBridge(weights, k, { width, sideDim }));
    this.#blocks = this.tapped.map((k) =>
      declareSideBlock(weights, `visual.transformer.side_transformer.${k}`, sideDim)
    );
    this.#classifier = declareClipClassifier(weights, config, { norm: "visual.side_post_bn" });
  }

  forward(g: Graph, { frames, taps }: ModelInputs, { mode }: { mode: Mode }): ModelOutput {
    const { frames: T, backbone: { patchSize } } = this.config, position = this.#position;
    const { activations, keep } = collectActivations();
    let s = g.scope("side/stem", () => {
      const x = keep("side_conv1", stemConv(g, frames, this.#stem.conv, { T, patchSize, padding: 0 })); // [B T P D]
      return keep("side_pre_bn3d", batchNorm(g, x, this.#stem.norm, { mode })); // [B T P D]
    });
    let k = 0;
    for (const tap of taps ?? this.#tower.outputs(g, frames, keep)) {
      s = sideLayer(g, k, () => {
        const { whole, token, patches } = bridge(g, tap, this.#bridges[k]);
        keep(`bridge.${k}`, whole); // [B*T N D]
        return sideBlock(g, fuseTap(g, s, patches), this.#blocks[k], { token, position, mode });
      }); // [B T P D]
      keep(`side.${k++}`, s);
    }
    return { outputs: classifyClips(g, s, this.#classifier, { mode, keep }), activations };
  }

  recordTaps(g: Graph, pictures: Tensor): Tensor[] {
    return [...this.#tower.outputs(g, pictures)];
  }
}

const recipe: RecipePart<ClipClassifierSizes> = {
  keys: {},
  requirements: (recipe) => [...evaRequirements(recipe), sideHeadsRequirement(recipe)],
  // The side network beside an EVA tower has no last batch norm.
  remarks: (recipe) => isEva(towerSizes(recipe.network)) ? [] : singleClipRemarks(recipe),
  sizes: sideSizes,
  groups: sideGroups,
};

/** Side4Video: one published name for two networks. The tower decides which side network goes with it. */
export const side4video: System<ClipClassifierSizes> = {
  id: "side4video",
  title: "Side4Video",
  task: "classification",
  example: "configs/side4video/ssv2_vitb16_f8.yaml",
  recipe,
  build(sizes, options) {
    const { backbone } = sizes;
    return isEva(backbone)
      ? new Side4VideoEva({ ...sizes, backbone }, options)
      : new Side4Video(sizes, options);
  },
  head: CLASSIFIER_NAMES,
  files: {
    recognise(source) {
      const sideDim = sideDimIn(source);
      // TDS-CLIP has all these names, and a gate behind every temporal convolution; networks for retrieval a projection back.
      const isOther = [...source.names()].some((name) =>
        name.endsWith(".mse.conv1.weight") || name === "visual.side_proj"
      );
      return sideDim === null || isOther
        ? null
        : { title: "Side4Video", backbone: towerBeside(source), sideDim };
    },
    holdsOfBackbone: holdsForRecognition,
    explain: explainClassifier,
  },
  cases: [
    {
      system: "side4video",
      sizes: (config) => caseSizes(config, caseTower(config)),
      groups: caseGroups,
      toRecorded: tokenFirst,
    },
    {
      system: "side4video-eva",
      sizes: (config, label) => caseSizes(config, evaOfCase(config.model.vision_cfg, label)),
      groups: caseGroups,
      toRecorded: channelsFirst,
    },
  ],
};
