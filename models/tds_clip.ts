/**
 * TDS-CLIP (Wang et al. 2024, arXiv 2408.10688; spec tds-clip §2, §3): Side4Video's side network with an eye for motion.
 * Every frame comes with two neighbours on either side. The SME-Adapter adds a second stem on the differences within such a
 * window to the first state; the TD-Adapter gates what the temporal convolution of every block adds by how far its reduced
 * features lie below their maximum over three frames.
 */

import { z } from "zod";
import type { Graph, Tensor } from "../gpu/graph.ts";
import {
  add,
  batchNorm,
  channelDifference,
  linear,
  reshape,
  sigmoidGate,
  slice,
  temporalDeficit,
} from "../gpu/ops/mod.ts";
import {
  type AttentionContext,
  bridge,
  type BridgeWeights,
  declareBridge,
  declareSideBlock,
  fuseTap,
  sideAttention,
  type SideBlockWeights,
  sideHeads,
  sideLayer,
  sideMlp,
  temporalConvolution,
} from "./parts/blocks.ts";
import { caseGroups, caseSizes, caseTower, tokenFirst } from "./parts/cases.ts";
import {
  classifyClips,
  type ClipClassifierSizes,
  type ClipClassifierWeights,
  declareClipClassifier,
} from "./parts/clip_classifier.ts";
import { type BatchNormWeights, declareBatchNorm } from "./parts/declare.ts";
import {
  CLASSIFIER_NAMES,
  explainClassifier,
  holdsForRecognition,
  sideDimIn,
  towerBeside,
} from "./parts/files.ts";
import { sideGroups, sideHeadsRequirement, sideSizes, singleClipRemarks } from "./parts/recipe_parts.ts";
import { declareStem, stemConv, type StemWeights } from "./parts/stem.ts";
import { isEva } from "./eva/tower.ts";
import { type IgnoreList, normal, uniform, Weights } from "./params.ts";
import type { RecipePart, System } from "./system.ts";
import { type FrozenTower, type Keep, patchesOf } from "./tower.ts";
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

/** Pictures of a window: a frame, and two neighbours on either side. The published network is made for five alone. */
export const TDS_WINDOW = 5;
/** Channels of a picture. */
const RGB = 3;
/** Padding of both stems in space: their patches lie one pixel above and to the left of the backbone's, as published. */
const STEM_PADDING = 1;
/** D over the gate's reduced width. */
const GATE_REDUCTION = 16;
/** Weight of the difference stem in the released code; an earlier build of the authors used 1. */
export const DEFAULT_SME_SCALE = 0.5;

/** Sizes of a TDS-CLIP classifier. */
export interface TdsClipConfig extends ClipClassifierSizes {
  /** Weight of the frame-difference stem. No checkpoint of the originals tells it. */
  smeScale: number;
}

/** The gate after a temporal convolution: reduce, compare over time, expand. Neither convolution has a bias. */
interface GateWeights {
  reduce: Tensor;
  bn1: BatchNormWeights;
  expand: Tensor;
  bn2: BatchNormWeights;
}

type GatedBlockWeights = SideBlockWeights & { gate: GateWeights };

/** A TDS-CLIP model: its weights, and how to record its forward pass. */
export class TdsClip implements VideoModel {
  readonly weights: Weights;
  readonly config: TdsClipConfig;
  readonly window = TDS_WINDOW;
  readonly unusedInBackbone: IgnoreList;
  readonly taps: TapSource;
  /** Every block of the tower. */
  readonly tapped: readonly number[];
  readonly #tower: FrozenTower;
  readonly #stem: StemWeights;
  readonly #differenceStem: StemWeights;
  readonly #position: Tensor;
  readonly #bridges: BridgeWeights[];
  readonly #blocks: GatedBlockWeights[];
  readonly #classifier: ClipClassifierWeights;

