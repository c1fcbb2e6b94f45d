/**
 * Side4Video for text-video retrieval (Yao et al. 2023, arXiv 2311.15769; spec retrieval): the side network of recognition in a
 * slightly other form, which corrects the image embedding of every frame, beside a text tower; on a CLIP or an EVA-CLIP model.
 */

import type { Graph, Tensor } from "../gpu/graph.ts";
import {
  add,
  batchNorm,
  cast,
  clampMaxInPlace,
  matmul,
  meanTokens,
  reshape,
  splitTokens,
} from "../gpu/ops/mod.ts";
import { TextTower } from "./clip/text.ts";
import { isEva } from "./eva/tower.ts";
import { constant, type IgnoreList, normal, Weights } from "./params.ts";
import { sideHeads, sideLayer } from "./parts/blocks.ts";
import { type BatchNormWeights, declareBatchNorm } from "./parts/declare.ts";
import { sideDimIn, towerBeside } from "./parts/files.ts";
import { evaRequirements, sideHeadsRequirement } from "./parts/recipe_parts.ts";
import { retrievalCaseRecipe, retrievalToRecorded } from "./parts/retrieval_cases.ts";
import {
  foreignRequirements,
  INTERACTION_KEYS,
  PRETRAINED_GROUP,
  RETRIEVAL_DATA_KEYS,
  RETRIEVAL_NETWORK_KEYS,
  retrievalFrames,
  retrievalGroup,
  retrievalGroups,
  textRequirements,
  towersForRetrieval,
  type TowerSizesForRetrieval,
} from "./parts/retrieval_recipe.ts";
import { declareSideNetwork, type SideNetwork } from "./parts/retrieval_side.ts";
import { declareStem, stemConv, type StemWeights } from "./parts/stem.ts";
import {
  declareLogitScale,
  declareTokenWeights,
  type Interaction,
  MOST_LOGIT_SCALE,
  TowerTextSide,
} from "./parts/text_side.ts";
import type { RecipePart, System, SystemRecipe } from "./system.ts";
import type { FrozenTower, ImageHead, Keep } from "./tower.ts";
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

/** Sizes of the network: plain data. */
export interface RetrievalSizes extends TowerSizesForRetrieval {
  /** D of the side network. */
  sideDim: number;
  interaction: Interaction;
  /** Whether the whole text tower is trained, or its last norm and projection alone. */
  trainsText: boolean;
}

/** The network: its weights, and how to record its forward pass. */
export class Side4VideoRetrieval implements VideoModel {
  readonly weights: Weights;
  readonly config: RetrievalSizes;
  readonly unusedInBackbone: IgnoreList;
  readonly taps: TapSource;
  readonly tapped: readonly number[];
  readonly text: TowerTextSide;
  readonly #tower: FrozenTower;
  readonly #stem: StemWeights;
  readonly #side: SideNetwork;
  readonly #norm: BatchNormWeights;
  readonly #sideProjection: Tensor;
  readonly #head: ImageHead;
  readonly #logitScale: Tensor;

