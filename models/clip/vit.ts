/** The frozen CLIP image tower (spec side4video §1.1): one method a block, so that a side network can run between them. */

import type { Dtype, Graph, Tensor } from "../../gpu/graph.ts";
import { layerNorm, linear, matmul, prependToken, reshape, splitTokens, unfold } from "../../gpu/ops/mod.ts";
import { type IgnoreList, normal, type Weights, type WeightSource } from "../params.ts";
import { block, type BlockWeights, declareBlock, frozenNorm, type NormWeights } from "./transformer.ts";

/** Sizes of an image tower. */
export interface VitConfig {
  /** Side of the square input in pixels. */
  imageSize: number;
  /** Side of a patch in pixels. */
  patchSize: number;
  /** C. */
  width: number;
  /** Number of blocks. */
  layers: number;
  heads: number;
}

/** Published towers by name. Heads are always width / 64. */
export const VIT_PRESETS: Readonly<Record<string, VitConfig>> = {
  "ViT-B/32": { imageSize: 224, patchSize: 32, width: 768, layers: 12, heads: 12 },
  "ViT-B/16": { imageSize: 224, patchSize: 16, width: 768, layers: 12, heads: 12 },
  "ViT-L/14": { imageSize: 224, patchSize: 14, width: 1024, layers: 24, heads: 16 },
  "ViT-L/14-336px": { imageSize: 336, patchSize: 14, width: 1024, layers: 24, heads: 16 },
};

/** Tensors of OpenAI's files that a tower used for its taps does without: the text tower and the embedding's head. */
export const CLIP_UNUSED: IgnoreList = [
  "visual.ln_post.weight",
  "visual.ln_post.bias",
  "visual.proj",
  "transformer.",
  "token_embedding.weight",
  "positional_embedding",
  "ln_final.weight",
  "ln_final.bias",
  "text_projection",
  "logit_scale",
  "input_resolution",
  "context_length",
  "vocab_size",
];

/** Number of patches of a frame. */
export function patchesOf(config: VitConfig): number {
  return Math.floor(config.imageSize / config.patchSize) ** 2;
}

/** The published tower that has these sizes. */
export function presetName(config: Partial<VitConfig>): string | undefined {
  const keys = ["patchSize", "width", "layers", "imageSize"] as const;
  return Object.entries(VIT_PRESETS).find(([, preset]) =>
    keys.every((key) => config[key] === undefined || preset[key] === config[key])
  )?.[0];
}

/** What the sizes of a checkpoint's image tower say, for error messages: "the file looks like ViT-L/14". */
export function explainClip(source: WeightSource): string | undefined {
  const conv = source.shapeOf("visual.conv1.weight"),
    positions = source.shapeOf("visual.positional_embedding");
  if (!conv || !positions) return "the file has no CLIP image tower";
  const layers =
    new Set([...source.names()].map((name) => /^visual\.transformer\.resblocks\.(\d+)\./.exec(name)?.[1]))
      .size - 1;
  const imageSize = Math.round(Math.sqrt(positions[0] - 1)) * conv[2];
  const name = presetName({ width: conv[0], patchSize: conv[2], imageSize });
  return `the file looks like ${
    name ?? `a ViT of width ${conv[0]}, patch ${conv[2]}, ${layers} layers, image ${imageSize}`
  }`;
}

/** A frozen image tower. */
export class FrozenVit {
  readonly config: VitConfig;
  readonly #dtype: Dtype;
  readonly #conv: Tensor;
  readonly #cls: Tensor;
  readonly #positions: Tensor;
  readonly #lnPre: NormWeights;
  readonly #blocks: BlockWeights[];

  /** Declares the tower's weights. @param options.dtype Storage type of activations. */
  constructor(weights: Weights, config: VitConfig, options: { dtype: Dtype }) {
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

  /** Block `i`: [F N C] to [F N C]. The result is the tap a side network reads. */
  block(g: Graph, i: number, z: Tensor): Tensor {
    return g.scope(
      `backbone/block.${i}`,
      () => block(g, z, this.#blocks[i], { heads: this.config.heads, dtype: this.#dtype }),
    );
  }
}

/** What turns the last tap into CLIP's image embedding; side networks do without. */
export class ClipImageHead {
  readonly #lnPost: NormWeights;
  readonly #proj: Tensor;

  constructor(weights: Weights, config: VitConfig & { embedDim: number }) {
    this.#lnPost = frozenNorm(weights, "visual.ln_post", config.width);
    this.#proj = weights.frozen("visual.proj", [config.width, config.embedDim], normal(config.width ** -0.5));
  }

  /** Last tap [F N C] to the normed class token [F C] and the embedding [F E], not normalised. */
  apply(g: Graph, z: Tensor): { normed: Tensor; embedding: Tensor } {
    const { token } = splitTokens(g, z); // [F C]
    const normed = layerNorm(g, token, this.#lnPost); // [F C]
    return { normed, embedding: matmul(g, normed, this.#proj) };
  }
}
