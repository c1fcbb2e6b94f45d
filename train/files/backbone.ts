/**
 * A recipe's backbone file before a run: its layout, and the activation of its tower, which no weight tells. A configuration
 * beside the file does (transformers' `config.json`, open_clip's `open_clip_config.json`), and so do OpenAI's own files.
 */

import { basename, dirname, join } from "node:path";
import { stat } from "node:fs/promises";
import { z } from "zod";
import { type OpenWeights, openWeights } from "../../data/checkpoint/open.ts";
import { ConfigError } from "../../lib/errors.ts";
import { fitTower } from "../../models/backbone_file.ts";
import { backboneIn } from "../../models/identify.ts";
import { textOfFile } from "../../data/files.ts";
import { knownByHash } from "../../models/known_files.ts";
import { createModel } from "../../models/create.ts";
import { checkAccount } from "../../models/params.ts";
import type { BackboneKeys } from "../../models/tower.ts";
import { explainBackbone, TOWER_KEYS, towerOf, towerSizes } from "../../models/towers.ts";
import type { Config } from "../recipe/config.ts";
import { modelSpec } from "../recipe/model.ts";
import { recipeOf } from "./run_state.ts";

/** What a tower's MLPs compute, as recipes spell it. */
type Activation = "quick_gelu" | "gelu";

/** A recipe whose backbone is settled, and what there is to say about it. */
export interface SettledBackbone {
  config: Config;
  /** What was read and done, one line each. */
  notes: string[];
  /** What may be wrong, one line each. */
  warnings: string[];
}

/** Where an activation was told. */
export interface Told {
  activation: Activation;
  /** The file that says it, or "OpenAI's layout"; null: nothing does. */
  by: string | null;
}

/**
 * Settles the activation of a recipe's backbone and says how its file is read. A recipe without weights stays as it is, and so
 * does one whose weights are not here: their features may be stored.
 *
 * @param options.sha256 Of the file, where it is known.
 * @throws {DataError} where the file cannot be read, or does not hold the recipe's tower.
 */
export async function settleBackbone(
  config: Config,
  options: { sha256?: string } = {},
): Promise<SettledBackbone> {
  const { network } = config, { weights, init } = network;
  const settled: SettledBackbone = { config, notes: [], warnings: [] };
  if (weights === null || !init) return settled;
  if (await stat(weights).then(() => false, () => true)) return settled; // told by what needs it
  const sizes = towerSizes(network);
  await using file = await openWeights(weights);
  const { source, layout, remarks } = fitTower(file, sizes);
  const { weights: declared, unusedInBackbone: ignore, text } = createModel(modelSpec(config));
  checkAccount(declared.list.filter(({ pretrained }) => pretrained), source, {
    ignore,
    explain: (wrong) => explainBackbone(wrong, { text: text !== undefined }),
  });
  settled.notes.push(...remarks);
  if (layout !== null && layout !== "OpenAI") settled.notes.push(`"${weights}" is laid out as ${layout}`);
  if (!towerOf(sizes).options.includes("activation")) return settled;

  const keys: BackboneKeys = network.backbone ?? z.object(TOWER_KEYS).parse({});
  const given = keys.activation;
  const told = await activationOf(file, options.sha256);
  if (given !== "auto") {
    if (told.by !== null && told.activation !== given) {
      settled.warnings.push(
        `network.backbone.activation is ${given}, ${told.by} says ${told.activation}: the recipe's is used`,
      );
    }
    return settled;
  }
  if (told.by === null) settled.warnings.push(assumed(weights));
  else if (told.by !== OPENAI) settled.notes.push(`activation ${told.activation}, from "${told.by}"`);
  const backbone = { ...keys, activation: told.activation };
  settled.config = { ...config, network: { ...network, backbone } };
  return settled;
}

const OPENAI = "OpenAI's layout";

function assumed(path: string): string {
  return `"${path}" does not say the activation of its tower: quick_gelu is assumed, as in OpenAI's files; most others of ` +
    `open_clip's need network.backbone.activation=gelu`;
}

/** Numbers that stand among the tensors of OpenAI's archives, and of what was converted from them. */
const OPENAI_NUMBERS = ["input_resolution", "context_length", "vocab_size"];

