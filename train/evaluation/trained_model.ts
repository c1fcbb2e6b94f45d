/** A trained model as the user names it, a run folder or a checkpoint: its recipe, its class names, its weights on a GPU. */

import type { TellStage } from "../../lib/stage.ts";
import { basename, dirname, join } from "node:path";
import { ConfigError, DataError } from "../../lib/errors.ts";
import type { ClipRecord } from "../../data/datasets/list.ts";
import { type ClassTextValues, readClassTexts, writeClassTexts } from "../files/class_texts.ts";
import {
  checkTrained,
  holdsBackbone,
  loadBackbone,
  loadOwnBackbone,
  loadTrained,
  type OpenCheckpoint,
  openCheckpoint,
} from "../files/checkpoint.ts";
import { recipeOf } from "../files/run_state.ts";
import { type Config, configFrom, loadConfig } from "../recipe/config.ts";
import { requireKnownCrops, viewCount, type Views } from "./evaluate.ts";
import { largestFrame } from "../feed/probe.ts";
import { settleBackbone } from "../files/backbone.ts";
import { loadRunConfig, locateRunFiles } from "../files/run_config.ts";
import { requireRunFolder, RUN_FILES, weightsOfRun } from "../files/run_folder.ts";
import { createModel, type WeightSource } from "../../models/mod.ts";
import { shapesUnderOwnNames, underOwnNames } from "../../models/parts/file_names.ts";
import { systemOf } from "../../models/registry.ts";
import type { VideoModel } from "../../models/video_model.ts";
import { openSession } from "../runtime/open_session.ts";
import type { Query } from "../runtime/query.ts";
import type { Session } from "../runtime/session.ts";
import { clipsPerBatch, evaluationOptions, halvesNeed } from "../tasks/session_options.ts";
import type { TunedChoices } from "../runtime/device/tuned.ts";
import { classNames } from "../feed/lists.ts";
import { modelSpec } from "../recipe/model.ts";

/** What is known of a trained model before a GPU is opened. */
export interface TrainedModel {
  /** The file of weights. */
  weights: string;
  config: Config;
  labels: string[];
  /** Sentences by class to compare clips with, instead of the names that it was trained with. */
  prompts?: readonly (readonly string[])[];
  /** Remarks on the files of a recipe that was given, and on what the weights say otherwise; one line each. */
  remarks: string[];
  /** Where results about it go: the run folder, or a name beside the checkpoint. */
  resultPath(name: string): string;
}

/**
 * Finds the backbone's file of a recipe, which may be asked for by name.
 *
 * @param from.isRecorded The recipe is a run's own, and may come from another machine.
 */
export type LocateBackbone = (config: Config, from: { isRecorded: boolean }) => Promise<Config>;

/**
 * Finds recipe and class names.
 *
 * @param target Run folder, or safetensors file: one written by sidenet, or any with `options.config`.
 * @param options.config Recipe instead of the model's own.
 * @param options.overrides `key=value` arguments on top of it.
 * @param options.locate Finds the backbone's file, where the weights do not hold it themselves.
 */
export async function findTrainedModel(
  target: string,
  options: { config?: string; overrides?: readonly string[]; locate?: LocateBackbone } = {},
): Promise<TrainedModel> {
  const info = await Deno.stat(target).catch(() => null);
  if (info === null) {
    throw new DataError(`Cannot open "${target}": it must be a run folder or a checkpoint, nothing is there`);
  }
  if (info.isDirectory && options.config === undefined) await requireRunFolder(target);
  const weights = info.isDirectory ? await weightsOfRun(target) : target;
  await using source = await openCheckpoint(weights);
  const name = basename(weights);
  if (name.endsWith(RUN_FILES.state)) {
    const instead = name === RUN_FILES.state ? RUN_FILES.best : name.replace(RUN_FILES.state, "safetensors");
    throw new ConfigError(
      `Cannot open "${target}": it must hold a model's weights, this is the state to go on training from; take ${instead} beside it`,
    );
  }
  const recipe = recipeOf(source);
  const { overrides = [] } = options;
  // A run's own recipe has its backbone settled.
  const given = options.config === undefined ? null : await loadConfig(options.config, overrides);
  const locate = async (config: Config, isRecorded: boolean) =>
    options.locate === undefined || holdsOwnBackbone(config, source)
      ? config
      : await options.locate(config, { isRecorded });
  const config = given !== null
    ? (await settleBackbone(await locate(given.config, false))).config
    : await locate(
      info.isDirectory
        ? (await loadRunConfig(target, overrides)).config
        : await recipeInside(weights, recipe?.config ?? null, overrides),
      true,
    );
  const { config: fitting, correction } = fittedTo(config, source);
  const ownLabels = options.config === undefined && recipe?.labels.length === config.data.num_classes &&
    !overrides.some((override) => override.startsWith("data.label_list="));
  const stem = basename(weights).replace(/\.(safetensors|pt|pth|bin|pyth)$/, "");
  return {
    weights,
    config: fitting,
    labels: ownLabels ? recipe!.labels : await classNames(config),
    remarks: [...given?.onFiles ?? [], ...correction],
    resultPath: (name) => info.isDirectory ? join(target, name) : join(dirname(weights), `${stem}_${name}`),
  };
}

