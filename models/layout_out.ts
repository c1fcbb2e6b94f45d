/** A CLIP's weights under the names that other libraries give them, byte for byte: to leave with what was taken from a file of any layout. */

import { DataError } from "../lib/errors.ts";
import { shorten } from "../lib/text.ts";
import { type Origin, originsIn, towersIn } from "./layouts.ts";
import type { ShapeSource } from "./tower.ts";
import { clipTower } from "./clip/tower.ts";

/** Tensors whose bytes can be read. */
export interface RawSource extends ShapeSource {
  readonly label: string;
  readRaw(name: string): Promise<Uint8Array>;
  readF32(name: string): Promise<Float32Array>;
}

/** Layouts in which a CLIP can be written. */
export const TARGET_LAYOUTS = ["openai", "huggingface"] as const;
export type TargetLayout = typeof TARGET_LAYOUTS[number];

/** A tensor made of others: rows of them one after the other, some rows of one, or a transpose. */
interface Piece extends Origin {
  /** Rows of the one tensor; all when absent. */
  readonly rows?: { readonly first: number; readonly count: number };
}

/** Names of transformers' `CLIPModel` from OpenAI's. A name that ends in "#" stands for the three thirds of a tensor's rows. */
const HUGGING_FACE: readonly (readonly [RegExp, string])[] = [
  [/^visual\.transformer\.resblocks\.(\d+)\./, "vision_model.encoder.layers.$1."],
  [/^transformer\.resblocks\.(\d+)\./, "text_model.encoder.layers.$1."],
  [/\.attn\.in_proj_(weight|bias)$/, ".self_attn.$1#"],
  [/\.attn\.out_proj\./, ".self_attn.out_proj."],
  [/\.ln_([12])\./, ".layer_norm$1."],
  [/\.mlp\.c_fc\./, ".mlp.fc1."],
  [/\.mlp\.c_proj\./, ".mlp.fc2."],
  [/^visual\.class_embedding$/, "vision_model.embeddings.class_embedding"],
  [/^visual\.conv1\./, "vision_model.embeddings.patch_embedding."],
  [/^visual\.positional_embedding$/, "vision_model.embeddings.position_embedding.weight"],
  [/^visual\.ln_pre\./, "vision_model.pre_layrnorm."],
  [/^visual\.ln_post\./, "vision_model.post_layernorm."],
  [/^visual\.proj$/, "visual_projection.weight"],
  [/^token_embedding\./, "text_model.embeddings.token_embedding."],
  [/^positional_embedding$/, "text_model.embeddings.position_embedding.weight"],
  [/^ln_final\./, "text_model.final_layer_norm."],
  [/^text_projection$/, "text_projection.weight"],
];
const TRANSPOSED = /^(visual\.proj|text_projection)$/;
/** Numbers beside the weights of OpenAI's archives, and a text tower's mask. */
const NO_WEIGHTS = /^(input_resolution|context_length|vocab_size|attn_mask)$/;

/**
 * A file's CLIP in another layout.
 *
 * @throws {DataError} where it holds no CLIP, or tensors that are no CLIP's.
 */
export function inLayout<Type>(
  source: RawSource & { dtypeOf(name: string): Type | undefined },
  layout: TargetLayout,
): RawSource & { dtypeOf(name: string): Type | undefined } {
  const openAi = underOpenAiNames(source);
  const pieces = layout === "openai" ? openAi : inHuggingFace(openAi);
  const read = async <Values extends Uint8Array | Float32Array>(
    name: string,
    of: (name: string) => Promise<Values>,
  ): Promise<Values> => {
    const piece = pieces.get(name)!, parts: Values[] = [];
    for (const from of piece.from) parts.push(await of(from));
    return assembled(parts, piece);
  };
  return {
    label: source.label,
    names: () => pieces.keys(),
    shapeOf: (name) => pieces.get(name)?.shape,
    dtypeOf: (name) => pieces.has(name) ? source.dtypeOf(pieces.get(name)!.from[0]) : undefined,
    readRaw: (name) => read(name, (from) => source.readRaw(from)),
    readF32: (name) => read(name, (from) => source.readF32(from)),
  };
}

