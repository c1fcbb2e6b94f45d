/**
 * What the rest of the project asks about a frozen image tower and what belongs to its model: a record that every kind exports (`clip/tower.ts`,
 * `eva/tower.ts`) and that `towers.ts` lists. Side networks and recipes know no tower by name.
 */

import type { z } from "zod";
import type { Dtype, Graph, Tensor } from "../gpu/graph.ts";
import type { Activation } from "./clip/transformer.ts";
import type { IgnoreList, Weights, WeightSource } from "./params.ts";

/** Sizes that every tower has: plain data, together with what else its kind has. */
export interface TowerSizes {
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

/** Patches along a side of a frame. */
export function gridOf({ imageSize, patchSize }: Pick<TowerSizes, "imageSize" | "patchSize">): number {
  return Math.floor(imageSize / patchSize);
}

/** Number of patches of a frame. */
export function patchesOf(sizes: Pick<TowerSizes, "imageSize" | "patchSize">): number {
  return gridOf(sizes) ** 2;
}

/** Gives a value a name under which parity checks find it, and returns it. */
export type Keep = (name: string, tensor: Tensor) => Tensor;

/** A frozen tower with its declared weights. */
export interface FrozenTower {
  /**
   * Records the tower on pictures [F 3 H W], normalised, and yields the output of every block, [F N C], in the form that
   * side networks read. A block is recorded when its output is asked for, so tower and side network take turns.
   *
   * @param keep Is told the tokens that enter block 0 where a norm makes them ("ln_pre"), and the exact output of every
   * block ("backbone.0", …).
   */
  outputs(g: Graph, pictures: Tensor, keep?: Keep): Iterable<Tensor>;
}

/** What turns the class token behind a tower's last block into the joint embedding of pictures and sentences. */
export interface ImageHead {
  /** Class tokens [F C] to their norm [F C] and the embedding [F E], not normalised. */
  apply(g: Graph, token: Tensor): { normed: Tensor; embedding: Tensor };
}

/** Sizes of the text tower beside an image tower: plain data. */
export interface TextSizes {
  /** Number of token ids. */
  vocabulary: number;
  /** Tokens of a sentence, at most. */
  context: number;
  width: number;
  heads: number;
  layers: number;
  /** E, the joint embedding. */
  embedDim: number;
}

/** A text tower: its sizes, what its MLPs compute, and what stands before its names. */
export interface TextConfig extends TextSizes {
  /** QuickGELU when absent. */
  activation?: Activation;
  /** "text." in EVA-CLIP's files; nothing when absent. */
  prefix?: string;
}

/** Of a tower's outputs, those of some blocks. What lies between them, and behind the last, is recorded too. */
export function* ofBlocks(outputs: Iterable<Tensor>, blocks: readonly number[]): Generator<Tensor, void> {
  let i = 0;
  for (const output of outputs) if (blocks.includes(i++)) yield output;
}

/** The sizes of a tower that is no preset, as recipes spell them. */
export interface BackboneSizes {
  readonly image_size: number;
  readonly patch_size: number;
  readonly width: number;
  readonly layers: number;
  readonly heads: number;
}

/** `network.backbone`: all sizes of a tower that is no preset, or none; and options of the kinds of towers. */
export interface BackboneKeys extends Partial<BackboneSizes> {
  readonly [option: string]: unknown;
}

/** `network.backbone` with the sizes of a tower. */
export type CustomBackbone = BackboneKeys & BackboneSizes;

/** Whether `network.backbone` spells out a tower. */
export function givesSizes(backbone: BackboneKeys | null): backbone is CustomBackbone {
  return backbone?.width !== undefined;
}

/** Names and shapes of a checkpoint. */
export interface ShapeSource {
  names(): Iterable<string>;
  /** Shape of a tensor; undefined when there is none of that name. */
  shapeOf(name: string): readonly number[] | undefined;
}

/** What a checkpoint's shapes tell of a tower's sizes. */
export type SizesInFile = { [K in "imageSize" | "patchSize" | "width" | "layers"]?: number };

/** One kind of frozen tower. */
// deno-lint-ignore no-explicit-any -- the registry holds towers of different sizes
export interface Tower<Sizes extends TowerSizes = any> {
  /** Its name for people, and for a checkpoint that holds nothing else: "CLIP". */
  readonly title: string;
  /** Published towers by name. */
  readonly presets: Readonly<Record<string, Sizes>>;
  /** Its own keys of `network.backbone`, with types, defaults and help. */
  readonly keys: z.ZodRawShape;
  /** The sizes of a custom backbone; null where it has not this kind's own keys. */
  customSizes(backbone: CustomBackbone): Sizes | null;
  /** Those of its own keys that go with a preset as well. */
  readonly options: readonly string[];
  /** A preset with such options. */
  withOptions(sizes: Sizes, backbone: BackboneKeys): Sizes;
  /** Whether sizes are those of this kind: whether they have what it alone has. */
  has(sizes: TowerSizes): sizes is Sizes;
  /** Declares the weights. @param options.dtype Storage type of frozen activations; sums are always f32. */
  declare(weights: Weights, sizes: Sizes, options: { dtype: Dtype }): FrozenTower;
  /** Declares what turns its class token into the joint embedding. */
  declareHead(weights: Weights, sizes: Sizes & { embedDim: number }): ImageHead;
  /** Published text towers by the names of the presets. */
  readonly texts: Readonly<Record<string, TextSizes>>;
  /** A text tower of its models. */
  text(sizes: Sizes, text: TextSizes): TextConfig;
  /** The sizes of the text tower in a checkpoint; null when there is none. Its heads have 64 channels, as all published ones'. */
  textIn(source: ShapeSource): TextSizes | null;
  /** Tensors of its files that a tower does without: used for its taps, or with its head and the text tower. */
  unused(sizes: Sizes, used?: "taps" | "embedding"): IgnoreList;
  /** Names of its files' tensors, the parts included that side networks do without. */
  readonly names: readonly RegExp[];
  /** Its table of positions, one for the class token and those of the grid, and whether it is smoothed when it is resized. */
  readonly positions: { readonly name: string; readonly antialias: boolean };
  /** A weight that every file of it holds, and no other's. */
  readonly mark: string;
  /** The sizes of the tower in a checkpoint; null when there is none. */
  sizesIn(source: ShapeSource): SizesInFile | null;
  /** All sizes of the tower in a checkpoint; null when there is none, or one whose shapes do not tell them. */
  wholeIn(source: ShapeSource): Sizes | null;
  /** The published name of a tower of these sizes, or the sizes in words. */
  describe(sizes: SizesInFile): string;
  /** What the sizes of a checkpoint's tower say, for error messages: "the file looks like ViT-L/14". */
  explain(source: WeightSource): string;
}

/** Number of layers whose names start with `stem` and an index. */
export function countLayers(source: ShapeSource, stem: string): number {
  const indices = new Set<string>();
  for (const name of source.names()) {
    if (name.startsWith(stem)) indices.add(name.slice(stem.length).split(".")[0]);
  }
  return [...indices].filter((index) => /^\d+$/.test(index)).length;
}

/** Channels of a head of the published text towers. */
const TEXT_HEAD_WIDTH = 64;

/** The sizes of a text tower whose names have `prefix`; null when there is none. */
export function textSizesIn(source: ShapeSource, prefix = ""): TextSizes | null {
  const table = source.shapeOf(`${prefix}token_embedding.weight`);
  const positions = source.shapeOf(`${prefix}positional_embedding`);
  const projection = source.shapeOf(`${prefix}text_projection`);
  if (table?.length !== 2 || positions?.length !== 2 || projection?.length !== 2) return null;
  const [vocabulary, width] = table;
  return {
    vocabulary,
    context: positions[0],
    width,
    heads: Math.max(1, Math.floor(width / TEXT_HEAD_WIDTH)),
    layers: countLayers(source, `${prefix}transformer.resblocks.`),
    embedDim: projection[1],
  };
}

/** Side of the square picture that so many patches cover; of one row too many for a class token as well. */
export function pictureSide(patches: number, patchSize: number): number {
  return Math.floor(Math.sqrt(patches)) * patchSize;
}

/** Sizes in words: "ViT of width 768, patch 16, 12 layers, image 224". */
export function sizesInWords({ width, patchSize, layers, imageSize }: SizesInFile): string {
  const image = imageSize === undefined ? "" : `, image ${imageSize}`;
  return `ViT of width ${width}, patch ${patchSize}, ${layers} layers${image}`;
}
