/** A trained model in a page: what its files are, its recipe, its weights on the GPU of this thread. */
import { openCheckpointFile, type OpenWeights, selectWeights } from "../data/checkpoint/contents.ts";
import { giveVocabulary, hasVocabulary } from "../data/text/vocabulary.ts";
import { type Gpu, openGpu } from "../gpu/device.ts";
import { AdapterError, DataError } from "../lib/errors.ts";
import { identify } from "../models/identify.ts";
import { createModel, systemOf } from "../models/mod.ts";
import type { VideoModel } from "../models/video_model.ts";
import {
  checkTrained,
  holdsBackbone,
  loadBackboneFrom,
  loadOwnBackbone,
  loadTrained,
} from "../train/files/load_weights.ts";
import { recipeOf, wordsOf } from "../train/files/run_state.ts";
import { modelSpec } from "../train/recipe/model.ts";
import { type Config, settledRecipe } from "../train/recipe/settled.ts";
import { type Device, LocalDevice } from "../train/runtime/device/device.ts";
import { planFittingSession } from "../train/runtime/fit.ts";
import { Session } from "../train/runtime/session.ts";
import { evaluationOptions, halvesNeed, taskOfRecipe } from "../train/tasks/session_options.ts";
import type { Task } from "../train/tasks/task.ts";
import type { ModelFacts } from "./protocol.ts";
import { searchQueries } from "./sentences.ts";

/** Weights of an open file. */
type Weights = Omit<OpenWeights, typeof Symbol.asyncDispose>;

/** A model as its file tells it. */
export interface KnownModel {
  readonly weights: Weights;
  readonly config: Config;
  readonly labels: readonly string[];
  readonly model: VideoModel;
  readonly task: Task;
  readonly facts: ModelFacts;
}

/** A model on the GPU. */
export interface LoadedModel {
  readonly config: Config;
  readonly labels: readonly string[];
  readonly task: Task;
  readonly model: VideoModel;
  readonly session: Session;
  readonly gpu: Gpu;
  readonly compileMs: number;
}

/** Frames that the upload buffers are made for at first; larger ones make them grow. */
const USUAL_FRAME = { width: 340, height: 256 };
/** Windows that go through the GPU at once; one at a time where a CPU computes. */
const AT_ONCE = 4;

/** Opens the weights of a file of the user's. */
export async function openFile(file: Blob & { readonly name: string }): Promise<Weights> {
  const source = {
    sizeBytes: file.size,
    read: async (offset: number, length: number) =>
      new Uint8Array(await file.slice(offset, offset + length).arrayBuffer()),
  };
  return selectWeights(await openCheckpointFile(source, { label: file.name }));
}

/** What a file of weights is for: a model that was trained here, or the backbone that one is trained beside. */
export function roleOf(weights: Weights): "model" | "backbone" {
  if (recipeOf(weights) !== null) return "model";
  const { holdsTrained, holdsBackbone } = identify(weights);
  if (holdsBackbone && !holdsTrained) return "backbone";
  throw new DataError(
    holdsTrained
      ? `Cannot use "${weights.label}": it holds no recipe; take the best.safetensors of a run, which does`
      : `Cannot use "${weights.label}": it must be the best.safetensors of a run, or the backbone that one was trained beside`,
  );
}

/**
 * Reads what a trained model is.
 *
 * @throws {DataError} where its recipe cannot be read, or its weights are others than the recipe's.
 */
export async function readModel(weights: Weights): Promise<KnownModel> {
  const { config: written, labels } = recipeOf(weights)!;
  const config = settledRecipe(written, weights.label), task = taskOfRecipe(config);
  const model = createModel(modelSpec(config)), system = systemOf(config.system);
  if (model.classTexts && !weights.shapeOf(model.classTexts.features)) {
    throw new DataError(
      `Cannot use "${weights.label}": it does not hold the texts of its classes; train it with this version`,
    );
  }
  checkTrained(model, weights, { system, head: "strict" });
  const words = model.text ? wordsOf(weights) : null;
  if (words !== null) await giveVocabulary(words, { label: weights.label });
  const { weights: path, init } = config.network, { backbone } = model.config;
  const isElsewhere = path !== null && init && !holdsBackbone(weights, { model, system });
  return {
    weights,
    config,
    labels,
    model,
    task,
    facts: {
      file: weights.label,
      searches: model.text !== undefined,
      system: system.title,
      backbone: config.network.arch === "custom"
        ? `a ViT of ${backbone.layers} block${backbone.layers === 1 ? "" : "s"}`
        : config.network.arch,
      labels,
      frames: model.config.frames,
      side: backbone.imageSize,
      needs: isElsewhere ? path.replace(/^.*[\\/]/, "") : null,
      needsWords: model.text !== undefined && !await hasVocabulary(),
    },
  };
}

/**
 * Puts a model on the GPU.
 *
 * @param backbone The backbone's file, where the model needs one.
 */
export async function loadModel(
  { weights, config, labels, model, task }: KnownModel,
  options: {
    backbone: Weights | null;
    stage: (what: string, done?: number, of?: number) => void;
    /** Told before anything is allocated. */
    planned: (bytes: number) => void;
  },
): Promise<LoadedModel> {
  const { stage } = options, system = systemOf(config.system);
  stage("opening the GPU");
  if (!await navigator.gpu?.requestAdapter()) {
    throw new AdapterError("Cannot compute: this browser offers no GPU to the Workers of pages");
  }
  const gpu = await openGpu();
  try {
    const device: Device = new LocalDevice(gpu, { compilesAside: true }), { info } = device;
    const need = halvesNeed(config);
    if (need && !info.environment.features.has("shader-f16")) {
      throw new AdapterError(
        `Cannot use ${need.what} on "${info.name}": it must have the feature shader-f16; train or evaluate with ${need.instead}`,
      );
    }
    const clips = gpu.isSoftware ? 1 : AT_ONCE;
    const asked = {
      ...evaluationOptions(config, {
        clips,
        largestFrame: USUAL_FRAME,
        queries: searchQueries(config, model),
      }),
      limits: info.limits,
    };
    const fitting = planFittingSession(model, asked, {
      environment: info.environment,
      freeBytes: null,
      clipsPerVideo: config.data.num_sample,
    });
    options.planned(fitting.plan.memory.total);
    device.onCompile = (done, of) => stage("compiling", done, of);
    const started = performance.now();
    const session = await Session.open(device, model, fitting.options, fitting.plan);
    const compileMs = performance.now() - started;
    stage("loading the weights");
    if (!await loadOwnBackbone(session, weights, { system })) {
      if (options.backbone) await loadBackboneFrom(session, options.backbone);
      else await session.initialise(config.seed); // the backbone that the run was trained beside
    }
    await loadTrained(session, weights, { system, head: "strict" });
    return { config, labels, task, model, session, gpu, compileMs };
  } catch (error) {
    gpu[Symbol.dispose]();
    throw error;
  }
}