function underOpenAiNames(source: RawSource): Map<string, Piece> {
  const refuse = (what: string) =>
    new DataError(`Cannot convert "${source.label}" to another layout: ${what}`);
  const towers = towersIn(source),
    found = towers.length === 1 ? towers[0] : towers.find(({ prefix }) => prefix === "");
  if (!found) {
    throw refuse(
      `it must hold one CLIP, it holds ${towers.length === 0 ? "none" : towers.length} of a known layout`,
    );
  }
  const pieces = new Map<string, Piece>();
  for (const [name, origin] of originsIn(source, found)) {
    if (NO_WEIGHTS.test(name)) continue;
    if (!clipTower.names.some((pattern) => pattern.test(name))) {
      throw refuse(`tensor "${shorten(name)}" is no CLIP's`);
    }
    pieces.set(name, origin);
  }
  if (!pieces.has(clipTower.mark) || found.layout.title.startsWith("EVA")) {
    throw refuse("its image tower must be a CLIP's");
  }
  return pieces;
}

function inHuggingFace(openAi: ReadonlyMap<string, Piece>): Map<string, Piece> {
  const pieces = new Map<string, Piece>();
  for (const [name, piece] of openAi) {
    const renamed = HUGGING_FACE.reduce((text, [from, to]) => text.replace(from, to), name);
    if (TRANSPOSED.test(name)) {
      pieces.set(renamed, { ...piece, shape: [...piece.shape].reverse(), transposed: !piece.transposed });
    } else if (renamed.endsWith("#")) {
      const [block, kind] = [
        renamed.slice(0, renamed.lastIndexOf(".")),
        renamed.slice(renamed.lastIndexOf(".") + 1, -1),
      ];
      const [rows, ...rest] = piece.shape, third = rows / 3;
      ["q", "k", "v"].forEach((one, i) => {
        const own = piece.from.length === 3
          ? { from: [piece.from[i]] }
          : { from: piece.from, rows: { first: i * third, count: third } };
        pieces.set(`${block}.${one}_proj.${kind}`, { ...own, shape: [third, ...rest], transposed: false });
      });
    } else pieces.set(renamed, piece);
  }
  return pieces;
}

/** What a piece is, from all of the tensors that it is made of. Elements are as wide as they are. */
function assembled<Values extends Uint8Array | Float32Array>(
  parts: readonly Values[],
  { rows, shape, transposed }: Piece,
): Values {
  if (rows) {
    const [first] = parts, count = shape.slice(1).reduce((a, b) => a * b, rows.count);
    const width = first.length / (count * 3);
    const row = width * count / rows.count;
    return first.slice(rows.first * row, (rows.first + rows.count) * row) as Values;
  }
  if (transposed) return transposedBytes(parts[0], shape);
  if (parts.length === 1) return parts[0];
  const all = new (parts[0].constructor as new (length: number) => Values)(
    parts.reduce((sum, { length }) => sum + length, 0),
  );
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** A matrix of `shape` from its transpose; elements of any width. */
function transposedBytes<Values extends Uint8Array | Float32Array>(
  values: Values,
  [rows, columns]: readonly number[],
): Values {
  const out = values.slice() as Values, width = values.length / (rows * columns);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) {
      const from = (c * rows + r) * width;
      out.set(values.subarray(from, from + width), (r * columns + c) * width);
    }
  }
  return out;
}

/**
 * transformers' `config.json` of a CLIP of these weights; null where there are not both towers.
 *
 * @param told.heads Attention heads of either tower, where something tells them; else those of published towers, of 64 channels.
 */
export function huggingFaceConfig(
  source: ShapeSource,
  told: { activation: "quick_gelu" | "gelu"; heads?: { vision: number; text: number } },
): Record<string, unknown> | null {
  const { activation, heads } = told, vision = clipTower.wholeIn(source), text = clipTower.textIn(source);
  if (vision === null || text === null) return null;
  const shared = { hidden_act: activation, layer_norm_eps: 1e-5 };
  return {
    architectures: ["CLIPModel"],
    model_type: "clip",
    projection_dim: text.embedDim,
    logit_scale_init_value: 2.6592,
    text_config: {
      ...shared,
      model_type: "clip_text_model",
      hidden_size: text.width,
      intermediate_size: 4 * text.width,
      num_hidden_layers: text.layers,
      num_attention_heads: heads?.text ?? text.heads,
      max_position_embeddings: text.context,
      vocab_size: text.vocabulary,
      projection_dim: text.embedDim,
    },
    vision_config: {
      ...shared,
      model_type: "clip_vision_model",
      hidden_size: vision.width,
      intermediate_size: 4 * vision.width,
      num_hidden_layers: vision.layers,
      num_attention_heads: heads?.vision ?? vision.heads,
      image_size: vision.imageSize,
      patch_size: vision.patchSize,
      projection_dim: text.embedDim,
    },
  };
}