  constructor(config: RetrievalSizes, options: ModelOptions = {}) {
    const { backboneDtype: dtype = "f32", taps = "tower" } = options;
    const { backbone, text, sideDim, interaction, words, frames, tokens } = config;
    const { width, patchSize, layers } = backbone, tower = towerOf(backbone);
    sideHeads(sideDim); // refuses a width that does not divide
    const weights = new Weights({ frozenDtype: dtype, groupRule: retrievalGroup });
    const pretrained = <R>(body: () => R) => weights.unfrozen(PRETRAINED_GROUP, body);
    this.config = config;
    this.weights = weights;
    this.taps = taps;
    this.unusedInBackbone = tower.unused(backbone, "embedding");
    this.#tower = declareTower(weights, backbone, { dtype, taps });
    this.#stem = declareStem(weights, {
      sideDim,
      patchSize,
      conv: "visual.side_conv1",
      norm: "visual.side_pre_bn3d",
    });
    this.#side = declareSideNetwork(weights, { backbone, sideDim });
    // The class token that is corrected is that of the last block, whether a side layer reads it or not.
    this.tapped = [...new Set([...this.#side.reads, layers - 1])];
    this.#norm = declareBatchNorm(weights, "visual.side_post_bn", sideDim);
    this.#sideProjection = weights.trained("visual.side_proj", [sideDim, width], constant(0));
    this.#head = pretrained(() => tower.declareHead(weights, { ...backbone, embedDim: text.embedDim }));
    this.#logitScale = pretrained(() => declareLogitScale(weights));
    // As published, the new linear layers of a CLIP model get CLIP's initial values, those of an EVA-CLIP model PyTorch's.
    const init = isEva(backbone) ? undefined : { init: normal(0.02), bias: constant(0) };
    this.text = new TowerTextSide({
      tower: new TextTower(weights, text, {
        trained: config.trainsText ? "all" : "end",
        group: PRETRAINED_GROUP,
      }),
      logitScale: this.#logitScale,
      tokenWeights: interaction === "wti" ? declareTokenWeights(weights, text.embedDim, init) : null,
      words,
      frames,
      tokens,
    });
  }

  forward(g: Graph, { frames, taps, batch }: ModelInputs, { mode }: { mode: Mode }): ModelOutput {
    const { frames: T, backbone: { patchSize } } = this.config;
    const { activations, keep } = collectActivations();
    let s = g.scope("side/stem", () => {
      const x = keep("side_conv1", stemConv(g, frames, this.#stem.conv, { T, patchSize, padding: 0 })); // [B T P D]
      return keep("side_pre_bn3d", batchNorm(g, x, this.#stem.norm, { mode })); // [B T P D]
    });
    const { reads } = this.#side;
    let block = 0, last: Tensor | undefined;
    for (const tap of taps ?? this.#tower.outputs(g, frames, keep)) {
      const k = reads.indexOf(taps ? this.tapped[block] : block);
      block++;
      last = tap;
      if (k < 0) continue;
      s = sideLayer(g, k, () => this.#side.layer(g, k, { tap, s, mode, keep })); // [B T P D]
      keep(`side.${k}`, s);
    }
    const embedded = keep(
      "frame_embeddings",
      this.#embed(g, { token: splitTokens(g, last!).token, s, mode, keep }),
    ); // [B T E]
    return {
      outputs: {
        frames: embedded,
        ...batch?.ids && this.text.encode(g, batch, { mode, keep }),
      },
      activations,
    };
  }

  /** Class tokens of the last block [B*T C], corrected by the side state [B T P D], in the joint space: [B T E]. */
  #embed(
    g: Graph,
    { token, s, mode, keep }: { token: Tensor; s: Tensor; mode: Mode; keep: Keep },
  ): Tensor {
    const [B, T, P, D] = s.shape;
    return g.scope("head", () => {
      const y = keep("side_post_bn", batchNorm(g, s, this.#norm, { mode })); // [B T P D]
      const mean = meanTokens(g, reshape(g, y, [B * T, P, D])); // [B*T D]
      const corrected = add(g, cast(g, token, "f32"), matmul(g, mean, this.#sideProjection)); // [B*T C]
      return reshape(g, this.#head.apply(g, corrected).embedding, [B, T, -1]); // [B T E]
    });
  }

  recordTaps(g: Graph, pictures: Tensor): Tensor[] {
    return [...this.#tower.outputs(g, pictures)].filter((_, block) => this.tapped.includes(block));
  }

  afterUpdate(g: Graph): void {
    clampMaxInPlace(g, this.#logitScale, MOST_LOGIT_SCALE);
  }
}

/** What is trained of CLIP's file and of EVA-CLIP's: the text tower, what turns class tokens into embeddings, and the scale. */
const TRAINED_OF_CLIP =
  /^((text|transformer|token_embedding|ln_final|visual\.(ln_post|norm|head))\.|(positional_embedding|text_projection|logit_scale|visual\.proj)$)/;

/** What a recipe asks for. */
function sizes(recipe: Pick<SystemRecipe, "data" | "network">): RetrievalSizes {
  const { network } = recipe;
  return {
    ...towersForRetrieval(recipe),
    sideDim: network.side_dim,
    interaction: network.interaction as Interaction,
    trainsText: network.text_tower === "train",
  };
}

const recipe: RecipePart<RetrievalSizes> = {
  keys: { data: RETRIEVAL_DATA_KEYS, network: { ...INTERACTION_KEYS, ...RETRIEVAL_NETWORK_KEYS } },
  requirements: (recipe) => [
    ...evaRequirements(recipe),
    sideHeadsRequirement(recipe),
    ...textRequirements(recipe),
  ],
  // A plain CLIP has the same keys.
  foreignRequirements: (recipe, system) => system === "clip" ? [] : foreignRequirements(recipe, system),
  sizes,
  groups: ({ solver }) =>
    retrievalGroups({ coefficient: solver.coef_lr as number, weightDecay: solver.weight_decay }),
  frameRule: retrievalFrames,
};

/** Side4Video for retrieval. The tower decides which side network goes with it. */
export const side4videoRetrieval: System<RetrievalSizes> = {
  id: "side4video_retrieval",
  title: "Side4Video retrieval",
  task: "retrieval",
  captions: true,
  optimizer: "bert_adam",
  recipe,
  build: (sizes, options) => new Side4VideoRetrieval(sizes, options),
  head: [],
  files: {
    prefix: "clip.",
    unprefixed: ["text_weight_fc.", "video_weight_fc."],
    trains: (name) => TRAINED_OF_CLIP.test(name),
    recognise(source) {
      const sideDim = sideDimIn(source);
      return sideDim === null || !source.shapeOf("visual.side_proj")
        ? null
        : { title: "Side4Video retrieval", backbone: towerBeside(source), sideDim };
    },
    explain(source) {
      if (source.shapeOf("fc.weight")) {
        return "the file holds a classifier: it is a network for recognition, whose side network has other names and positions";
      }
      return sideDimIn(source) === null
        ? "the file holds no side network, so it is probably a backbone (network.weights) or another network"
        : `the file looks like a network of side_dim ${sideDimIn(source)} and interaction ${
          source.shapeOf("text_weight_fc.0.weight") ? "wti" : "mean"
        } on ${towerBeside(source) ?? "another tower"}`;
    },
  },
  cases: [{
    system: "side4video-retrieval",
    sizes: (config, label) => sizes(retrievalCaseRecipe(config, label)),
    groups: ({ optimizer: { coef_lr, weight_decay } }) =>
      retrievalGroups({ coefficient: coef_lr, weightDecay: weight_decay }),
    recipe: retrievalCaseRecipe,
    toRecorded: retrievalToRecorded,
  }],
};
