/**
 * EVA-CLIP's frozen image towers (spec side4video §1.3, §1.4): one method a block, so that a side network can run between
 * them.
 */

import type { Dtype, Graph, Tensor } from "../../gpu/graph.ts";
import { linear, prependToken, reshape, unfold } from "../../gpu/ops/mod.ts";
import { patchesOf } from "../clip/vit.ts";
import { constant, type IgnoreList, normal, type Weights, type WeightSource } from "../params.ts";
import {
  declareEvaBlock,
  evaBlock,
  type EvaBlockWeights,
  type EvaConfig,
  type EvaStream,
  streamOf,
} from "./block.ts";

export type { EvaConfig, EvaStream } from "./block.ts";

const BIG_E: EvaConfig = {
  imageSize: 224,
  patchSize: 14,
  width: 1792,
  layers: 64,
  heads: 16,
  hidden: 15360,
  norm: "post",
  subNorm: false,
  mlp: "gelu",
  ropeSpan: null,
};

const LARGE: EvaConfig = {
  imageSize: 224,
  patchSize: 14,
  width: 1024,
  layers: 24,
  heads: 16,
  hidden: 2730,
  norm: "pre",
  subNorm: true,
  mlp: "swiglu",
  ropeSpan: 16,
};

/** Published towers by name. The "plus" model differs in its text tower alone. */
export const EVA_PRESETS: Readonly<Record<string, EvaConfig>> = {
  "EVA02-CLIP-bigE-14": BIG_E,
  "EVA02-CLIP-bigE-14-plus": BIG_E,
  "EVA02-CLIP-L-14": LARGE,
  "EVA02-CLIP-L-14-336": { ...LARGE, imageSize: 336 },
};

/**
 * Tensors of EVA-CLIP's files that a tower used for its taps does without: the text tower, the norm and the head behind
 * the last block, and tables of rotary positions, which follow from the sizes.
 */
export function evaUnused(config: EvaConfig): IgnoreList {
  return [
    "visual.norm.",
    "visual.head.",
    "text.",
    "logit_scale",
    ...(config.ropeSpan === null ? [] : ["visual.rope."]),
    ...Array.from(
      { length: config.ropeSpan === null ? 0 : config.layers },
      (_, i) => `visual.blocks.${i}.attn.rope.`,
    ),
  ];
}

/** What the sizes of a checkpoint's image tower say, for error messages: "the file looks like EVA02-CLIP-L-14". */
export function explainEva(source: WeightSource): string | undefined {
  const conv = source.shapeOf("visual.patch_embed.proj.weight"),
    positions = source.shapeOf("visual.pos_embed");
  if (!conv || !positions) return "the file has no EVA-CLIP image tower";
  const layers = new Set([...source.names()].map((name) => /^visual\.blocks\.(\d+)\./.exec(name)?.[1])).size -
    1;
  const imageSize = Math.round(Math.sqrt(positions[1] - 1)) * conv[2];
  const name = Object.entries(EVA_PRESETS).find(([, preset]) =>
    preset.width === conv[0] && preset.patchSize === conv[2] && preset.layers === layers &&
    preset.imageSize === imageSize
  )?.[0];
  return `the file looks like ${
    name ?? `an EVA tower of width ${conv[0]}, patch ${conv[2]}, ${layers} layers, image ${imageSize}`
  }`;
}

/** A frozen image tower. */
export class FrozenEva {
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

  /** Block `i`. The result is the tap a side network reads, in its stored form. */
  block(g: Graph, i: number, z: EvaStream): EvaStream {
    return g.scope(
      `backbone/block.${i}`,
      () => evaBlock(g, z, this.#blocks[i], { config: this.config, dtype: this.#dtype }),
    );
  }
}
