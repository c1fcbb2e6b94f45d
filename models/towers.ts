/** The towers: by the names and keys of recipes, by sizes, and by what a checkpoint holds. */

import type { z } from "zod";
import type { Dtype } from "../gpu/graph.ts";
import { clipTower } from "./clip/tower.ts";
import { evaTower } from "./eva/tower.ts";
import type { Weights, WeightSource } from "./params.ts";
import {
  type BackboneKeys,
  type FrozenTower,
  givesSizes,
  type TextConfig,
  type TextSizes,
  type Tower,
  type TowerSizes,
} from "./tower.ts";

/**
 * Every kind of tower, the plainest first: CLIP's has nothing of its own, so sizes are those of the last kind that knows them.
 */
export const TOWERS: readonly Tower[] = [clipTower, evaTower];

/** Published towers by name. */
export const TOWER_PRESETS: Readonly<Record<string, TowerSizes>> = Object.assign(
  {},
  ...TOWERS.map(({ presets }) => presets),
);

/** Keys of `network.backbone` beyond the sizes that every tower has. */
export const TOWER_KEYS: z.ZodRawShape = Object.assign({}, ...TOWERS.map(({ keys }) => keys));

/** The kind of tower that has these sizes. */
export function towerOf(sizes: TowerSizes): Tower {
  return TOWERS.findLast((tower) => tower.has(sizes))!;
}

/**
 * The sizes of a recipe's tower: those of a preset, with the options beside it, or those that it spells out.
 *
 * @throws {RangeError} for a name that is no preset's.
 */
export function towerSizes(network: { arch: string; backbone: BackboneKeys | null }): TowerSizes {
  const { arch, backbone } = network;
  if (givesSizes(backbone)) {
    return TOWERS.map((tower) => tower.customSizes(backbone)).findLast((sizes) => sizes !== null)!;
  }
  if (arch in TOWER_PRESETS) {
    const preset = TOWER_PRESETS[arch];
    return backbone === null ? preset : towerOf(preset).withOptions(preset, backbone);
  }
  throw new RangeError(
    `Cannot find a tower: network.arch must be one of ${Object.keys(TOWER_PRESETS).join(", ")}, ` +
      `current value is "${arch}"`,
  );
}

/** Token ids of CLIP's vocabulary. */
export const CLIP_VOCABULARY = 49408;

/** The keys of `network` that say which text tower there is. */
export interface TextKeys {
  readonly arch: string;
  readonly backbone: BackboneKeys | null;
  readonly text: Omit<TextSizes, "embedDim" | "vocabulary"> & { vocabulary: number | null } | null;
  readonly embed_dim: number | null;
  readonly tokens: readonly number[] | null;
}

/** The text tower of a recipe: that of a preset, or the one that it spells out; null where it says too little. */
export function textOf(network: TextKeys): TextConfig | null {
  const { arch, backbone, text, embed_dim, tokens } = network, sizes = towerSizes(network);
  const tower = towerOf(sizes), preset = givesSizes(backbone) ? undefined : tower.texts[arch];
  const embedDim = embed_dim ?? preset?.embedDim, shape = text ?? preset;
  if (embedDim === undefined || shape === undefined) return null;
  const { width, heads, layers, context } = shape;
  const vocabulary = text?.vocabulary ?? tokens?.length ?? preset?.vocabulary ?? CLIP_VOCABULARY;
  return tower.text(sizes, { vocabulary, context, width, heads, layers, embedDim });
}

/**
 * Declares the frozen tower beside a side network.
 *
 * @param options.taps "stored": the weights get no memory, but take their places in the order.
 */
export function declareTower(
  weights: Weights,
  sizes: TowerSizes,
  options: { dtype: Dtype; taps: "tower" | "stored" },
): FrozenTower {
  const { dtype, taps } = options;
  const declare = () => towerOf(sizes).declare(weights, sizes, { dtype });
  return taps === "tower" ? declare() : weights.leaveOut(declare);
}

/**
 * "the file looks like ViT-L/14", or what else a checkpoint's image tower looks like. For error messages.
 *
 * @param options.text Whether a text tower is wanted as well: then it is said where there is none.
 */
export function explainBackbone(source: WeightSource, options: { text?: boolean } = {}): string {
  const tower = TOWERS.find(({ mark }) => source.shapeOf(mark) !== undefined) ?? clipTower;
  const hint = /-\d{5}-of-\d{5}\.\w+$/.test(source.label)
    ? "; it is one part of several: give the index beside it (….index.json)"
    : "";
  const lacks = options.text && tower.sizesIn(source) && tower.textIn(source) === null
    ? ", without a text tower, which retrieval needs"
    : "";
  return tower.explain(source) + lacks + hint;
}
