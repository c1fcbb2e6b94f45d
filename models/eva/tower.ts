/** EVA-CLIP's towers as a record: published sizes, and what their files look like (spec side4video §1.3, §1.4; retrieval §1.2). */

import { z } from "zod";
import {
  countLayers,
  pictureSide,
  type SizesInFile,
  sizesInWords,
  type TextSizes,
  textSizesIn,
  type Tower,
  type TowerSizes,
} from "../tower.ts";
import type { EvaConfig } from "./block.ts";
import { EvaImageHead, FrozenEva } from "./vit.ts";

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

/** Before the names of the text tower. */
const TEXT_PREFIX = "text.";
const BIG_E_TEXT: TextSizes = {
  vocabulary: 49408,
  context: 77,
  width: 1024,
  heads: 16,
  layers: 24,
  embedDim: 1024,
};
const LARGE_TEXT: TextSizes = { ...BIG_E_TEXT, width: 768, heads: 12, layers: 12, embedDim: 768 };

/** What an EVA tower has beyond a CLIP one, as recipes spell it. */
const OPTIONS = z.strictObject({
  hidden: z.number().int().positive().max(2 ** 16).describe("hidden channels of the MLP"),
  norm: z.enum(["pre", "post"]).default("pre").describe(
    "layer norms before the branches of a block or behind them",
  ),
  sub_norm: z.boolean().default(false).describe("layer norms inside attention and MLP"),
  mlp: z.enum(["gelu", "swiglu"]).default("gelu").describe("kind of the MLP"),
  rope_span: z.number().positive().nullable().default(null).describe(
    "rotary positions: the grid's side in the units of pretraining; null: none",
  ),
});

/** The published tower that has these sizes. */
function presetName(sizes: SizesInFile): string | undefined {
  const keys = ["width", "patchSize", "layers", "imageSize"] as const;
  return Object.entries(EVA_PRESETS).find(([, preset]) => keys.every((key) => preset[key] === sizes[key]))
    ?.[0];
}

/** Whether a tower is one of EVA-CLIP's. */
export function isEva(sizes: TowerSizes): sizes is EvaConfig {
  return "hidden" in sizes;
}

/** EVA-CLIP's image towers. */
export const evaTower: Tower<EvaConfig> = {
  title: "EVA-CLIP",
  presets: EVA_PRESETS,
  keys: { eva: OPTIONS.nullable().default(null).describe("options of an EVA tower; null: a CLIP tower") },
  customSizes(backbone) {
    if (!backbone.eva) return null;
    const { image_size: imageSize, patch_size: patchSize, width, layers, heads } = backbone;
    const eva = OPTIONS.parse(backbone.eva);
    const { hidden, norm, sub_norm: subNorm, mlp, rope_span: ropeSpan } = eva;
    return { imageSize, patchSize, width, layers, heads, hidden, norm, subNorm, mlp, ropeSpan };
  },
  options: [],
  withOptions: (sizes) => sizes,
  has: isEva,
  declare: (weights, sizes, options) => new FrozenEva(weights, sizes, options),
  declareHead: (weights, sizes) => new EvaImageHead(weights, sizes),
  texts: {
    "EVA02-CLIP-bigE-14": BIG_E_TEXT,
    "EVA02-CLIP-bigE-14-plus": { ...BIG_E_TEXT, width: 1280, heads: 20, layers: 32 },
    "EVA02-CLIP-L-14": LARGE_TEXT,
    "EVA02-CLIP-L-14-336": LARGE_TEXT,
  },
  text: (_, text) => ({ ...text, activation: "gelu", prefix: TEXT_PREFIX }),
  textIn: (source) => textSizesIn(source, TEXT_PREFIX),
  // The text tower, the norm and the head behind the last block, and tables of rotary positions, which follow from the sizes.
  unused: ({ ropeSpan, layers }, used = "taps") => [
    ...(used === "taps"
      ? ["visual.norm.", "visual.head.", TEXT_PREFIX, "logit_scale"]
      : [`${TEXT_PREFIX}attn_mask`]),
    ...(ropeSpan === null ? [] : ["visual.rope."]),
    ...Array.from({ length: ropeSpan === null ? 0 : layers }, (_, i) => `visual.blocks.${i}.attn.rope.`),
  ],
  names: [
    /^visual\.(cls_token$|pos_embed$|patch_embed\.|blocks\.|norm\.|head\.|rope\.)/,
    /^text\./,
    /^logit_scale$/,
  ],
  // As its authors resize it (spec retrieval §1.2).
  positions: { name: "visual.pos_embed", antialias: false },
  mark: "visual.patch_embed.proj.weight",
  sizesIn(source) {
    const patch = source.shapeOf("visual.patch_embed.proj.weight"),
      table = source.shapeOf("visual.pos_embed");
    if (patch?.length !== 4 || table?.length !== 3) return null;
    return {
      width: patch[0],
      patchSize: patch[3],
      layers: countLayers(source, "visual.blocks."),
      imageSize: pictureSide(table[1] - 1, patch[3]),
    };
  },
  wholeIn(source) {
    const sizes = this.sizesIn(source), name = sizes && presetName(sizes);
    return name ? EVA_PRESETS[name] : null;
  },
  describe: (sizes) => presetName(sizes) ?? `EVA ${sizesInWords(sizes)}`,
  explain(source) {
    const sizes = this.sizesIn(source);
    if (!sizes) return "the file has no EVA-CLIP image tower";
    const { width, patchSize, layers, imageSize } = sizes;
    return `the file looks like ${
      presetName(sizes) ??
        `an EVA tower of width ${width}, patch ${patchSize}, ${layers} layers, image ${imageSize}`
    }`;
  },
};