  constructor(config: TdsClipConfig, options: ModelOptions = {}) {
    const { backboneDtype: dtype = "f32", taps = "tower" } = options;
    const { backbone, sideDim } = config, { width, patchSize } = backbone;
    if (sideDim % GATE_REDUCTION !== 0) {
      throw new RangeError(
        `Cannot build TDS-CLIP: side_dim must be a multiple of ${GATE_REDUCTION}, current value is ${sideDim}`,
      );
    }
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
    this.#differenceStem = declareStem(weights, {
      sideDim,
      patchSize,
      channels: RGB * (TDS_WINDOW - 1),
      conv: "visual.side_conv1_c5",
      norm: "visual.side_pre_bn3d_c5",
    });
    this.#position = weights.trained(
      "visual.transformer.side_spatial_position_embeddings",
      [patchesOf(backbone), sideDim],
      normal(0.01),
    );
    this.#bridges = this.tapped.map((k) => declareBridge(weights, k, { width, sideDim }));
    this.#blocks = this.tapped.map((k) =>
      declareGatedBlock(weights, `visual.transformer.side_transformer.${k}`, sideDim)
    );
    this.#classifier = declareClipClassifier(weights, config, { norm: "visual.side_post_bn" });
  }

  /** Records the forward pass of windows of pictures [B*T*5 3 H W], normalised, clip-major. */
  forward(g: Graph, { frames: pictures, taps }: ModelInputs, { mode }: { mode: Mode }): ModelOutput {
    const position = this.#position;
    const { activations, keep } = collectActivations();
    let s = g.scope("side/stem", () => this.#stems(g, pictures, { mode, keep })); // [B T P D]
    let k = 0;
    for (const tap of taps ?? this.#tower.outputs(g, centrePictures(g, pictures), keep)) {
      s = sideLayer(g, k, () => {
        const { whole, token, patches } = bridge(g, tap, this.#bridges[k]);
        keep(`bridge.${k}`, whole); // [B*T N D]
        return gatedBlock(g, fuseTap(g, s, patches), this.#blocks[k], {
          token,
          position,
          mode,
          keep: (gated) => keep(`side.${k}.motion_gate`, gated),
        });
      }); // [B T P D]
      keep(`side.${k++}`, s);
    }
    return { outputs: classifyClips(g, s, this.#classifier, { mode, keep }), activations };
  }

  recordTaps(g: Graph, pictures: Tensor): Tensor[] {
    return [...this.#tower.outputs(g, centrePictures(g, pictures))];
  }

  /** Both stems: what a frame looks like, and a share of how the pictures around it differ. */
  #stems(g: Graph, pictures: Tensor, { mode, keep }: { mode: Mode; keep: Keep }): Tensor {
    const { frames: T, smeScale, backbone: { patchSize } } = this.config;
    const geometry = { T, patchSize, padding: STEM_PADDING, window: TDS_WINDOW };
    const x = keep(
      "side_conv1",
      stemConv(g, pictures, this.#stem.conv, { ...geometry, prepare: (part) => centrePictures(g, part) }),
    ); // [B T P D]
    const d = stemConv(g, pictures, this.#differenceStem.conv, {
      ...geometry,
      prepare: (part) => channelDifference(g, packWindows(g, part), { lag: RGB }), // [b*T 12 H W]
    }); // [B T P D]
    const s = keep("side_pre_bn3d", batchNorm(g, x, this.#stem.norm, { mode })); // [B T P D]
    const motion = keep("side_pre_bn3d_c5", batchNorm(g, d, this.#differenceStem.norm, { mode })); // [B T P D]
    return add(g, s, motion, { beta: smeScale }); // [B T P D]
  }
}

/** Pictures [F*5 3 H W] as [F 15 H W]: channel 3j + c is colour c of the picture at offset j − 2. */
function packWindows(g: Graph, pictures: Tensor): Tensor {
  const [, , H, W] = pictures.shape;
  return reshape(g, pictures, [-1, TDS_WINDOW * RGB, H, W]);
}

/** The sampled frames themselves, [F 3 H W], of windows [F*5 3 H W]. */
function centrePictures(g: Graph, pictures: Tensor): Tensor {
  const start = RGB * Math.floor(TDS_WINDOW / 2);
  return slice(g, packWindows(g, pictures), { axis: 1, start, length: RGB });
}

/** A side block with a gate behind its temporal convolution. */
function declareGatedBlock(weights: Weights, prefix: string, D: number): GatedBlockWeights {
  return { ...declareSideBlock(weights, prefix, D), gate: declareGate(weights, `${prefix}.mse`, D) };
}

function declareGate(weights: Weights, prefix: string, D: number): GateWeights {
  const r = D / GATE_REDUCTION;
  return {
    reduce: weights.trained(`${prefix}.conv1.weight`, [r, D, 1, 1], uniform(D ** -0.5)),
    bn1: declareBatchNorm(weights, `${prefix}.bn1`, r),
    expand: weights.trained(`${prefix}.conv2.weight`, [D, r, 1, 1], uniform(r ** -0.5)),
    bn2: declareBatchNorm(weights, `${prefix}.bn2`, D),
  };
}

/** A pre-norm side block whose temporal convolution adds what its gate lets through. s: [B T P D]. */
function gatedBlock(
  g: Graph,
  s: Tensor,
  w: GatedBlockWeights,
  options: AttentionContext & { mode: Mode; keep: (gated: Tensor) => void },
): Tensor {
  const { mode, keep } = options;
  const v = temporalConvolution(g, batchNorm(g, s, w.bn1, { mode }), w); // [B T P D]
  s = motionGate(g, { v, s }, w.gate, { mode, keep }); // [B T P D]
  s = sideAttention(g, s, w, options); // [B T P D]
  return sideMlp(g, s, w, { mode }); // [B T P D]
}

/**
 * s + v · (½ + sigmoid of what the deficit of v's reduced features says). v, s: [B T P D].
 *
 * @param options.keep Is told the gated v alone, for parity checks: unless it is kept, the plan drops it.
 */
function motionGate(
  g: Graph,
  { v, s }: { v: Tensor; s: Tensor },
  w: GateWeights,
  options: { mode: Mode; keep: (gated: Tensor) => void },
): Tensor {
  const { mode, keep } = options;
  const e = batchNorm(g, linear(g, v, w.reduce), w.bn1, { mode }); // [B T P r]
  const y = temporalDeficit(g, e); // [B T P r]
  const logit = batchNorm(g, linear(g, y, w.expand), w.bn2, { mode }); // [B T P D]
  keep(sigmoidGate(g, v, logit)); // [B T P D]
  return sigmoidGate(g, v, logit, { residual: s }); // [B T P D]
}

const recipe: RecipePart<TdsClipConfig> = {
  keys: {
    data: {
      num_diff: z.number().int().positive().max(1024).nullable().default(null).describe(
        "tds-clip: pictures read for every frame, its neighbours and itself; 5, as published",
      ),
      window_edge: z.enum(["clamp", "wrap"]).default("clamp").describe(
        "tds-clip: neighbours before the first frame; clamp: that frame again; wrap: from the end, as published for videos",
      ),
    },
    network: {
      sme_scale: z.number().default(DEFAULT_SME_SCALE).describe(
        "tds-clip: weight of the frame-difference stem; 1 in an early build of the published code",
      ),
    },
  },
  // The published files carry no name of a network; the window tells them.
  claims: (data) => data.num_diff != null,
  settle: ({ data }) => ({ data: { num_diff: data.num_diff ?? TDS_WINDOW } }),
  requirements: (recipe) => {
    const { data, network } = recipe;
    return [
      sideHeadsRequirement(recipe),
      [
        data.num_diff === TDS_WINDOW,
        "data.num_diff",
        `be ${TDS_WINDOW} when system is tds-clip: the published network is made for no other window`,
        data.num_diff,
      ],
      [
        network.side_dim % GATE_REDUCTION === 0,
        "network.side_dim",
        `be a multiple of ${GATE_REDUCTION} when system is tds-clip`,
        network.side_dim,
      ],
      [!isEva(towerSizes(network)), "network.arch", "be a CLIP tower when system is tds-clip", network.arch],
    ];
  },
  foreignRequirements: ({ data }, system) => [
    [data.num_diff === null, "data.num_diff", `be null when system is ${system}`, data.num_diff],
  ],
  remarks: singleClipRemarks,
  sizes: (recipe) => ({ ...sideSizes(recipe), smeScale: recipe.network.sme_scale as number }),
  groups: sideGroups,
  pictureWindow: ({ data }) => ({
    size: data.num_diff as number,
    edge: data.window_edge as "clamp" | "wrap",
  }),
};

/** TDS-CLIP. */
export const tdsClip: System<TdsClipConfig> = {
  id: "tds-clip",
  title: "TDS-CLIP",
  task: "classification",
  recipe,
  build: (sizes, options) => new TdsClip(sizes, options),
  head: CLASSIFIER_NAMES,
  files: {
    recognise(source) {
      const sideDim = sideDimIn(source);
      const gated = [...source.names()].some((name) => name.endsWith(".mse.conv1.weight"));
      return sideDim === null || !gated
        ? null
        : { title: "TDS-CLIP", backbone: towerBeside(source), sideDim };
    },
    holdsOfBackbone: holdsForRecognition,
    explain: explainClassifier,
  },
  cases: [{
    system: "tds-clip",
    sizes: (config) => ({
      ...caseSizes(config, caseTower(config)),
      smeScale: config.model.sme_scale ?? DEFAULT_SME_SCALE,
    }),
    groups: caseGroups,
    toRecorded: tokenFirst,
  }],
};
