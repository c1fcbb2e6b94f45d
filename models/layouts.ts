/**
 * The layouts in which image towers are published: the names that the libraries of the field give the same weights. Each is a
 * record that says how it is recognised and what its names become here, which are those of the towers' authors.
 */

import type { WeightSource } from "./params.ts";
import type { ShapeSource } from "./tower.ts";

/** One library's names. */
export interface Layout {
  /** For people: "Hugging Face CLIP". */
  readonly title: string;
  /** Names that all stand in its files; whatever stands before them, other modules' names or a dict's, stands before every name. */
  readonly marks: readonly string[];
  /** What is replaced in a name, one after the other. A name that ends in "#0", "#1", … then is that part of a tensor's rows. */
  readonly renames: readonly (readonly [RegExp, string])[];
  /** Names here of matrices that it stores transposed. */
  readonly transposed?: RegExp;
  /** Names here of tensors before whose axes it has axes of size 1. */
  readonly squeezed?: RegExp;
  /** Its own names that are no weights. */
  readonly left?: RegExp;
}

/** The names of a block of OpenAI's towers, from those of transformers. */
const TRANSFORMERS: Layout["renames"] = [
  [/\bencoder\.layers\.(\d+)\./, "transformer.resblocks.$1."],
  [/\.self_attn\.out_proj\./, ".attn.out_proj."],
  [/\.self_attn\.q_proj\.(\w+)$/, ".attn.in_proj_$1#0"],
  [/\.self_attn\.k_proj\.(\w+)$/, ".attn.in_proj_$1#1"],
  [/\.self_attn\.v_proj\.(\w+)$/, ".attn.in_proj_$1#2"],
  [/\.layer_norm([12])\./, ".ln_$1."],
  [/\.mlp\.fc1\./, ".mlp.c_fc."],
  [/\.mlp\.fc2\./, ".mlp.c_proj."],
  [/\bembeddings\.patch_embedding\./, "conv1."],
  [/\bembeddings\.(class_embedding)$/, "$1"],
  [/\bembeddings\.position_embedding\.weight$/, "positional_embedding"],
  [/\bembeddings\.(token_embedding\.)/, "$1"],
  [/\bpre_layrnorm\./, "ln_pre."],
  [/\bpost_layernorm\./, "ln_post."],
  [/\bfinal_layer_norm\./, "ln_final."],
];

const HUGGING_FACE = {
  transposed: /^(visual\.proj|text_projection)$/,
  left: /\bembeddings\.position_ids$/,
};

/** The same from those of timm. */
const TIMM: Layout["renames"] = [
  [/\bblocks\.(\d+)\./, "transformer.resblocks.$1."],
  [/\.attn\.qkv\./, ".attn.in_proj_"],
  [/\.attn\.proj\./, ".attn.out_proj."],
  [/\.norm([12])\./, ".ln_$1."],
  [/\.mlp\.fc1\./, ".mlp.c_fc."],
  [/\.mlp\.fc2\./, ".mlp.c_proj."],
  [/\bpatch_embed\.proj\./, "conv1."],
  [/\bcls_token$/, "class_embedding"],
  [/\bpos_embed$/, "positional_embedding"],
  [/\bnorm_pre\./, "ln_pre."],
  [/\b(fc_)?norm\./, "ln_post."],
];
const TIMM_SQUEEZED = /^visual\.(class_embedding|positional_embedding)$/;

/** All of them, those first that others' marks would match too. */
export const LAYOUTS: readonly Layout[] = [
  {
    title: "OpenAI",
    marks: ["visual.conv1.weight"],
    renames: [[/^text\.(?=(transformer|token_embedding|ln_final)\.)/, ""], [
      /^text\.(positional_embedding|text_projection)$/,
      "$1",
    ]],
  },
  {
    title: "EVA-CLIP",
    marks: ["visual.patch_embed.proj.weight"],
    renames: [
      [/^(?=(transformer|token_embedding|ln_final)\.|(positional_embedding|text_projection)$)/, "text."],
      [/^text\.logit_scale$/, "logit_scale"],
    ],
  },
  {
    title: "Hugging Face CLIP",
    marks: ["vision_model.embeddings.patch_embedding.weight"],
    renames: [
      [/^vision_model\./, "visual."],
      [/^text_model\./, ""],
      [/^visual_projection\.weight$/, "visual.proj"],
      [/^text_projection\.weight$/, "text_projection"],
      ...TRANSFORMERS,
    ],
    ...HUGGING_FACE,
  },
  {
    title: "Hugging Face CLIP, the tower alone",
    marks: ["embeddings.patch_embedding.weight", "pre_layrnorm.weight"],
    renames: [[/^/, "visual."], ...TRANSFORMERS],
    ...HUGGING_FACE,
  },
  {
    title: "open_clip with timm's names",
    marks: ["visual.trunk.patch_embed.proj.weight"],
    renames: [
      [/^visual\.trunk\./, "visual."],
      [/^visual\.head\.proj\.weight$/, "visual.proj"],
      [/^text\.(?=(transformer|token_embedding|ln_final)\.)/, ""],
      [/^text\.(positional_embedding|text_projection)$/, "$1"],
      ...TIMM,
    ],
    transposed: /^visual\.proj$/,
    squeezed: TIMM_SQUEEZED,
  },
  {
    title: "timm, the tower alone",
    marks: ["blocks.0.attn.qkv.weight", "norm_pre.weight"],
    renames: [[/^/, "visual."], [/^visual\.head\.weight$/, "visual.proj"], ...TIMM],
    transposed: /^visual\.proj$/,
    squeezed: TIMM_SQUEEZED,
  },
  {
    title: "OpenAI with timm's blocks, the tower alone",
    marks: ["blocks.0.attn.qkv.weight", "ln_pre.weight"],
    renames: [[/^/, "visual."], ...TIMM],
  },
  {
    title: "EVA-CLIP, the tower alone",
    marks: ["patch_embed.proj.weight", "cls_token", "blocks.0.norm1.weight"],
    renames: [[/^/, "visual."]],
  },
  {
    title: "OpenAI, the tower alone",
    marks: ["conv1.weight", "class_embedding", "ln_pre.weight"],
    renames: [[/^/, "visual."]],
  },
];

