/**
 * Side4Video on a CLIP tower (Yao et al. 2023, arXiv 2311.15769; spec side4video §2, §3): one side block beside every
 * backbone block, on a state of patch tokens that starts from a 3-D convolution of the pixels.
 */

import type { Dtype, Graph, Tensor } from "../gpu/graph.ts";
import { batchNorm, linear, meanTokens, reshape } from "../gpu/ops/mod.ts";
import {
  type BatchNormWeights,
  bridge,
  type BridgeWeights,
  declareBatchNorm,
  declareLayerNorm,
  declareLinear,
  declareSideBlock,
  declareStem,
  fuseTap,
  type LinearWeights,
  sideBlock,
  type SideBlockWeights,
  sideHeads,
  stemConv,
  type StemWeights,
} from "./_blocks.ts";
import { CLIP_UNUSED, FrozenVit, patchesOf, type VitConfig } from "./clip/vit.ts";
import { normal, Weights } from "./params.ts";
import type { Mode, VideoModel, VideoOutput } from "./video_model.ts";

/** Sizes of a Side4Video classifier. */
export interface Side4VideoConfig {
  backbone: VitConfig;
  /** T, frames of a clip. It shapes no weight. */
  frames: number;
  /** D, a multiple of 64 in the published models: heads are D // 64. */
  sideDim: number;
  /** K. */
  classes: number;
}

/** A Side4Video model: its weights, and how to record its forward pass. */
export class Side4Video implements VideoModel {
  readonly weights: Weights;
  readonly config: Side4VideoConfig;
  readonly unusedInBackbone = CLIP_UNUSED;
  readonly #vit: FrozenVit;
  readonly #stem: StemWeights;
  readonly #position: Tensor;
  readonly #bridges: BridgeWeights[];
  readonly #blocks: SideBlockWeights[];
  readonly #postNorm: BatchNormWeights;
  readonly #fc: LinearWeights;

  /** @param options.backboneDtype Storage type of frozen matrices and backbone activations; sums are always f32. */
  constructor(config: Side4VideoConfig, options: { backboneDtype?: Dtype } = {}) {
    const dtype = options.backboneDtype ?? "f32";
    const { backbone, sideDim: D, classes } = config;
    const { layers, width, patchSize } = backbone;
    sideHeads(D); // refuses a width that does not divide
    this.config = config;
    const weights = this.weights = new Weights({ frozenDtype: dtype });
    this.#vit = new FrozenVit(weights, backbone, { dtype });
    this.#stem = declareStem(weights, {
      side: D,
      patchSize,
      conv: "visual.side_conv1",
      norm: "visual.side_pre_bn3d",
    });
    this.#position = weights.trained("visual.transformer.side_spatial_position_embeddings", [
      patchesOf(backbone),
      D,
    ], normal(0.01));
    const each = <R>(make: (k: number) => R) => Array.from({ length: layers }, (_, k) => make(k));
    this.#bridges = each((k) => ({
      norm: declareLayerNorm(weights, `visual.transformer.side_lns.${k}`, width),
      linear: declareLinear(weights, `visual.transformer.side_linears.${k}`, [D, width]),
    }));
    this.#blocks = each((k) => declareSideBlock(weights, `visual.transformer.side_transformer.${k}`, D));
    this.#postNorm = declareBatchNorm(weights, "visual.side_post_bn", D);
    this.#fc = weights.inGroup("head", () => declareLinear(weights, "fc", [classes, D]));
  }

  /** Records the forward pass of frames [B*T 3 H W], normalised, clip-major. */
  forward(g: Graph, frames: Tensor, options: { mode: Mode }): VideoOutput {
    const { mode } = options;
    const { frames: T, backbone } = this.config;
    const activations = new Map<string, Tensor>();
    const keep = (name: string, tensor: Tensor) => {
      activations.set(name, tensor);
      return tensor;
    };
    const x = keep(
      "side_conv1",
      g.scope(
        "side/stem",
        () => stemConv(g, frames, this.#stem.conv, { T, patchSize: backbone.patchSize, padding: 0 }),
      ),
    );
    let s = keep("side_pre_bn3d", g.scope("side/stem", () => batchNorm(g, x, this.#stem.norm, { mode }))); // [B T P D]
    let z = keep("ln_pre", this.#vit.embed(g, frames)); // [B*T N C]
    for (let k = 0; k < backbone.layers; k++) {
      z = keep(`backbone.${k}`, this.#vit.block(g, k, z)); // [B*T N C]
      s = g.scope(`side/layer.${k}`, () =>
        g.region(`side.${k}`, () => {
          const { whole, token, patches } = bridge(g, z, this.#bridges[k]);
          keep(`bridge.${k}`, whole);
          return sideBlock(g, fuseTap(g, s, patches), token, this.#position, this.#blocks[k], { mode });
        })); // [B T P D]
      keep(`side.${k}`, s);
    }
    return g.scope("head", () => {
      const y = keep("side_post_bn", batchNorm(g, s, this.#postNorm, { mode })); // [B T P D]
      const [B, , , D] = y.shape;
      const embedding = keep("video_embedding", meanTokens(g, reshape(g, y, [B, -1, D]))); // [B D]
      return {
        logits: linear(g, embedding, this.#fc.weight, { bias: this.#fc.bias }),
        embedding,
        activations,
      };
    });
  }
}
