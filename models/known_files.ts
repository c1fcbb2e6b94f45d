/**
 * What a checkpoint is, from its names and sizes alone: which system, on which backbone, with how many classes; and the
 * published files whose contents are known.
 */

import { EVA_PRESETS, type EvaConfig } from "./eva/vit.ts";
import { presetName } from "./clip/vit.ts";

/** Names and shapes of a checkpoint. */
export interface ShapeSource {
  names(): Iterable<string>;
  /** Shape of a tensor; undefined when there is none of that name. */
  shapeOf(name: string): readonly number[] | undefined;
}

/** What a checkpoint looks like. */
export interface Identity {
  /** "CLIP", "EVA-CLIP", "Side4Video", "TDS-CLIP", "DiST", "Side4Video retrieval", or "unknown". */
  readonly system: string;
  /** Published name of the backbone it holds or was trained on, or its sizes in words; null when nothing tells. */
  readonly backbone: string | null;
  /** K of a classifier; null without one. */
  readonly classes: number | null;
  /** D of a side network; null without one. */
  readonly sideDim: number | null;
  /** Whether the frozen backbone is in it. */
  readonly holdsBackbone: boolean;
  /** Whether a trained side network is in it. */
  readonly holdsTrained: boolean;
}

/** A file that was published with its checksum (spec side4video §1.2). */
export interface KnownFile {
  readonly backbone: string;
  readonly file: string;
  readonly sha256: string;
}

/** OpenAI's CLIP files. */
export const KNOWN_FILES: readonly KnownFile[] = [
  {
    backbone: "ViT-B/32",
    file: "ViT-B-32.pt",
    sha256: "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
  },
  {
    backbone: "ViT-B/16",
    file: "ViT-B-16.pt",
    sha256: "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f",
  },
  {
    backbone: "ViT-L/14",
    file: "ViT-L-14.pt",
    sha256: "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836",
  },
  {
    backbone: "ViT-L/14-336px",
    file: "ViT-L-14-336px.pt",
    sha256: "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02",
  },
];

/** What the originals put in front of CLIP's own names: DiST and Side4Video retrieval. */
const WRAPPERS = ["backbone.base_encoder.", "clip."];

/** Frozen tensors by name, after a wrapper's prefix: the image towers of CLIP and EVA-CLIP, and their text towers. */
const BACKBONE_NAMES = [
  /^visual\.(class_embedding$|positional_embedding$|proj$|conv1\.|ln_pre\.|ln_post\.|transformer\.resblocks\.)/,
  /^visual\.(cls_token$|pos_embed$|patch_embed\.|blocks\.|norm\.|head\.|rope\.)/,
  /^(transformer|token_embedding|ln_final|text)\./,
  /^(positional_embedding|text_projection|logit_scale|input_resolution|context_length|vocab_size)$/,
];

/** Whether a tensor belongs to a frozen backbone, rather than to what is trained beside it. */
export function isBackboneName(name: string): boolean {
  const own = withoutWrapper(name);
  return BACKBONE_NAMES.some((pattern) => pattern.test(own));
}

/**
 * Where the tensors of a backbone's own file go in a training checkpoint of the originals, which holds backbone and side
 * network together: new names by old ones. What the trained system does not have is left out.
 */
export function backbonePlaces(trained: ShapeSource, backbone: ShapeSource): Map<string, string> {
  const prefix = WRAPPERS.find((wrapper) => [...trained.names()].some((name) => name.startsWith(wrapper))) ??
    "";
  const { system } = identify(trained);
  const places = new Map<string, string>();
  for (const name of backbone.names()) {
    if (!isBackboneName(name) || /^(input_resolution|context_length|vocab_size)$/.test(name)) continue;
    if (system === "Side4Video" || system === "TDS-CLIP") {
      // Recognition has neither CLIP's embedding nor its text tower; EVA's unused norm and head stay.
      if (!name.startsWith("visual.") || /^visual\.(ln_post\.|proj$|rope\.)/.test(name)) continue;
    }
    places.set(name, prefix + name);
  }
  return places;
}

function withoutWrapper(name: string): string {
  const wrapper = WRAPPERS.find((prefix) => name.startsWith(prefix));
  return wrapper === undefined ? name : name.slice(wrapper.length);
}

/** Says what a checkpoint looks like. */
export function identify(source: ShapeSource): Identity {
  const names = [...source.names()];
  const wrapper = WRAPPERS.find((prefix) => names.some((name) => name.startsWith(`${prefix}visual.`))) ?? "";
  const shape = (name: string) => source.shapeOf(wrapper + name);
  const layersOf = (stem: string) => countLayers(names, wrapper + stem);
  const distLayers = Math.max(
    layersOf("dist_net.input_linears."),
    layersOf("ladder_net.input_map_feat_nets."),
  );
  const side = shape("visual.side_conv1.weight"), classifier = source.shapeOf("fc.weight");
  const backbone = backboneIn(shape, layersOf);
  const holdsBackbone = backbone !== null;
  const common = { holdsBackbone, classes: classifier?.length === 2 ? classifier[0] : null };
  if (distLayers > 0) {
    const stem = shape("dist_net.temporal_stem.weight") ?? shape("ladder_net.temporal_stem.weight");
    const project = shape("dist_net.input_linears.0.weight") ??
      shape("ladder_net.input_map_feat_nets.0.weight");
    const sizes = { width: project?.[1], patchSize: stem?.[4], layers: distLayers };
    return {
      system: "DiST",
      backbone: backbone ?? presetName(sizes) ?? describeSizes(sizes),
      sideDim: project?.[0] ?? null,
      holdsTrained: true,
      ...common,
    };
  }
  if (side?.length === 5) {
    return {
      system: sideSystem(names, wrapper),
      backbone: backbone ?? sideBackbone(shape, layersOf),
      sideDim: side[0],
      holdsTrained: true,
      ...common,
    };
  }
  return {
    system: backbone === null ? "unknown" : shape("visual.pos_embed") ? "EVA-CLIP" : "CLIP",
    backbone,
    sideDim: null,
    holdsTrained: false,
    ...common,
  };
}

