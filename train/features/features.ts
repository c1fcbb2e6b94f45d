/**
 * Stored features: what the frozen backbone gives for the clips of a recipe, computed once and read in every epoch
 * (`sidenet extract`, `data.features`).
 *
 * A folder holds `features.json`, which says what determines the features, and shards `train-00000.safetensors`,
 * `val-00000.safetensors`. A shard of n entries holds `pixels` U8 `[n pictures S S 3]` (prepared, before normalisation),
 * `tap.K` F16 `[n T N C]` for every tapped block K, `label` I32 `[n]`, and paths and problems in its metadata. Entry
 * (e·clips + i)·copies + c is copy c of clip i of the list as epoch e sees it (copies: `data.num_sample`); validation has one
 * epoch and one copy.
 */

import { isFolder } from "../recipe/frame_cache.ts";
import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { colourJitterOperations } from "../../data/transforms/colour_jitter.ts";
import type { ClipRecord } from "../../data/datasets/list.ts";
import { filesOfWeights } from "../../data/checkpoint/sharded.ts";
import { sha256OfFile } from "../../data/sha256.ts";
import { reasonOf, textOfFileIfAny } from "../../data/files.ts";
import { parseJson, parseValue, textOfValue } from "../../data/schema.ts";
import { ConfigError, DataError } from "../../lib/errors.ts";
import { createModel, tapShape, towerSizes, type VideoModel } from "../../models/mod.ts";
import { modelSpec } from "../recipe/model.ts";
import { hasCaptions, listDigest } from "../feed/lists.ts";
import { pictureWindow } from "../feed/sampling.ts";
import type { Config } from "../recipe/config.ts";
import { clipsPerBatch } from "../tasks/session_options.ts";
import { floatKeys, type PictureForm, pictureForm, pictureShape, pictureValueBytes } from "./pictures.ts";

/** Name of the manifest. */
export const FEATURES_FILE = "features.json";
const FORMAT = "sidenet-features", VERSION = 1;
/** Key of a shard's metadata. */
export const SHARD_KEY = "sidenet.features";
/** Size of a shard, about. */
export const SHARD_BYTES = 2 ** 29;

/** The lists of a recipe that have features. */
export const FEATURE_SPLITS = ["train", "val"] as const;
export type FeatureSplit = typeof FEATURE_SPLITS[number];

/** The clips of both lists. */
export type FeatureClips = Readonly<Record<FeatureSplit, readonly ClipRecord[]>>;

const count = z.int().nonnegative(), size = z.int().positive();

const SPLIT_LAYOUT = z.object({
  clips: count,
  /** Views of a clip in an epoch. */
  copies: size,
  /** Clips times epochs times copies. */
  entries: count,
  /** In every shard but the last, which may be short. */
  entries_per_shard: size,
  shards: count,
}).refine(({ entries, entries_per_shard: each, shards }) => shards === Math.ceil(entries / each), {
  error: "must have as many shards as its entries fill",
});

/** How the entries of a list lie in shards. */
export type SplitLayout = z.infer<typeof SPLIT_LAYOUT>;

const WEIGHTS_FILE = z.object({
  sha256: z.string(),
  bytes: count,
  /** Last change, in milliseconds since 1970. */
  modified: z.number(),
});

/** What tells a file of weights without reading it. */
export type WeightsFile = z.infer<typeof WEIGHTS_FILE>;

const FEATURE_MANIFEST = z.object({
  format: z.literal(FORMAT),
  version: z.literal(VERSION),
  /** Recipe keys that determine the features, with their settled values; files and lists by content. */
  recipe: z.record(z.string(), z.unknown()),
  /** The file of the backbone's weights as it was; null for random weights. */
  weights: WEIGHTS_FILE.nullable(),
  /** Storage type of taps. */
  dtype: z.literal("F16"),
  /** Storage type of pictures; absent: U8. */
  pictures: z.literal("F32").optional(),
  /** Epochs of training views that are stored. */
  epochs: size,
  /** Of an entry: `[pictures S S 3]`, in F32 `[pictures 3 S S]`, and `[T N C]`. */
  shapes: z.object({ pixels: z.array(size).length(4), tap: z.array(size).length(3) }),
  /** Tapped blocks. */
  taps: z.array(count),
  splits: z.object({ train: SPLIT_LAYOUT, val: SPLIT_LAYOUT }),
}).refine(
  ({ epochs, splits: { train, val } }) =>
    train.entries === train.clips * train.copies * epochs && val.entries === val.clips * val.copies,
  { error: "must have an entry for each copy of a clip in each epoch" },
);

