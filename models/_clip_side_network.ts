/**
 * What Side4Video and TDS-CLIP have in common beyond blocks (spec side4video §2, tds-clip §3): a frozen CLIP tower, one side
 * block beside each of its blocks on a state of patch tokens, a last batch norm, the mean over frames and patches, and the
 * classifier. How the first state is made and what a block does, each network says itself.
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
  fuseTap,
  type LinearWeights,
  type Mode,
  sideHeads,
} from "./_blocks.ts";
import { FrozenVit, patchesOf, type VitConfig } from "./clip/vit.ts";
import { normal, type Weights } from "./params.ts";
import type { TapSource, VideoOutput } from "./video_model.ts";

/** Sizes of a classifier beside a CLIP tower. */
export interface ClipSideConfig {
  backbone: VitConfig;
  /** T, frames of a clip. It shapes no weight. */
  frames: number;
  /** D, a multiple of 64 in the published models: heads are D // 64. */
  sideDim: number;
  /** K. */
  classes: number;
}

/** One forward pass, as stem and blocks see it. */
export interface Pass {
  mode: Mode;
  /** Gives an activation a name, for parity checks. */
  keep: (name: string, tensor: Tensor) => Tensor;
}

/** What is particular to a network. */
export interface SideParts<Stem, Block> {
  declareStem: (weights: Weights) => Stem;
  declareBlock: (weights: Weights, prefix: string) => Block;
  /** The pictures that the tower reads, [B*T 3 H W], among those of the input; all of them by default. */
  towerPictures?: (g: Graph, input: Tensor) => Tensor;
  /** Input to the first state [B T P D]. */
  stem: (g: Graph, input: Tensor, w: Stem, pass: Pass) => Tensor;
  /** Side block `k` on the state, fused with the patches of its tap. s: [B T P D]. */
  block: (
    g: Graph,
    s: Tensor,
    from: { token: Tensor; position: Tensor },
    w: Block,
    pass: Pass & { k: number },
  ) => Tensor;
}

/** A classifier of clips: the tower, the side network and the weights of both. */
export class ClipSideNetwork<Stem, Block> {
  /** Every block of the tower. */
  readonly tapped: readonly number[];
  readonly #parts: SideParts<Stem, Block>;
  readonly #vit: FrozenVit;
  readonly #stem: Stem;
  readonly #position: Tensor;
  readonly #bridges: BridgeWeights[];
  readonly #blocks: Block[];
  readonly #postNorm: BatchNormWeights;
  readonly #fc: LinearWeights;

  /**
   * Declares all weights.
   *
   * @param options.dtype Storage type of backbone activations; sums are always f32.
   * @param options.taps Where the taps come from.
   */
  constructor(
    weights: Weights,
    config: ClipSideConfig,
    options: SideParts<Stem, Block> & { dtype: Dtype; taps: TapSource },
  ) {
    const { dtype, taps, ...parts } = options;
    const { backbone, sideDim: D, classes } = config;
    const { layers, width } = backbone;
    sideHeads(D); // refuses a width that does not divide
    this.#parts = parts;
    const tower = () => new FrozenVit(weights, backbone, { dtype });
    this.#vit = taps === "tower" ? tower() : weights.leaveOut(tower);
    this.#stem = parts.declareStem(weights);
    this.#position = weights.trained("visual.transformer.side_spatial_position_embeddings", [
      patchesOf(backbone),
      D,
    ], normal(0.01));
    const each = <R>(make: (k: number) => R) => Array.from({ length: layers }, (_, k) => make(k));
    this.tapped = each((k) => k);
    this.#bridges = each((k) => ({
      norm: declareLayerNorm(weights, `visual.transformer.side_lns.${k}`, width),
      linear: declareLinear(weights, `visual.transformer.side_linears.${k}`, [D, width]),
    }));
    this.#blocks = each((k) => parts.declareBlock(weights, `visual.transformer.side_transformer.${k}`));
    this.#postNorm = declareBatchNorm(weights, "visual.side_post_bn", D);
    this.#fc = weights.inGroup("head", () => declareLinear(weights, "fc", [classes, D]));
  }

  /** The tower's outputs block by block, each recorded when it is asked for: tower and side network take turns. */
  *#tower(g: Graph, input: Tensor, keep: Pass["keep"]): Generator<Tensor, void> {
    const pictures = this.#parts.towerPictures?.(g, input) ?? input; // [B*T 3 H W]
    let z = keep("ln_pre", this.#vit.embed(g, pictures)); // [B*T N C]
    for (const k of this.tapped) yield z = keep(`backbone.${k}`, this.#vit.block(g, k, z)); // [B*T N C]
  }

  /** Records the tower alone. */
  recordTaps(g: Graph, input: Tensor): Tensor[] {
    return [...this.#tower(g, input, (_, tensor) => tensor)];
  }

  /** Records the forward pass of normalised pictures, clip-major. @param options.taps The tower's outputs, where they are known. */
  forward(g: Graph, input: Tensor, options: { mode: Mode; taps?: readonly Tensor[] }): VideoOutput {
    const { mode } = options, parts = this.#parts;
    const activations = new Map<string, Tensor>();
    const keep = (name: string, tensor: Tensor) => {
      activations.set(name, tensor);
      return tensor;
    };
    const pass = { mode, keep };
    let s = g.scope("side/stem", () => parts.stem(g, input, this.#stem, pass)); // [B T P D]
    let k = 0;
    for (const z of options.taps ?? this.#tower(g, input, keep)) {
      s = g.scope(`side/layer.${k}`, () =>
        g.region(`side.${k}`, () => {
          const { whole, token, patches } = bridge(g, z, this.#bridges[k]);
          keep(`bridge.${k}`, whole);
          const from = { token, position: this.#position };
          return parts.block(g, fuseTap(g, s, patches), from, this.#blocks[k], { ...pass, k });
        })); // [B T P D]
      keep(`side.${k}`, s);
      k++;
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
