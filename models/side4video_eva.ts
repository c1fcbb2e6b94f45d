/**
 * Side4Video on an EVA-CLIP tower (Yao et al. 2023, arXiv 2311.15769; spec side4video §1.3, §2, §3): post-norm side blocks
 * beside every second backbone block, on a state of patch tokens that starts from a 3-D convolution of the pixels.
 */

import type { Graph, Tensor } from "../gpu/graph.ts";
import { batchNorm, linear, meanTokens, reshape } from "../gpu/ops/mod.ts";
import {
  type BridgeWeights,
  declareLayerNorm,
  declareLinear,
  declareStem,
  fuseTap,
  type LinearWeights,
  sideHeads,
  stemConv,
  type StemWeights,
} from "./_blocks.ts";
import {
  declarePostNormBlock,
  postNormBlock,
  type PostNormBlockWeights,
  postNormBridge,
} from "./_post_norm_blocks.ts";
import { patchesOf } from "./clip/vit.ts";
import { type EvaConfig, evaUnused, FrozenEva } from "./eva/vit.ts";
import { type IgnoreList, normal, Weights } from "./params.ts";
import type { Mode, ModelOptions, TapSource, VideoModel, VideoOutput } from "./video_model.ts";

/** Sizes of a Side4Video classifier on an EVA tower. */
export interface Side4VideoEvaConfig {
  backbone: EvaConfig;
  /** T, frames of a clip. It shapes no weight. */
  frames: number;
  /** D, a multiple of 64 in the published models: heads are D // 64. */
  sideDim: number;
  /** K. */
  classes: number;
}

/** A Side4Video model on an EVA tower: its weights, and how to record its forward pass. */
export class Side4VideoEva implements VideoModel {
  readonly weights: Weights;
  readonly config: Side4VideoEvaConfig;
  readonly unusedInBackbone: IgnoreList;
  readonly taps: TapSource;
  /** The odd blocks. */
  readonly tapped: readonly number[];
  readonly #tower: FrozenEva;
  readonly #stem: StemWeights;
  readonly #position: Tensor;
  readonly #bridges: BridgeWeights[];
  readonly #blocks: PostNormBlockWeights[];
  readonly #fc: LinearWeights;

  constructor(config: Side4VideoEvaConfig, options: ModelOptions = {}) {
    const { backboneDtype: dtype = "f32", taps = "tower" } = options;
    const { backbone, sideDim: D, classes } = config;
    const { layers, width, patchSize } = backbone;
    sideHeads(D); // refuses a width that does not divide
    this.config = config;
    this.taps = taps;
    this.unusedInBackbone = evaUnused(backbone);
    const weights = this.weights = new Weights({ frozenDtype: dtype });
    const tower = () => new FrozenEva(weights, backbone, { dtype });
    this.#tower = taps === "tower" ? tower() : weights.leaveOut(tower);
    this.#stem = declareStem(weights, {
      side: D,
      patchSize,
      conv: "visual.side_conv1",
      norm: "visual.side_pre_bn3d",
    });
    this.#position = weights.trained(
      "visual.side_spatial_position_embeddings",
      [patchesOf(backbone), D],
      normal(0.02),
    );
    const each = <R>(make: (k: number) => R) =>
      Array.from({ length: Math.floor(layers / 2) }, (_, k) => make(k));
    this.tapped = each((k) => 2 * k + 1);
    this.#bridges = each((k) => ({
      linear: declareLinear(weights, `visual.side_linears.${k}`, [D, width]),
      norm: declareLayerNorm(weights, `visual.side_lns.${k}`, D),
    }));
    this.#blocks = each((k) => declarePostNormBlock(weights, `visual.side_blocks.${k}`, D));
    this.#fc = weights.inGroup("head", () => declareLinear(weights, "fc", [classes, D]));
  }

  /** The tapped blocks' outputs, each recorded when it is asked for: tower and side network take turns. */
  *#recordTower(
    g: Graph,
    frames: Tensor,
    keep: (name: string, tensor: Tensor) => Tensor,
  ): Generator<Tensor, void> {
    let z = this.#tower.embed(g, frames); // [B*T N C]
    for (let i = 0; i < this.config.backbone.layers; i++) {
      z = this.#tower.block(g, i, z); // [B*T N C]
      keep(`backbone.${i}`, z.exact);
      if (i % 2 === 1) yield z.stored; // [B*T N C]
    }
  }

  /** Records the tower alone: its taps, [B*T N C] each. What comes behind the last is not read, so no plan runs it. */
  recordTaps(g: Graph, pictures: Tensor): Tensor[] {
    return [...this.#recordTower(g, pictures, (_, tensor) => tensor)];
  }

  /** Records the forward pass of frames [B*T 3 H W], normalised, clip-major. */
  forward(g: Graph, frames: Tensor, options: { mode: Mode; taps?: readonly Tensor[] }): VideoOutput {
    const { frames: T, backbone } = this.config;
    const activations = new Map<string, Tensor>();
    const keep = (name: string, tensor: Tensor) => {
      activations.set(name, tensor);
      return tensor;
    };
    let s = g.scope("side/stem", () => {
      const conv = { T, patchSize: backbone.patchSize, padding: 0 };
      const x = keep("side_conv1", stemConv(g, frames, this.#stem.conv, conv)); // [B T P D]
      return keep("side_pre_bn3d", batchNorm(g, x, this.#stem.norm, options)); // [B T P D]
    });
    let k = 0;
    for (const tap of options.taps ?? this.#recordTower(g, frames, keep)) {
      s = this.#sideLayer(g, s, tap, { k: k++, keep, mode: options.mode }); // [B T P D]
    }
    return g.scope("head", () => {
      const [B, , , D] = s.shape;
      const embedding = keep("video_embedding", meanTokens(g, reshape(g, s, [B, -1, D]))); // [B D]
      return {
        logits: linear(g, embedding, this.#fc.weight, { bias: this.#fc.bias }),
        embedding,
        activations,
      };
    });
  }

  /** Side layer `k` on a tap [B*T N C]: projection, fusion, side block. s: [B T P D]. */
  #sideLayer(
    g: Graph,
    s: Tensor,
    tap: Tensor,
    options: { k: number; mode: Mode; keep: (name: string, tensor: Tensor) => Tensor },
  ): Tensor {
    const { k, mode, keep } = options;
    const out = g.scope(`side/layer.${k}`, () =>
      g.region(`side.${k}`, () => {
        const { whole, token, patches } = postNormBridge(g, tap, this.#bridges[k]);
        keep(`bridge.${k}`, whole);
        const from = { token, position: this.#position };
        return postNormBlock(g, fuseTap(g, s, patches), from, this.#blocks[k], { mode });
      }));
    return keep(`side.${k}`, out);
  }
}