/** `features.json`. */
export type FeatureManifest = z.infer<typeof FEATURE_MANIFEST>;

const SHARD_INFO = z.object({
  /** `manifestId` of the features that it is a part of. */
  features: z.string(),
  /** Of each entry. */
  paths: z.array(z.string()),
  /** What had to be replaced in an entry. */
  problems: z.array(z.object({ entry: count, path: z.string(), problem: z.string() })),
  /** Entries of which nothing could be read, nor of another clip in their place: they are black. */
  bad: z.array(count),
});

/** What a shard's metadata says. */
export type ShardInfo = z.infer<typeof SHARD_INFO>;

/** Reads a shard's metadata. @throws {DataError} naming the file. */
export function parseShardInfo(text: string | undefined, path: string): ShardInfo {
  const fail = (what: string) => new DataError(`Cannot read "${path}": ${SHARD_KEY}: ${what}`);
  return parseJson(text ?? "null", SHARD_INFO, fail);
}

/** What ties shards to their manifest: a shard that was left behind by other features is none of these. */
export function manifestId({ recipe, epochs, splits }: FeatureManifest): string {
  return createHash("sha256").update(JSON.stringify([recipe, epochs, splits])).digest("hex").slice(0, 16);
}

/** Bytes of an entry in a shard. */
export function entryBytes(model: VideoModel, form: PictureForm = "U8"): number {
  const [rows, tokens, width] = tapShape(model, 1);
  const values = pictureShape(model, form).reduce((product, size) => product * size, 1);
  return values * pictureValueBytes(form) + model.tapped.length * rows * tokens * width * 2 + 4;
}

/** Path of a shard. */
export function shardPath(folder: string, split: FeatureSplit, shard: number): string {
  return join(folder, `${split}-${String(shard).padStart(5, "0")}.safetensors`);
}

/** Path of the first entries of a shard that is not whole yet. Once it is, this file is removed. */
export function unfinishedPath(folder: string, split: FeatureSplit, shard: number): string {
  return shardPath(folder, split, shard).replace(/safetensors$/, "unfinished.safetensors");
}

/** Entries of a shard, as a range of positions. */
export function shardRange(layout: SplitLayout, shard: number): { first: number; count: number } {
  const first = shard * layout.entries_per_shard;
  return { first, count: Math.min(layout.entries_per_shard, layout.entries - first) };
}

/** What keeps a recipe's clips from being stored as features: a key, what it must be and what it is. */
export function obstacleOf(
  { data, solver, network, system }: Config,
  model: VideoModel,
): { key: string; must: string; value: unknown } | null {
  if (hasCaptions({ system })) {
    return {
      key: "system",
      must: "be one of classes: features of clips with captions are not stored",
      value: system,
    };
  }
  if (solver.mixup) {
    return { key: "solver.mixup", must: "be false: mixed pictures have no stored features", value: true };
  }
  if (data.rand_erase) {
    return {
      key: "data.rand_erase",
      must: "be false: the noise comes after the stored pictures",
      value: true,
    };
  }
  // WebGPU writes whole words.
  const odd = tapShape(model, 1).every((size) => size % 2 === 1);
  return odd ? { key: "network.backbone.width", must: "be even", value: network.backbone?.width } : null;
}

/**
 * Fails where a recipe's clips cannot be stored as features.
 *
 * @throws {ConfigError} naming the key.
 */
export function checkStorable(config: Config, model: VideoModel): void {
  const obstacle = obstacleOf(config, model);
  if (obstacle === null) return;
  const { key, must, value } = obstacle;
  throw new ConfigError(
    `Cannot use stored features: ${key} must ${must}, current value is ${textOfValue(value)}`,
  );
}

/** Whether colour jitter changes a recipe's training views. */
function jitters({ data }: Config): boolean {
  return data.colour_jitter !== null && colourJitterOperations(data.colour_jitter) > 0;
}

