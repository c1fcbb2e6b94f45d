/** CLIP's image tower (spec side4video §1.1): one method a block, so that a side network can run between them. */

import type { Dtype, Graph, Tensor } from "../../gpu/graph.ts";
import { layerNorm, linear, matmul, prependToken, reshape, unfold } from "../../gpu/ops/mod.ts";
import { normal, type Weights } from "../params.ts";
import { type FrozenTower, type ImageHead, type Keep, patchesOf, type TowerSizes } from "../tower.ts";
import {
  type Activation,
  block,
  type BlockWeights,
  declareBlock,
  frozenNorm,
  type NormWeights,
  towerBlock,
} from "./transformer.ts";

/** Sizes of a CLIP image tower, and what its blocks' MLPs compute. */
export interface ClipSizes extends TowerSizes {
  /** QuickGELU when absent, as in OpenAI's towers. */
  activation?: Activation;
}

/** An image tower: frozen, unless its weights are declared within `Weights.unfrozen`. */
export class FrozenVit implements FrozenTower {
  readonly config: ClipSizes;
  readonly #dtype: Dtype;
  readonly #conv: Tensor;
  readonly #cls: Tensor;
  readonly #positions: Tensor;
  readonly #lnPre: NormWeights;
  readonly #blocks: BlockWeights[];

  /** Declares the tower's weights. @param options.dtype Storage type of activations. */
  constructor(weights: Weights, config: ClipSizes, options: { dtype: Dtype }) {
    const { width, layers, patchSize, heads } = config;
    if (width % heads !== 0) {
      throw new RangeError(
        `Cannot build a ViT: width must be a multiple of heads, current values are ${width} and ${heads}`,
      );
    }
    this.config = config;
    this.#dtype = options.dtype;
    const deviation = width ** -0.5;
    this.#conv = weights.frozen(
      "visual.conv1.weight",
      [width, 3, patchSize, patchSize],
      normal((3 * patchSize ** 2) ** -0.5),
    );
    this.#cls = weights.frozen("visual.class_embedding", [width], normal(deviation));
    this.#positions = weights.frozen(
      "visual.positional_embedding",
      [patchesOf(config) + 1, width],
      normal(deviation),
      { dtype: "f32" },
    );
    this.#lnPre = frozenNorm(weights, "visual.ln_pre", width);
    this.#blocks = Array.from(
      { length: layers },
      (_, i) =>
        weights.inBlock(
          i,
          () => declareBlock(weights, `visual.transformer.resblocks.${i}`, { width, layers }),
        ),
    );
  }

  /** frames [F 3 H W], normalised, to the tokens that enter block 0: [F N C]. */
  embed(g: Graph, frames: Tensor): Tensor {
    const { patchSize: p, width } = this.config;
    return g.scope("backbone/embed", () => {
      const columns = unfold(g, frames, {
        frames: 1,
        kernel: [1, p, p],
        stride: [1, p, p],
        padding: [0, 0, 0],
        dtype: this.#dtype,
      }); // [F*P 3pp]
      const x = linear(g, columns, reshape(g, this.#conv, [width, 3 * p * p]), { dtype: this.#dtype }); // [F*P C]
      const patches = reshape(g, x, [frames.shape[0], -1, width]); // [F P C]
      const tokens = prependToken(g, patches, {
        cls: this.#cls,
        position: this.#positions,
        dtype: this.#dtype,
      }); // [F N C]
      return layerNorm(g, tokens, { ...this.#lnPre, dtype: this.#dtype }); // [F N C]
    });
  }

  *outputs(g: Graph, frames: Tensor, keep: Keep = (_, tensor) => tensor): Generator<Tensor, void> {
    let z = keep("ln_pre", this.embed(g, frames)); // [F N C]
    for (let i = 0; i < this.config.layers; i++) yield z = keep(`backbone.${i}`, this.block(g, i, z)); // [F N C]
  }

  /** Block `i`: [F N C] to [F N C]. The result is the tap a side network reads. */
  block(g: Graph, i: number, z: Tensor): Tensor {
    const { heads, activation } = this.config;
    return towerBlock(
      g,
      `backbone/block.${i}`,
      this.#conv.needsGradient,
      () => block(g, z, this.#blocks[i], { heads, activation, dtype: this.#dtype }),
    );
  }
}

/** What turns the class token behind the last block into CLIP's image embedding; classifiers do without. */
export class ClipImageHead implements ImageHead {
  readonly #lnPost: NormWeights;
  readonly #proj: Tensor;

  constructor(weights: Weights, config: TowerSizes & { embedDim: number }) {
    this.#lnPost = frozenNorm(weights, "visual.ln_post", config.width);
    this.#proj = weights.frozen("visual.proj", [config.width, config.embedDim], normal(config.width ** -0.5));
  }

  apply(g: Graph, token: Tensor): { normed: Tensor; embedding: Tensor } {
    const normed = layerNorm(g, token, this.#lnPost); // [F C]
    return { normed, embedding: matmul(g, normed, this.#proj) };
  }
}