function holdsOwnBackbone(config: Config, source: WeightSource): boolean {
  return holdsBackbone(source, { model: createModel(modelSpec(config)), system: systemOf(config.system) });
}

/** Whether a model compares clips with the texts of its classes, and so can take others. */
export function readsClassTexts({ config }: Pick<TrainedModel, "config">): boolean {
  return createModel(modelSpec(config)).classTexts !== undefined;
}

/** Such a model with other classes, by sentences about them. */
export function withClasses(
  model: TrainedModel,
  { labels, prompts }: { labels: string[]; prompts: readonly (readonly string[])[] },
): TrainedModel {
  const { config } = model, data = { ...config.data, num_classes: labels.length, label_list: null };
  return { ...model, config: { ...config, data }, labels, prompts };
}

/** A recipe with what the names and shapes of its system's checkpoint tell otherwise. */
function fittedTo(config: Config, source: WeightSource): { config: Config; correction: string[] } {
  const { files } = systemOf(config.system), told = files.keysIn?.(shapesUnderOwnNames(source, files)) ?? {};
  const wrong = Object.entries(told).filter(([key, value]) => valueAt(config, key) !== value);
  if (wrong.length === 0) return { config, correction: [] };
  const keys = wrong.map(([key, value]) => `${key}=${value}`);
  // The classifier's width follows that of the side network.
  const overrides = [...keys, "network.n_emb=null"];
  const { config: fitted } = configFrom(config, { source: source.label, overrides });
  return {
    config: fitted,
    correction: [`the weights are of another network than the recipe's: ${keys.join(" ")} is used`],
  };
}

function valueAt(config: Config, key: string): unknown {
  const [section, name] = key.split(".");
  return (config as unknown as Record<string, Record<string, unknown>>)[section][name];
}

/** The recipe that a checkpoint holds. */
async function recipeInside(weights: string, recipe: unknown, overrides: readonly string[]) {
  if (recipe === null) {
    throw new ConfigError(
      `Cannot open "${weights}": a checkpoint that holds no recipe must come with one, give it with --config`,
    );
  }
  const { config } = configFrom(recipe, { source: weights, overrides });
  return await locateRunFiles(config, { folder: dirname(weights), overrides });
}

/** Views in one GPU batch: the recipe's batch, in whole clips where one fits, and no more than there is to do. */
export function viewBatch(config: Config, views: Views | null, clips: number): number {
  requireKnownCrops(config, views);
  const each = viewCount(views), most = Math.min(clipsPerBatch(config), clips * each);
  return each >= most ? most : most - most % each;
}

/**
 * Opens a GPU session for evaluation alone, with the model's weights in it.
 *
 * @param options.queries What else is asked of the model; by default what the evaluation of its task asks.
 */
export async function openTrainedModel(
  { weights, config, labels = [], prompts }:
    & Pick<TrainedModel, "weights" | "config">
    & Partial<Pick<TrainedModel, "labels" | "prompts">>,
  options: {
    clips: readonly ClipRecord[];
    root: string;
    batch: number;
    queries?: readonly Query[];
    choices?: TunedChoices;
    /** Told what is being done. */
    stage?: TellStage;
    /** Ends it before the session is open. */
    signal?: AbortSignal;
  },
): Promise<Session> {
  const model = createModel(modelSpec(config)), system = systemOf(config.system);
  const { stage, choices, signal } = options;
  stage?.({ what: "looking at the clips" });
  const frame = await largestFrame(config, [[options.root, options.clips]], {
    anySize: true,
    signal,
    stage,
  });
  await using source = await openCheckpoint(weights);
  const texts = await classTextsFor(config, { model, source, labels, prompts, signal });
  const load = { system, head: "strict", except: [...texts?.keys() ?? []], signal } as const;
  checkTrained(model, source, load); // before the GPU compiles anything
  const { session } = await openSession(
    model,
    evaluationOptions(config, { clips: options.batch, largestFrame: frame, queries: options.queries }),
    { clipsPerVideo: config.data.num_sample, halves: halvesNeed(config), choices, stage, signal },
  );
  stage?.({ what: "loading the weights" });
  try {
    const { weights: backbone, init } = config.network;
    if (!await loadOwnBackbone(session, source, { system, signal })) {
      if (backbone !== null && init) await loadBackbone(session, backbone, { signal });
      else await session.initialise(config.seed); // the backbone that the run was trained beside
    }
    await loadTrained(session, source, load);
    await writeClassTexts(session, texts);
    return session;
  } catch (error) {
    await session[Symbol.asyncDispose]();
    throw error;
  }
}

/** The texts of classes where they are not in the checkpoint, or those are of other classes; null: they are, or none are read. */
async function classTextsFor(
  config: Config,
  { model: { classTexts }, source, labels, prompts, signal }: {
    model: VideoModel;
    source: OpenCheckpoint;
    labels: readonly string[];
    prompts?: readonly (readonly string[])[];
    signal?: AbortSignal;
  },
): Promise<ClassTextValues | null> {
  if (!classTexts) return null;
  const kept = underOwnNames(source, systemOf(config.system).files).shapeOf(classTexts.features);
  const isOwn = prompts === undefined && recipeOf(source)?.labels.join("\n") === labels.join("\n");
  return kept && isOwn ? null : await readClassTexts(config, { labels, prompts, own: source, signal });
}
