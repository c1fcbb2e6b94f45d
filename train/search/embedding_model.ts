/**
 * The network that an index is made with: a trained one for retrieval, or a CLIP checkpoint as it is, which compares pictures with
 * sentences without any training. And what tells one such network from another.
 */

import { createHash } from "node:crypto";
import { openWeights } from "../../data/checkpoint/open.ts";
import { filesOfWeights } from "../../data/checkpoint/sharded.ts";
import type { IndexModel } from "../../data/search_index/manifest.ts";
import { sha256OfFile } from "../../data/sha256.ts";
import { ConfigError, DataError } from "../../lib/errors.ts";
import { clipSizesIn } from "../../models/clip_system.ts";
import { identify } from "../../models/identify.ts";
import { systemOf } from "../../models/registry.ts";
import { FLOAT_FAMILY } from "../../models/system.ts";
import type { ShapeSource, TowerSizes } from "../../models/tower.ts";
import { TOWER_PRESETS } from "../../models/towers.ts";
import { findTrainedModel, type LocateBackbone } from "../evaluation/trained_model.ts";
import { settleBackbone } from "../files/backbone.ts";
import { recipeOf } from "../files/run_state.ts";
import { type Config, configFrom } from "../recipe/config.ts";
import { taskOfRecipe } from "../tasks/session_options.ts";

/** A network that compares clips with sentences, before a GPU is opened. */
export interface EmbeddingModel {
  /** Its file of weights. */
  readonly weights: string;
  readonly config: Config;
  /** A CLIP checkpoint as it is: there are no weights but those of `network.weights`. */
  readonly isPlain: boolean;
  /** What may be wrong with it, one line each. */
  readonly warnings: readonly string[];
}

/** What the user said of a model. */
export interface AskedModel {
  /** Run folder or checkpoint. */
  target: string;
  /** Recipe instead of the model's own. */
  config: string | null;
  overrides: readonly string[];
  /** Finds the backbone's file of a trained network, where its weights do not hold it. */
  locate?: LocateBackbone;
}

/** The system of CLIP's own two towers, and the task of networks that compare clips with sentences. */
const PLAIN_SYSTEM = "clip", TASK = "retrieval";
/** CLIP's token ids: a table with fewer rows holds some of them, and does not say which. */
const VOCABULARY = 49408;

/**
 * Finds a network for retrieval.
 *
 * @throws {ConfigError} where the target is a network of another kind
 */
export async function findEmbeddingModel(asked: AskedModel): Promise<EmbeddingModel> {
  const { target, config, overrides, locate } = asked;
  const plain = config === null ? await plainRecipe(target, overrides) : null;
  if (plain !== null) return { weights: target, isPlain: true, ...plain };
  const found = await findTrainedModel(target, { config: config ?? undefined, overrides, locate });
  if (taskOfRecipe(found.config).id !== TASK) {
    throw new ConfigError(
      `Cannot compare clips with sentences: "${target}" must be a network for retrieval, or a CLIP checkpoint with its text tower, ` +
        `it is a ${systemOf(found.config.system).title} network for ${taskOfRecipe(found.config).id}`,
    );
  }
  return { weights: found.weights, config: found.config, isPlain: false, warnings: found.remarks };
}

/** Whether a path is a checkpoint of a backbone as it is, which has no recipe and names no classes of its own. */
export async function isBackboneAlone(path: string): Promise<boolean> {
  if (!(await Deno.stat(path).catch(() => null))?.isFile) return false;
  await using file = await openWeights(path);
  return holdsBackboneAlone(file);
}

/** Whether there is no trained network, which comes with a recipe. */
function holdsBackboneAlone(file: Awaited<ReturnType<typeof openWeights>>): boolean {
  if (recipeOf(file) !== null) return false;
  const { holdsTrained, holdsBackbone } = identify(file);
  return holdsBackbone && !holdsTrained;
}

/** The recipe of a checkpoint that holds CLIP's two towers and nothing that was trained beside them; null: it is none. */
async function plainRecipe(
  path: string,
  overrides: readonly string[],
): Promise<Pick<EmbeddingModel, "config" | "warnings"> | null> {
  if (!(await Deno.stat(path).catch(() => null))?.isFile) return null;
  await using file = await openWeights(path);
  if (!holdsBackboneAlone(file)) return null;
  const keys = keysOf(file);
  if (keys === null) {
    const { backbone } = identify(file);
    throw new DataError(
      `Cannot compare clips with sentences: "${path}" must hold both towers of a CLIP model, it holds the image tower ${backbone} ` +
        `and no text tower of a known layout beside it`,
    );
  }
  const { data, network } = keys;
  const { config } = configFrom(
    { system: PLAIN_SYSTEM, data, network: { ...network, train: "none", weights: path } },
    { source: path, overrides },
  );
  return await settleBackbone(config);
}

/** The keys of a recipe that describe the towers in a file; null where there are not both. */
function keysOf(file: ShapeSource) {
  const sizes = clipSizesIn(file, { frames: 1, words: Infinity });
  if (sizes === null) return null;
  const { backbone, text: { width, heads, layers, context, vocabulary, embedDim } } = sizes;
  if (vocabulary !== VOCABULARY) {
    throw new ConfigError(
      `Cannot use the text tower: its table must have CLIP's ${VOCABULARY} tokens, current count is ${vocabulary}; ` +
        `give --config with a recipe that names them (network.tokens)`,
    );
  }
  const arch = Object.entries(TOWER_PRESETS).find(([, preset]) =>
    Object.entries(preset).every(([key, value]) => backbone[key as keyof TowerSizes] === value)
  )?.[0];
  const { imageSize, patchSize, ...shape } = backbone;
  const custom = { image_size: imageSize, patch_size: patchSize, ...shape };
  return {
    data: { max_words: context },
    network: {
      ...arch === undefined ? { arch: "custom", backbone: custom } : { arch },
      text: { width, heads, layers, context, vocabulary: null },
      embed_dim: embedDim,
    },
  };
}

/** What an index keeps of its model. Reads the files of weights. */
export async function indexModel(model: EmbeddingModel, asked: AskedModel): Promise<IndexModel> {
  const { target, config, overrides } = asked;
  return { target, config, overrides: [...overrides], identity: await identityOf(model) };
}

/** Keys of a recipe's data that determine what the network sees of a clip. */
const SEEN = ["num_segments", "family", "dense", "resize", "crop", "input_size", "first_frame"] as const;

/** The same of the family dist alone. */
const SEEN_OF_FLOATS = ["frame_rule", "frame_interval", "target_fps", "minus_interval", "test_side"] as const;

/** A digest of all that determines the features of a clip and of a sentence: weights by content, and settings. */
export async function identityOf({ weights, config, isPlain }: EmbeddingModel): Promise<string> {
  const { system, precision, network, data, seed } = config,
    { weights: backbone, init, ...ofNetwork } = network;
  const named = isPlain ? [] : [weights];
  if (backbone !== null && init) named.push(backbone);
  const digests: string[] = [];
  for (const path of named) {
    for (const file of await filesOfWeights(path)) digests.push(await sha256OfFile(file));
  }
  const own = Object.keys(systemOf(system).recipe.keys.data ?? {});
  const ofFamily = data.family === FLOAT_FAMILY ? SEEN_OF_FLOATS : [];
  const seen = [...SEEN, ...ofFamily, ...own].map((key) => [key, (data as Record<string, unknown>)[key]]);
  const isRandom = backbone === null || !init;
  const settings = [system, precision, ofNetwork, seen, digests, isRandom ? seed : null];
  return createHash("sha256").update(JSON.stringify(settings)).digest("hex");
}