/**
 * The activation of the CLIP tower in a file. Only a configuration of that very tower counts, not of a neighbour's.
 *
 * @throws {ConfigError} where a configuration names another activation.
 */
export async function activationOf(file: OpenWeights, sha256: string | undefined): Promise<Told> {
  const isOpenAi = file.format === "torchscript" || OPENAI_NUMBERS.every((name) => file.shapeOf(name)) ||
    (sha256 !== undefined && knownByHash(sha256) !== undefined);
  if (isOpenAi) return { activation: "quick_gelu", by: OPENAI };
  const own = recipeOf(file)?.config;
  if (isObject(own)) return { activation: activationInRecipe(own), by: file.label };
  const isTransformers = backboneIn(file)?.layout.startsWith("Hugging Face") ?? false;
  const names = ["config.json", "open_clip_config.json"];
  for (const name of isTransformers ? names : names.reverse()) {
    const path = join(dirname(file.label), name), json = await readJson(path);
    const activation = json === null ? null : activationIn(json, { path, file });
    if (activation !== null) return { activation, by: path };
  }
  return { activation: "quick_gelu", by: null };
}

type Json = Record<string, unknown>;

/** The activation of a tower that was trained here, by the run's recipe. */
function activationInRecipe({ network }: Json): Activation {
  const backbone = isObject(network) ? network.backbone : null;
  return isObject(backbone) && backbone.activation === "gelu" ? "gelu" : "quick_gelu";
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** No configuration of a model is larger. */
const MOST_CONFIG_BYTES = 2 ** 20;

/** A configuration; null where there is none, or something else under its name. */
async function readJson(path: string): Promise<Json | null> {
  try {
    const json: unknown = JSON.parse(await textOfFile(path, MOST_CONFIG_BYTES));
    return isObject(json) ? json : null;
  } catch {
    return null;
  }
}

/** What a configuration says about the activation; null where it is another tower's, or no tower's. */
function activationIn(json: Json, { path, file }: { path: string; file: OpenWeights }): Activation | null {
  // open_clip: `quick_gelu` beside `vision_cfg`, in `model_cfg` or at the top; false when absent.
  const model = isObject(json.model_cfg) ? json.model_cfg : json;
  if (isObject(model.vision_cfg)) {
    const { width, layers, patch_size: patchSize, timm_model_name: timm } = model.vision_cfg;
    if (!isOf(file, { width, layers, patchSize })) return null;
    return model.quick_gelu === true || isQuick(timm) ? "quick_gelu" : "gelu";
  }
  // timm: the architecture's name.
  if (typeof json.architecture === "string") {
    return /clip/.test(json.architecture) ? (isQuick(json.architecture) ? "quick_gelu" : "gelu") : null;
  }
  // transformers: `hidden_act` of the image tower; what equals the default may be left out.
  const isClip = typeof json.model_type === "string" && /^clip/.test(json.model_type);
  const vision = isObject(json.vision_config) ? json.vision_config : isClip ? json : null;
  if (vision === null) return null;
  const { hidden_size: width, num_hidden_layers: layers, patch_size: patchSize } = vision;
  if (!isOf(file, { width, layers, patchSize })) return null;
  const { hidden_act: activation = "quick_gelu" } = vision;
  if (activation === "quick_gelu" || activation === "gelu") return activation;
  throw new ConfigError(
    `Cannot use "${
      basename(file.label)
    }": hidden_act in "${path}" must be quick_gelu or gelu, current value is ` +
      `${
        JSON.stringify(activation).slice(0, 80)
      }; network.backbone.activation takes one of them all the same`,
  );
}

function isQuick(name: unknown): boolean {
  return typeof name === "string" && /quickgelu/i.test(name);
}

/** Whether sizes, as far as they are given, are those of a file's tower. */
function isOf(file: OpenWeights, given: Record<"width" | "layers" | "patchSize", unknown>): boolean {
  const sizes = backboneIn(file)?.sizes ?? null;
  return sizes !== null &&
    (["width", "layers", "patchSize"] as const).every((key) =>
      typeof given[key] !== "number" || given[key] === sizes[key]
    );
}