/** The keys by which a recipe's training views are random, as `key=value`, and what each would have to be for them not to be. */
export function randomKeys(config: Config): { key: string; fixed: string }[] {
  const { data } = config;
  const keys: [key: string, value: unknown, random: boolean, fixed: unknown][] = [
    ["data.random_shift", data.random_shift, data.random_shift, false],
    ["data.dense", data.dense, data.dense, false],
    ["data.crop", data.crop, data.crop === "random_resized" || data.crop === "random", "centre"],
    ["data.flip", data.flip, data.flip !== "none", "none"],
    ["data.grey", data.grey, data.grey > 0, 0],
    ["data.rand_aug", data.rand_aug, data.rand_aug, false],
    ["data.colour_jitter", JSON.stringify(data.colour_jitter), jitters(config), null],
  ];
  return keys.flatMap(([key, value, random, fixed]) =>
    random ? [{ key: `${key}=${value}`, fixed: `${key}=${fixed}` }] : []
  );
}

/** Different views of a training clip in one epoch. */
export function storedCopies(config: Config): number {
  return randomKeys(config).length > 0 ? config.data.num_sample : 1;
}

/**
 * Epochs of training views to store.
 *
 * @param asked What the user said; undefined: nothing.
 * @throws {ConfigError} where that does not go with the recipe.
 */
export function storedEpochs(config: Config, asked: number | undefined): number {
  const random = randomKeys(config);
  if (random.length === 0) {
    if (asked === undefined || asked === 1) return 1;
    throw new ConfigError(
      `Cannot extract features: --epochs must be 1, current value is ${asked}: every epoch of this recipe sees the same views`,
    );
  }
  if (asked !== undefined) return asked;
  const list = (which: "key" | "fixed", by: string) => random.map((one) => one[which]).join(by);
  throw new ConfigError(
    `Cannot extract features: --epochs must say how many epochs of random views to store (solver.epochs is ${config.solver.epochs}), ` +
      `because of ${list("key", ", ")}; views are always the same with ${list("fixed", " ")}`,
  );
}

/** A manifest for a recipe, before anything is extracted. */
export async function makeManifest(
  config: Config,
  model: VideoModel,
  options: { clips: FeatureClips; epochs: number; shardBytes?: number },
): Promise<FeatureManifest> {
  const { clips, epochs, shardBytes = SHARD_BYTES } = options, form = pictureForm(config);
  const weights = await weightsFile(config, null),
    most = Math.max(1, Math.floor(shardBytes / entryBytes(model, form)));
  const batch = clipsPerBatch(config), copies = storedCopies(config);
  // Whole batches where a shard holds one: the GPU then never runs half empty. The copies of a clip stay together.
  const whole = most > batch ? most - most % batch : Math.max(copies, most - most % copies);
  const layout = (count: number, views: { epochs: number; copies: number }): SplitLayout => {
    const entries = count * views.epochs * views.copies;
    return {
      clips: count,
      copies: views.copies,
      entries,
      entries_per_shard: whole,
      shards: Math.ceil(entries / whole),
    };
  };
  return {
    format: FORMAT,
    version: VERSION,
    recipe: featureRecipe(config, { clips, weights }),
    weights,
    dtype: "F16",
    ...form === "F32" && { pictures: form },
    epochs,
    shapes: { pixels: pictureShape(model, form), tap: tapShape(model, 1) },
    taps: [...model.tapped],
    splits: {
      train: layout(clips.train.length, { epochs, copies }),
      val: layout(clips.val.length, { epochs: 1, copies: 1 }),
    },
  };
}

