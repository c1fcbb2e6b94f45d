/**
 * A plain CLIP (Radford et al. 2021, arXiv 2103.00020) as a network of its own: both towers trained by contrast, or frozen for what
 * they can do without training. Of a clip every frame is embedded; sentences are compared with the mean of its frames.
 */

import { z } from "zod";
import type { Graph, Tensor } from "../gpu/graph.ts";
import { cast, clampMaxInPlace, reshape, splitTokens } from "../gpu/ops/mod.ts";
import { TextTower } from "./clip/text.ts";
import { isEva } from "./eva/tower.ts";
import { underOurNames } from "./layouts.ts";
import { type IgnoreList, Weights } from "./params.ts";
import {
  RETRIEVAL_DATA_KEYS,
  RETRIEVAL_NETWORK_KEYS,
  retrievalFrames,
  textRequirements,
  towersForRetrieval,
  type TowerSizesForRetrieval,
} from "./parts/retrieval_recipe.ts";
import { declareLogitScale, MOST_LOGIT_SCALE, TowerTextSide } from "./parts/text_side.ts";
import type { System } from "./system.ts";
import type { FrozenTower, ImageHead, ShapeSource } from "./tower.ts";
import { declareTower, explainBackbone, towerOf, TOWERS, towerSizes } from "./towers.ts";
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
export interface ClipModelSizes extends TowerSizesForRetrieval {
  /** Whether both towers are trained, or nothing is. */
  trains: boolean;
}

/** Optimiser groups: weights that are decayed, and those that are not. */
const DECAYED = "towers", UNDECAYED = "towers_undecayed";

/** Norms, biases, tables of single vectors and the scale are not decayed, as in CLIP's training. */
function groupOf(_group: string, name: string): string {
  return /bias$|(^|\.)ln_\w+\.|(^|[._])class_embedding$|positional_embedding$|^logit_scale$/.test(name)
    ? UNDECAYED
    : DECAYED;
}

/** The network: its weights, and how to record its forward pass. */
export class ClipModel implements VideoModel {
  readonly weights: Weights;
  readonly config: ClipModelSizes;
  readonly unusedInBackbone: IgnoreList;
  readonly taps: TapSource;
  /** The last block. */
  readonly tapped: readonly number[];
  readonly text: TowerTextSide;
  readonly #tower: FrozenTower;
  readonly #head: ImageHead;
  readonly #logitScale: Tensor;

  constructor(config: ClipModelSizes, options: ModelOptions = {}) {
    const { backbone, text, words, frames, tokens, trains } = config, tower = towerOf(backbone);
    const { backboneDtype = "f32", taps = "tower" } = options, dtype = trains ? "f32" : backboneDtype;
    const weights = new Weights({ frozenDtype: dtype, groupRule: groupOf });
    const declare = <R>(body: () => R) => trains ? weights.unfrozen(DECAYED, body) : body();
    this.config = config;
    this.weights = weights;
    this.taps = taps;
    this.tapped = [backbone.layers - 1];
    this.unusedInBackbone = tower.unused(backbone, "embedding");
    this.#tower = declare(() => declareTower(weights, backbone, { dtype, taps }));
    this.#head = declare(() => tower.declareHead(weights, { ...backbone, embedDim: text.embedDim }));
    this.#logitScale = declare(() => declareLogitScale(weights));
    this.text = new TowerTextSide({
      tower: new TextTower(weights, text, { trained: trains ? "all" : "none", group: DECAYED }),
      logitScale: this.#logitScale,
      tokenWeights: null,
      words,
      frames,
      tokens,
    });
  }

  forward(g: Graph, { frames, taps, batch }: ModelInputs, { mode }: { mode: Mode }): ModelOutput {
    const { activations, keep } = collectActivations(), T = this.config.frames;
    const last = [...taps ?? this.#tower.outputs(g, frames, keep)].at(-1)!; // [B*T N C]
    const embedded = g.scope("head", () => {
      const token = cast(g, splitTokens(g, last).token, "f32"); // [B*T C]
      const { embedding } = this.#head.apply(g, token); // [B*T E]
      return reshape(g, embedding, [-1, T, embedding.shape[1]]); // [B T E]
    });
    return {
      outputs: {
        frames: keep("frame_embeddings", embedded),
        ...batch?.ids && this.text.encode(g, batch, { mode, keep }),
      },
      activations,
    };
  }

  recordTaps(g: Graph, pictures: Tensor): Tensor[] {
    return [[...this.#tower.outputs(g, pictures)].at(-1)!];
  }

  afterUpdate(g: Graph): void {
    if (this.config.trains) clampMaxInPlace(g, this.#logitScale, MOST_LOGIT_SCALE);
  }
}

/** A plain CLIP. */
export const clip: System<ClipModelSizes> = {
  id: "clip",
  title: "CLIP",
  task: "retrieval",
  captions: true,
  recipe: {
    keys: {
      data: RETRIEVAL_DATA_KEYS,
      network: {
        ...RETRIEVAL_NETWORK_KEYS,
        train: z.enum(["towers", "none"]).default("towers").describe(
          "clip: what is trained; none: nothing, for what the weights can do as they are",
        ),
      },
    },
    requirements: (recipe) => [
      ...textRequirements(recipe),
      [
        recipe.network.train === "none" || !isEva(towerSizes(recipe.network)),
        "network.train",
        "be none for an EVA tower, which is not trained here",
        recipe.network.train,
      ],
    ],
    remarks: ({ network, solver }) =>
      network.train === "none" && !solver.evaluate ? ["network.train is none: no weight is trained"] : [],
    sizes: (recipe) => ({ ...towersForRetrieval(recipe), trains: recipe.network.train === "towers" }),
    groups: ({ solver: { weight_decay: weightDecay } }) => [
      { name: DECAYED, lrScale: 1, weightDecay },
      { name: UNDECAYED, lrScale: 1, weightDecay: 0 },
    ],
    frameRule: retrievalFrames,
  },
  build: (sizes, options) => new ClipModel(sizes, options),
  head: [],
  files: {
    // A file that holds CLIP's towers alone is a backbone.
    recognise: () => null,
    explain: explainBackbone,
  },
  cases: [],
};

/**
 * The sizes of a frozen CLIP from a file of one, in any layout; null where the file holds no image tower, or no text tower, or where its
 * shapes do not tell what they are.
 */
export function clipSizesIn(
  source: ShapeSource,
  options: { frames: number; words: number },
): ClipModelSizes | null {
  const laid = underOurNames(source)?.source;
  if (!laid) return null;
  for (const tower of TOWERS) {
    const backbone = tower.wholeIn(laid), text = tower.textIn(laid);
    if (!backbone || !text) continue;
    const { frames } = options, words = Math.min(options.words, text.context);
    return { backbone, text: tower.text(backbone, text), frames, words, tokens: null, trains: false };
  }
  return null;
}
