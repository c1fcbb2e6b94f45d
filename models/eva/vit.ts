/**
 * EVA-CLIP's frozen image towers (spec side4video §1.3, §1.4): one method a block, so that a side network can run between
 * them.
 */

import type { Dtype, Graph, Tensor } from "../../gpu/graph.ts";
import { layerNorm, linear, prependToken, reshape, unfold } from "../../gpu/ops/mod.ts";
import { constant, normal, type Weights } from "../params.ts";
import { frozenNorm, type NormWeights } from "../clip/transformer.ts";
import { type FrozenTower, type ImageHead, type Keep, patchesOf } from "../tower.ts";
import {
  declareEvaBlock,
  EPS,
  evaBlock,
  type EvaBlockWeights,
  type EvaConfig,
  type EvaStream,
  streamOf,
} from "./block.ts";

/** A frozen image tower. */
export class FrozenEva implements FrozenTower {
  readonly config: EvaConfig;
  readonly #dtype: Dtype;
  readonly #conv: Tensor;
  readonly #convBias: Tensor;
  readonly #cls: Tensor;
  readonly #positions: Tensor;
  readonly #blocks: EvaBlockWeights[];

  /** Declares the tower's weights. @param options.dtype Storage type of activations; the residual stream is f32. */
  constructor(weights: Weights, config: EvaConfig, options: { dtype: Dtype }) {
    const { width, layers, patchSize: p, heads } = config;
    if (width % heads !== 0) {
      throw new RangeError(
        `Cannot build an EVA tower: width must be a multiple of heads, current values are ${width} and ${heads}`,
      );
    }
    this.config = config;
    this.#dtype = options.dtype;
    this.#conv = weights.frozen("visual.patch_embed.proj.weight", [width, 3, p, p], normal(0.02));
    this.#convBias = weights.frozen("visual.patch_embed.proj.bias", [width], constant(0));
    this.#cls = weights.frozen("visual.cls_token", [1, 1, width], normal(0.02), { dtype: "f32" });
    this.#positions = weights.frozen(
      "visual.pos_embed",
      [1, patchesOf(config) + 1, width],
      normal(0.02),
      { dtype: "f32" },
    );
    this.#blocks = Array.from(
      { length: layers },
      (_, i) => weights.inBlock(i, () => declareEvaBlock(weights, i, config)),
    );
  }

  /** frames [F 3 H W], normalised, to the tokens that enter block 0. */
  embed(g: Graph, frames: Tensor): EvaStream {
    const { patchSize: p, width } = this.config;
    return g.scope("backbone/embed", () => {
      const columns = unfold(g, frames, {
        frames: 1,
        kernel: [1, p, p],
        stride: [1, p, p],
        padding: [0, 0, 0],
        dtype: this.#dtype,
      }); // [F*P 3pp]
      const x = linear(g, columns, reshape(g, this.#conv, [width, 3 * p * p]), {
        bias: this.#convBias,
        dtype: this.#dtype,
      }); // [F*P C]
      const tokens = prependToken(g, reshape(g, x, [frames.shape[0], -1, width]), {
        cls: reshape(g, this.#cls, [width]),
        position: reshape(g, this.#positions, [-1, width]),
        dtype: "f32",
      }); // [F N C]
      return streamOf(g, tokens, this.#dtype);
    });
  }

  /** Side networks read the stream in its stored form; what is kept is exact. */
  *outputs(g: Graph, frames: Tensor, keep: Keep = (_, tensor) => tensor): Generator<Tensor, void> {
    let z = this.embed(g, frames); // [F N C]
    for (let i = 0; i < this.config.layers; i++) {
      z = this.block(g, i, z); // [F N C]
      keep(`backbone.${i}`, z.exact);
      yield z.stored;
    }
  }

  /** Block `i`: the residual stream behind it. */
  block(g: Graph, i: number, z: EvaStream): EvaStream {
    return g.scope(
      `backbone/block.${i}`,
      () => evaBlock(g, z, this.#blocks[i], { config: this.config, dtype: this.#dtype }),
    );
  }
}

/** What turns the class token behind the last block into EVA-CLIP's image embedding; classifiers do without. */
export class EvaImageHead implements ImageHead {
  readonly #norm: NormWeights;
  readonly #weight: Tensor;
  readonly #bias: Tensor;

  constructor(weights: Weights, { width, embedDim }: EvaConfig & { embedDim: number }) {
    this.#norm = frozenNorm(weights, "visual.norm", width);
    this.#weight = weights.frozen("visual.head.weight", [embedDim, width], normal(0.02));
    this.#bias = weights.frozen("visual.head.bias", [embedDim], constant(0));
  }

  apply(g: Graph, token: Tensor): { normed: Tensor; embedding: Tensor } {
    const normed = layerNorm(g, token, { ...this.#norm, eps: EPS }); // [F C]
    return { normed, embedding: linear(g, normed, this.#weight, { bias: this.#bias }) };
  }
}