/** A tower found in a file. */
export interface FoundTower {
  readonly layout: Layout;
  /** What stands before all of its names. */
  readonly prefix: string;
}

/**
 * The towers in a file: those of the first layout that has any. More than one where a file holds a student and its teacher, or
 * weights and their average.
 */
export function towersIn(source: ShapeSource): FoundTower[] {
  const names = [...source.names()];
  for (const layout of LAYOUTS) {
    const [mark, ...others] = layout.marks;
    const found = names.filter((name) =>
      name === mark || name.endsWith(`.${mark}`) || name.endsWith(`/${mark}`)
    )
      .map((name) => name.slice(0, name.length - mark.length))
      .filter((prefix) => others.every((other) => source.shapeOf(prefix + other)));
    if (found.length > 0) return found.map((prefix) => ({ layout, prefix }));
  }
  return [];
}

/** Where a tensor comes from: rows of several one after the other, or one. */
export interface Origin {
  readonly from: string[];
  readonly shape: readonly number[];
  readonly transposed: boolean;
}

/** A file's tower under the names used here. */
export interface LaidOut<Source extends ShapeSource> extends FoundTower {
  readonly source: Source;
  /** Number of tensors that belong to something beside the tower, by what stands before their names. */
  readonly beside: number;
}

/**
 * A file's weights under the names used here; null where there is no tower, or more than one and none of them without a prefix.
 * Tensors are read when they are asked for.
 */
export function underOurNames<Source extends ShapeSource>(source: Source): LaidOut<Source> | null {
  const towers = towersIn(source);
  const found = towers.length === 1 ? towers[0] : towers.find(({ prefix }) => prefix === "");
  if (!found) return null;
  const { layout, prefix } = found;
  if (layout.renames.length === 0 && prefix === "") return { ...found, source, beside: 0 };
  const names = [...source.names()], own = names.filter((name) => name.startsWith(prefix));
  const origins = originsIn(source, found);
  const laid: ShapeSource = {
    names: () => origins.keys(),
    shapeOf: (name) => origins.get(name)?.shape,
  };
  return {
    ...found,
    source: { ...source, ...laid, ...(isReadable(source) ? reader(source, origins) : {}) },
    beside: names.length - own.length,
  };
}

/** What each name here is made of, in a file in which a tower was found. */
export function originsIn(source: ShapeSource, { layout, prefix }: FoundTower): Map<string, Origin> {
  const own = [...source.names()].filter((name) => name.startsWith(prefix));
  return originsOf(own.map((name) => [name, name.slice(prefix.length)]), layout, source);
}

function isReadable(source: ShapeSource): source is WeightSource {
  return "readF32" in source;
}

function reader(
  source: WeightSource,
  origins: ReadonlyMap<string, Origin>,
): Pick<WeightSource, "readF32" | "converts"> {
  return {
    converts: (name) => origins.get(name)?.from.every((from) => source.converts?.(from) ?? true) ?? false,
    async readF32(name) {
      const origin = origins.get(name);
      if (!origin) return await source.readF32(name); // whose error says that it is missing
      const parts: Float32Array[] = [];
      for (const from of origin.from) parts.push(await source.readF32(from));
      return origin.transposed
        ? transpose(parts[0], origin.shape)
        : parts.length === 1
        ? parts[0]
        : joined(parts);
    },
  };
}

/** What each name here is made of. */
function originsOf(
  names: readonly (readonly [full: string, name: string])[],
  layout: Layout,
  source: ShapeSource,
): Map<string, Origin> {
  const origins = new Map<string, Origin>(), parts = new Map<string, string[]>();
  for (const [full, name] of names) {
    if (layout.left?.test(name)) continue;
    const [ours, part] = layout.renames.reduce((text, [from, to]) => text.replace(from, to), name).split("#");
    if (part !== undefined) {
      const all = parts.get(ours) ?? [];
      all[Number(part)] = full;
      parts.set(ours, all);
      continue;
    }
    const stored = source.shapeOf(full)!;
    const transposed = stored.length === 2 && layout.transposed?.test(ours) === true;
    const shape = transposed
      ? [...stored].reverse()
      : layout.squeezed?.test(ours)
      ? stored.slice(stored.findIndex((size) => size !== 1))
      : stored;
    origins.set(origins.has(ours) ? name : ours, { from: [full], shape, transposed });
  }
  for (const [ours, from] of parts) {
    const shapes = from.map((name) => source.shapeOf(name)!).filter((shape) => shape !== undefined);
    if (shapes.length !== 3) continue; // what is missing is told by its name here
    const rows = shapes.reduce((sum, [first]) => sum + first, 0);
    origins.set(ours, { from, shape: [rows, ...shapes[0].slice(1)], transposed: false });
  }
  return origins;
}

/** A matrix of `shape` from its transpose. */
function transpose(values: Float32Array, [rows, columns]: readonly number[]): Float32Array {
  const out = new Float32Array(values.length);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) out[r * columns + c] = values[c * rows + r];
  }
  return out;
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const out = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
