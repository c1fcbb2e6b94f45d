/**
 * TDS-CLIP (Wang et al. 2024, arXiv 2408.10688; spec tds-clip §2, §3): Side4Video's side network with an eye for motion.
 * Every frame comes with two neighbours on either side. The SME-Adapter adds a second stem on the differences within such a
 * window to the first state; the TD-Adapter gates what the temporal convolution of every block adds by how far its reduced
 * features lie below their maximum over three frames.
 */

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
  type BatchNormWeights,
  declareBatchNorm,
  declareSideBlock,
  declareStem,
  sideBlock,
  type SideBlockWeights,
  stemConv,
  type StemWeights,
} from "./_blocks.ts";
import { type ClipSideConfig, ClipSideNetwork, type Pass } from "./_clip_side_network.ts";
import { CLIP_UNUSED } from "./clip/vit.ts";
import { uniform, Weights } from "./params.ts";
import type { Mode, ModelOptions, TapSource, VideoModel, VideoOutput } from "./video_model.ts";

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
export interface TdsClipConfig extends ClipSideConfig {
  /** Weight of the frame-difference stem. No checkpoint of the originals tells it. */
  smeScale: number;
}

/** The RGB stem and the frame-difference stem. */
interface Stems {
  rgb: StemWeights;
  differences: StemWeights;
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
  readonly unusedInBackbone = CLIP_UNUSED;
  readonly taps: TapSource;
  readonly window = TDS_WINDOW;
  readonly #network: ClipSideNetwork<Stems, GatedBlockWeights>;

  constructor(config: TdsClipConfig, options: ModelOptions = {}) {
    const { backboneDtype: dtype = "f32", taps = "tower" } = options;
    const { sideDim: D, backbone: { patchSize } } = config;
    if (D % GATE_REDUCTION !== 0) {
      throw new RangeError(
        `Cannot build TDS-CLIP: side_dim must be a multiple of ${GATE_REDUCTION}, current value is ${D}`,
      );
    }
    this.config = config;
    this.taps = taps;
    this.weights = new Weights({ frozenDtype: dtype });
    this.#network = new ClipSideNetwork(this.weights, config, {
      dtype,
      taps,
      declareStem: (weights) => declareStems(weights, { side: D, patchSize }),
      declareBlock: (weights, prefix) => ({
        ...declareSideBlock(weights, prefix, D),
        gate: declareGate(weights, `${prefix}.mse`, D),
      }),
      towerPictures: centrePictures,
      stem: (g, pictures, w, pass) => this.#stem(g, pictures, w, pass),
      block: (g, s, { token, position }, w, pass) =>
        sideBlock(g, s, token, position, w, {
          mode: pass.mode,
          gate: (v, s) => motionGate(g, v, s, w.gate, { ...pass, name: `side.${pass.k}.motion_gate` }),
        }),
    });
  }

  /** Records the forward pass of windows of pictures [B*T*5 3 H W], normalised, clip-major. */
  forward(g: Graph, pictures: Tensor, options: { mode: Mode; taps?: readonly Tensor[] }): VideoOutput {
    return this.#network.forward(g, pictures, options);
  }

  /** Blocks of the tower that the side network reads: all. */
  get tapped(): readonly number[] {
    return this.#network.tapped;
  }

  /** Records the tower alone: its taps, [B*T N C] each. */
  recordTaps(g: Graph, pictures: Tensor): Tensor[] {
    return this.#network.recordTaps(g, pictures);
  }

  /** Both stems: what a frame looks like, and a share of how the pictures around it differ. */
  #stem(g: Graph, pictures: Tensor, w: Stems, { mode, keep }: Pass): Tensor {
    const { frames: T, smeScale, backbone: { patchSize } } = this.config;
    const geometry = { T, patchSize, padding: STEM_PADDING, window: TDS_WINDOW };
    const x = keep(
      "side_conv1",
      stemConv(g, pictures, w.rgb.conv, { ...geometry, prepare: (part) => centrePictures(g, part) }),
    ); // [B T P D]
    const d = stemConv(g, pictures, w.differences.conv, {
      ...geometry,
      prepare: (part) => channelDifference(g, packWindows(g, part), { lag: RGB }), // [b*T 12 H W]
    }); // [B T P D]
    const s = keep("side_pre_bn3d", batchNorm(g, x, w.rgb.norm, { mode })); // [B T P D]
    const motion = keep("side_pre_bn3d_c5", batchNorm(g, d, w.differences.norm, { mode })); // [B T P D]
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

function declareStems(weights: Weights, sizes: { side: number; patchSize: number }): Stems {
  return {
    rgb: declareStem(weights, { ...sizes, conv: "visual.side_conv1", norm: "visual.side_pre_bn3d" }),
    differences: declareStem(weights, {
      ...sizes,
      channels: RGB * (TDS_WINDOW - 1),
      conv: "visual.side_conv1_c5",
      norm: "visual.side_pre_bn3d_c5",
    }),
  };
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

/** s + v · (½ + sigmoid of what the deficit of v's reduced features says). v, s: [B T P D]. */
function motionGate(
  g: Graph,
  v: Tensor,
  s: Tensor,
  w: GateWeights,
  { mode, keep, name }: Pass & { name: string },
): Tensor {
  const e = batchNorm(g, linear(g, v, w.reduce), w.bn1, { mode }); // [B T P r]
  const y = temporalDeficit(g, e); // [B T P r]
  const logit = batchNorm(g, linear(g, y, w.expand), w.bn2, { mode }); // [B T P D]
  keep(name, sigmoidGate(g, v, logit)); // for parity alone: unless it is kept, the plan drops it
  return sigmoidGate(g, v, logit, { residual: s }); // [B T P D]
}