/** What determines the features of a recipe, in the order in which differences are told. */
function featureRecipe(
  config: Config,
  { clips, weights }: { clips: FeatureClips; weights: WeightsFile | null },
): Record<string, unknown> {
  const { data, network, seed } = config, window = pictureWindow(config);
  // The seed counts where something is drawn: weights, views or the clips themselves.
  const draws = weights === null || randomKeys(config).length > 0 || data.shots !== null;
  return {
    "system": config.system,
    "network.arch": network.arch,
    "network.backbone": towerSizes(config.network),
    "network.weights": weights === null ? "random" : `sha256 ${weights.sha256}`,
    "precision": config.precision,
    "seed": draws ? seed : null,
    "data.modality": data.modality,
    "data.image_tmpl": data.modality === "video" ? null : data.image_tmpl,
    "data.first_frame": data.modality === "video" ? null : data.first_frame,
    "data.frame_cache_side": isFolder(data.frame_cache) ? data.frame_cache_side : null,
    "data.num_segments": data.num_segments,
    "data.num_diff": window?.size ?? null,
    "data.window_edge": window?.edge ?? null,
    "data.family": data.family,
    ...floatKeys(config),
    ...sparseKeys(config),
    "data.random_shift": data.random_shift,
    "data.dense": data.dense,
    "data.resize": data.resize,
    "data.crop": data.crop,
    "data.flip": data.flip,
    "data.grey": data.grey,
    "data.rand_aug": data.rand_aug,
    "data.colour_jitter": jitters(config) ? data.colour_jitter : null,
    "data.num_sample": storedCopies(config),
    "data.shots": data.shots,
    "data.synth": motionsOf(data.synth),
    "data.train_list": listDigest(clips.train),
    "data.val_list": listDigest(clips.val),
  };
}

/** Which frames and blocks a tower is asked for, where its system reads other frames too: the others' features lack these keys. */
function sparseKeys(config: Config): Record<string, unknown> {
  const { tapFrames, tapped } = createModel({ ...modelSpec(config), taps: "stored" });
  const { frame_ratio: ratio } = config.data as Record<string, unknown>;
  return tapFrames === undefined ? {} : { "data.frame_ratio": ratio, "network.selected_layers": [...tapped] };
}

/** The synthetic set without the keys of clips with captions, of which no features are stored: older features lack them too. */
function motionsOf(synth: Config["data"]["synth"]): object | null {
  if (synth === null) return null;
  const { kind: _kind, shapes: _shapes, colours: _colours, paces: _paces, ...motions } = synth;
  return motions;
}

/**
 * The file of a recipe's backbone weights; null for random ones. Where it is as large and as old as a known one, it is
 * taken for that without its tensors being read; where it is not there at all, too.
 */
async function weightsFile({ network }: Config, known: WeightsFile | null): Promise<WeightsFile | null> {
  const path = network.init ? network.weights : null;
  if (path === null) return null;
  let files: string[], bytes = 0, modified = 0;
  try {
    await stat(path);
    files = await filesOfWeights(path);
    for (const file of files) {
      const info = await stat(file);
      bytes += info.size;
      modified = Math.max(modified, info.mtimeMs);
    }
  } catch (error) {
    if (known !== null) return known;
    throw error instanceof DataError ? error : new DataError(`Cannot open "${path}": ${reasonOf(error)}`);
  }
  if (known !== null && known.bytes === bytes && known.modified === modified) return known;
  const digests: string[] = [];
  for (const file of files) digests.push(await sha256OfFile(file));
  const sha256 = digests.length === 1
    ? digests[0]
    : createHash("sha256").update(digests.join("\n")).digest("hex");
  return { sha256, bytes, modified };
}

/** Reads the manifest of a folder. @returns null where there is none. */
export async function readManifest(folder: string): Promise<FeatureManifest | null> {
  const path = join(folder, FEATURES_FILE);
  const text = await textOfFileIfAny(path);
  if (text === null) return null;
  const refuse = (what: string) => new DataError(`Cannot read "${path}": ${what}; extract into a new folder`);
  const written = parseJson(text, z.record(z.string(), z.unknown()), refuse);
  if (written.format !== FORMAT) throw refuse("it must be a manifest of features written by sidenet extract");
  return parseValue(written, FEATURE_MANIFEST, refuse);
}

/** The first recipe key in which features and a recipe differ, with both values. */
export interface FeatureDifference {
  key: string;
  stored: string;
  current: string;
}

/** Compares features with a recipe. @returns null where they go together. */
export async function differenceFrom(
  manifest: FeatureManifest,
  config: Config,
  clips: FeatureClips,
): Promise<FeatureDifference | null> {
  const wanted = featureRecipe(config, { clips, weights: await weightsFile(config, manifest.weights) });
  for (const key of new Set([...Object.keys(wanted), ...Object.keys(manifest.recipe)])) {
    // null is "off", which is what a key that one side does not know yet is there.
    const [stored, current] = [manifest.recipe[key], wanted[key]].map((value) =>
      JSON.stringify(value ?? null)
    );
    if (stored !== current) return { key, stored, current };
  }
  return null;
}