function sideSystem(names: readonly string[], wrapper: string): string {
  if (wrapper === "clip.") return "Side4Video retrieval";
  return names.some((name) => name.endsWith(".mse.conv1.weight")) ? "TDS-CLIP" : "Side4Video";
}

type ShapeOf = (name: string) => readonly number[] | undefined;

/** The image tower in a file; null when there is none. */
function backboneIn(shape: ShapeOf, layersOf: (stem: string) => number): string | null {
  const conv = shape("visual.conv1.weight"), positions = shape("visual.positional_embedding");
  if (conv?.length === 4 && positions?.length === 2) {
    const sizes = {
      width: conv[0],
      patchSize: conv[3],
      layers: layersOf("visual.transformer.resblocks."),
      imageSize: imageSize(positions[0] - 1, conv[3]),
    };
    return presetName(sizes) ?? describeSizes(sizes);
  }
  const patch = shape("visual.patch_embed.proj.weight"), table = shape("visual.pos_embed");
  if (patch?.length !== 4 || table?.length !== 3) return null;
  const sizes = {
    width: patch[0],
    patchSize: patch[3],
    layers: layersOf("visual.blocks."),
    imageSize: imageSize(table[1] - 1, patch[3]),
  };
  return evaName(sizes) ?? `EVA ${describeSizes(sizes)}`;
}

/** The backbone that a side network without one was trained on, from the sizes of what reads it. */
function sideBackbone(shape: ShapeOf, layersOf: (stem: string) => number): string | null {
  const stem = shape("visual.side_conv1.weight"), isEva = shape("visual.side_spatial_position_embeddings");
  const positions = isEva ?? shape("visual.transformer.side_spatial_position_embeddings");
  const linear = shape(isEva ? "visual.side_linears.0.weight" : "visual.transformer.side_linears.0.weight");
  if (!stem || !positions || !linear) return null;
  const patchSize = stem[4];
  if (isEva) {
    const sizes = {
      width: linear[1],
      patchSize,
      layers: 2 * layersOf("visual.side_linears."),
      imageSize: imageSize(positions[0], patchSize),
    };
    return evaName(sizes) ?? `EVA ${describeSizes(sizes)}`;
  }
  const sizes = {
    width: linear[1],
    patchSize,
    layers: layersOf("visual.transformer.side_linears."),
    imageSize: imageSize(positions[0], patchSize), // the retrieval table also has a row for the class token
  };
  return presetName(sizes) ?? describeSizes(sizes);
}

type Sizes = Partial<Pick<EvaConfig, "width" | "patchSize" | "layers" | "imageSize">>;

function evaName(sizes: Sizes): string | undefined {
  const keys = ["width", "patchSize", "layers", "imageSize"] as const;
  return Object.entries(EVA_PRESETS).find(([, preset]) => keys.every((key) => preset[key] === sizes[key]))
    ?.[0];
}

function imageSize(patches: number, patchSize: number): number {
  return Math.floor(Math.sqrt(patches)) * patchSize;
}

function describeSizes({ width, patchSize, layers, imageSize }: Sizes): string {
  const image = imageSize === undefined ? "" : `, image ${imageSize}`;
  return `ViT of width ${width}, patch ${patchSize}, ${layers} layers${image}`;
}

/** Number of layers whose names start `stem` and an index. */
function countLayers(names: readonly string[], stem: string): number {
  const indices = new Set<string>();
  for (const name of names) {
    if (name.startsWith(stem)) indices.add(name.slice(stem.length).split(".")[0]);
  }
  return [...indices].filter((index) => /^\d+$/.test(index)).length;
}

/** One line: "Side4Video on ViT-B/16 with 174 classes (side_dim 320), backbone included". */
export function describeIdentity(identity: Identity): string {
  const { system, backbone, classes, sideDim, holdsBackbone, holdsTrained } = identity;
  if (system === "unknown") return "no model known here";
  if (!holdsTrained) return `${system} ${backbone}`;
  const details = [
    `${system} on ${backbone ?? "an unknown backbone"}`,
    classes === null ? "" : ` with ${classes} classes`,
    sideDim === null ? "" : ` (side_dim ${sideDim})`,
    holdsBackbone ? ", backbone included" : ", without the backbone",
  ];
  return details.join("");
}

/** The published file of a name, whatever folder it lies in. */
export function knownByName(path: string): KnownFile | undefined {
  const name = path.split(/[\\/]/).at(-1)!.toLowerCase();
  return KNOWN_FILES.find(({ file }) => file.toLowerCase() === name);
}

/** The published file of a checksum. */
export function knownByHash(sha256: string): KnownFile | undefined {
  return KNOWN_FILES.find((known) => known.sha256 === sha256);
}
