/**
 * Side4Video on a CLIP tower (Yao et al. 2023, arXiv 2311.15769; spec side4video §2, §3): one side block beside every
 * backbone block, on a state of patch tokens that starts from a 3-D convolution of the pixels.
 */

import type { Graph, Tensor } from "../gpu/graph.ts";
import { batchNorm } from "../gpu/ops/mod.ts";
import {
  declareSideBlock,
  declareStem,
  sideBlock,
  type SideBlockWeights,
  stemConv,
  type StemWeights,
} from "./_blocks.ts";
import { type ClipSideConfig, ClipSideNetwork, type Pass } from "./_clip_side_network.ts";
import { CLIP_UNUSED } from "./clip/vit.ts";
import { Weights } from "./params.ts";
import type { Mode, ModelOptions, TapSource, VideoModel, VideoOutput } from "./video_model.ts";

/** Sizes of a Side4Video classifier. */
export type Side4VideoConfig = ClipSideConfig;

/** A Side4Video model: its weights, and how to record its forward pass. */
export class Side4Video implements VideoModel {
  readonly weights: Weights;
  readonly config: Side4VideoConfig;
  readonly unusedInBackbone = CLIP_UNUSED;
  readonly taps: TapSource;
  readonly #network: ClipSideNetwork<StemWeights, SideBlockWeights>;

  constructor(config: Side4VideoConfig, options: ModelOptions = {}) {
    const { backboneDtype: dtype = "f32", taps = "tower" } = options;
    const { sideDim, backbone: { patchSize } } = config;
    this.config = config;
    this.taps = taps;
    this.weights = new Weights({ frozenDtype: dtype });
    this.#network = new ClipSideNetwork(this.weights, config, {
      dtype,
      taps,
      declareStem: (weights) =>
        declareStem(weights, {
          side: sideDim,
          patchSize,
          conv: "visual.side_conv1",
          norm: "visual.side_pre_bn3d",
        }),
      declareBlock: (weights, prefix) => declareSideBlock(weights, prefix, sideDim),
      stem: (g, frames, w, pass) => this.#stem(g, frames, w, pass),
      block: (g, s, { token, position }, w, { mode }) => sideBlock(g, s, token, position, w, { mode }),
    });
  }

  /** Records the forward pass of frames [B*T 3 H W], normalised, clip-major. */
  forward(g: Graph, frames: Tensor, options: { mode: Mode; taps?: readonly Tensor[] }): VideoOutput {
    return this.#network.forward(g, frames, options);
  }

  /** Blocks of the tower that the side network reads: all. */
  get tapped(): readonly number[] {
    return this.#network.tapped;
  }

  /** Records the tower alone: its taps, [B*T N C] each. */
  recordTaps(g: Graph, pictures: Tensor): Tensor[] {
    return this.#network.recordTaps(g, pictures);
  }

  #stem(g: Graph, frames: Tensor, w: StemWeights, { mode, keep }: Pass): Tensor {
    const { frames: T, backbone: { patchSize } } = this.config;
    const x = keep("side_conv1", stemConv(g, frames, w.conv, { T, patchSize, padding: 0 })); // [B T P D]
    return keep("side_pre_bn3d", batchNorm(g, x, w.norm, { mode })); // [B T P D]
  }
}
