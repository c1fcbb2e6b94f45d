/** CLIP's towers as a record: published sizes, and what their files look like (spec side4video §1.1, §1.2; retrieval §1.1). */

import { z } from "zod";
import type { IgnoreList } from "../params.ts";
import {
  type BackboneKeys,
  countLayers,
  pictureSide,
  type SizesInFile,
  sizesInWords,
  type TextSizes,
  textSizesIn,
  type Tower,
} from "../tower.ts";
import { ClipImageHead, type ClipSizes, FrozenVit } from "./vit.ts";

/** Channels of a head in all of CLIP's towers. */
const HEAD_WIDTH = 64;

/** Published towers by name. */
export const VIT_PRESETS: Readonly<Record<string, ClipSizes>> = {
  "ViT-B/32": { imageSize: 224, patchSize: 32, width: 768, layers: 12, heads: 12 },
  "ViT-B/16": { imageSize: 224, patchSize: 16, width: 768, layers: 12, heads: 12 },
  "ViT-L/14": { imageSize: 224, patchSize: 14, width: 1024, layers: 24, heads: 16 },
  "ViT-L/14-336px": { imageSize: 336, patchSize: 14, width: 1024, layers: 24, heads: 16 },
};

const BASE_TEXT: TextSizes = {
  vocabulary: 49408,
  context: 77,
  width: 512,
  heads: 8,
  layers: 12,
  embedDim: 512,
};
const LARGE_TEXT: TextSizes = { ...BASE_TEXT, width: 768, heads: 12, embedDim: 768 };

/** What stands beside the weights in OpenAI's files and open_clip's: numbers, and the mask of the text tower. */
const BESIDE: IgnoreList = [
  "logit_bias",
  "input_resolution",
  "context_length",
  "vocab_size",
  "attn_mask",
  "text.attn_mask",
];

/** Tensors of OpenAI's files that a tower used for its taps does without: the text tower and the embedding's head. */
const UNUSED: IgnoreList = [
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
  ...BESIDE,
];

const KEYS = {
  activation: z.enum(["auto", "quick_gelu", "gelu"]).default("auto").describe(
    "of a CLIP tower's MLPs; auto: what a configuration beside network.weights says, else quick_gelu as in OpenAI's files",
  ),
};

/** The activation that a recipe asks for, as sizes hold it. */
function activationOf(backbone: BackboneKeys): Pick<ClipSizes, "activation"> {
  return backbone.activation === "gelu" ? { activation: "gelu" } : {};
}

/** The published tower that has these sizes, as far as they are given. */
function presetName(sizes: SizesInFile): string | undefined {
  const keys = ["patchSize", "width", "layers", "imageSize"] as const;
  return Object.entries(VIT_PRESETS).find(([, preset]) =>
    keys.every((key) => sizes[key] === undefined || preset[key] === sizes[key])
  )?.[0];
}

/** CLIP's towers. */
export const clipTower: Tower<ClipSizes> = {
  title: "CLIP",
  presets: VIT_PRESETS,
  keys: KEYS,
  customSizes(backbone) {
    const { image_size: imageSize, patch_size: patchSize, width, layers, heads } = backbone;
    return { imageSize, patchSize, width, layers, heads, ...activationOf(backbone) };
  },
  options: ["activation"],
  withOptions: (sizes, backbone) => ({ ...sizes, ...activationOf(backbone) }),
  has: (_sizes): _sizes is ClipSizes => true,
  declare: (weights, sizes, options) => new FrozenVit(weights, sizes, options),
  declareHead: (weights, sizes) => new ClipImageHead(weights, sizes),
  texts: {
    "ViT-B/32": BASE_TEXT,
    "ViT-B/16": BASE_TEXT,
    "ViT-L/14": LARGE_TEXT,
    "ViT-L/14-336px": LARGE_TEXT,
  },
  text: ({ activation }, text) => ({ ...text, activation }),
  textIn: (source) => textSizesIn(source),
  unused: (_, used = "taps") => used === "taps" ? UNUSED : BESIDE,
  names: [
    /^visual\.(class_embedding$|positional_embedding$|proj$|conv1\.|ln_pre\.|ln_post\.|transformer\.resblocks\.)/,
    /^(transformer|token_embedding|ln_final)\./,
    /^(positional_embedding|text_projection|logit_scale|logit_bias|input_resolution|context_length|vocab_size)$/,
  ],
  // As open_clip resizes it.
  positions: { name: "visual.positional_embedding", antialias: true },
  mark: "visual.conv1.weight",
  sizesIn(source) {
    const conv = source.shapeOf("visual.conv1.weight");
    const positions = source.shapeOf("visual.positional_embedding");
    if (conv?.length !== 4 || positions?.length !== 2) return null;
    return {
      width: conv[0],
      patchSize: conv[3],
      layers: countLayers(source, "visual.transformer.resblocks."),
      imageSize: pictureSide(positions[0] - 1, conv[3]),
    };
  },
  wholeIn(source) {
    const { width, patchSize, layers, imageSize } = this.sizesIn(source) ?? {};
    if (width === undefined || patchSize === undefined || layers === undefined || imageSize === undefined) {
      return null;
    }
    return { width, patchSize, layers, imageSize, heads: Math.max(1, Math.floor(width / HEAD_WIDTH)) };
  },
  describe: (sizes) => presetName(sizes) ?? sizesInWords(sizes),
  explain(source) {
    const sizes = this.sizesIn(source);
    if (!sizes) return "the file has no CLIP image tower";
    // A file that lacks blocks still looks like the tower that has them.
    return `the file looks like ${presetName({ ...sizes, layers: undefined }) ?? `a ${sizesInWords(sizes)}`}`;
  },
};
