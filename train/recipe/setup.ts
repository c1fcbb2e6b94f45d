/** From a recipe to what a run is made of: the model, the session's options, the lists and the class names. */

import type { ClipModality } from "../../data/datasets/list.ts";
import { readClipList, readLabels } from "../../data/datasets/read.ts";
import type { ClipRecord } from "../../data/datasets/list.ts";
import { selectShots } from "../../data/sampling/few_shot.ts";
import { type SamplingOptions, windowIndices } from "../../data/sampling/frame_indices.ts";
import {
  MIX_SMOOTHING,
  mixDraws,
  mixTargets,
  PUBLISHED_MIX,
  sampleMix,
  weightTargets,
} from "../../data/transforms/mixup.ts";
import { mostPixelOps } from "../../data/transforms/recipe.ts";
import { ConfigError } from "../../lib/errors.ts";
import { createPrng } from "../../lib/random.ts";
import { type ModelSpec, systemOf } from "../../models/mod.ts";
import { type Config, transformRecipe } from "./config.ts";
import type { RemoteSessionOptions } from "../runtime/gpu_worker.ts";
import { createSchedule } from "../run/schedule.ts";
import type { BatchTargets, GroupRates } from "../runtime/session_plan.ts";

/** Frames shorter than this are dropped from lists that state frame counts (spec side4video §5.1). */
export const MIN_LISTED_FRAMES = 8;

/** Which model a recipe asks for. */
export function modelSpec(config: Config): ModelSpec {
  const { recipe } = systemOf(config.system);
  return { system: config.system, sizes: recipe.sizes(config), backboneDtype: config.precision };
}

/** Which model a recipe trains: with stored features, one without a tower. */
export function trainingSpec(config: Config): ModelSpec {
  return config.data.features === null ? modelSpec(config) : { ...modelSpec(config), taps: "stored" };
}

/** Clips of a full micro-batch: every video counts once a repeated augmentation. */
export function clipsPerBatch(config: Config): number {
  return config.data.batch_size * config.data.num_sample;
}

/** What a GPU session for training is made for. @param options.lastBatch Clips of the last, short batch of an epoch; 0: there is none. */
export function sessionOptions(
  config: Config,
  options: { lastBatch: number; largestFrame: { width: number; height: number } },
): RemoteSessionOptions {
  const { solver } = config, recipe = transformRecipe(config);
  const clips = clipsPerBatch(config);
  return {
    trainClips: options.lastBatch > 0 && options.lastBatch !== clips ? [clips, options.lastBatch] : [clips],
    evalClips: clips,
    clipsPerVideo: config.data.num_sample,
    recompute: config.memory === "recompute",
    streamFrozen: config.frozen === "stream",
    accumulation: solver.grad_accumulation_steps,
    smoothing: solver.smoothing,
    mixes: solver.mixup,
    weighs: config.data.balance === "loss",
    clipGradNorm: solver.clip_grad_norm,
    optimizer: { betas: solver.betas, eps: 1e-8, weightDecay: solver.weight_decay },
    largestFrame: options.largestFrame,
    // Stored features are augmented already.
    augmentation: config.data.features !== null
      ? undefined
      : { pixelOps: mostPixelOps(recipe), erase: recipe.eraseProbability > 0 },
  };
}

/** What a GPU session for evaluation alone is made for: it has no memory for gradients and moments. */
export function evaluationOptions(
  config: Config,
  options: { clips: number; largestFrame: { width: number; height: number } },
): RemoteSessionOptions {
  return {
    ...sessionOptions(config, { lastBatch: 0, largestFrame: options.largestFrame }),
    trainClips: [],
    evalClips: options.clips,
    augmentation: undefined,
    mixes: false,
    weighs: false,
  };
}

/** Last seed of the draws that mix a batch; those of clips end in the number of their copy. */
const MIX_STREAM = 2 ** 32 - 1;

/**
 * The targets of a batch and how its clips are mixed; undefined where the labels are all that is needed.
 *
 * @param options.classWeights Weight of each class's loss; null: all alike.
 */
export function targetsOf(
  { solver, data, seed }: Config,
  labels: readonly number[],
  options: { epoch: number; batch: number; classWeights: ArrayLike<number> | null },
): BatchTargets | undefined {
  const { epoch, batch, classWeights } = options, { input_size: side } = data;
  if (!solver.mixup && !classWeights) return undefined;
  const draws = mixDraws(createPrng(seed, epoch, batch, MIX_STREAM));
  const mix = solver.mixup ? sampleMix({ width: side, height: side }, PUBLISHED_MIX, draws) : null;
  const targets = mixTargets(labels, mix?.weight ?? 1, {
    classes: data.num_classes,
    smoothing: mix ? MIX_SMOOTHING : solver.smoothing,
  });
  return { mix, targets: classWeights ? weightTargets(targets, labels, classWeights) : targets };
}

/**
 * Learning rates by epoch and batch: the side network's, the classifier's and the side batch norms' are different factors on
 * one schedule (spec side4video §4.2).
 */
export function groupRates(
  config: Config,
  options: { batchesPerEpoch: number },
): (epoch: number, batch: number) => GroupRates {
  const { solver, network } = config;
  const schedule = createSchedule({
    type: solver.type,
    baseLr: solver.lr,
    epochs: solver.epochs,
    warmupEpochs: solver.lr_warmup_step,
    batchesPerEpoch: options.batchesPerEpoch,
    refresh: solver.lr_refresh,
    decayEpochs: solver.lr_decay_step,
  });
  return (epoch, batch) => {
    const lr = schedule(epoch, batch);
    return {
      side: lr * solver.clip_ratio,
      head: lr,
      batch_norm: network.sync_bn ? lr : lr / solver.grad_accumulation_steps,
    };
  };
}

/** Frame-index options of a recipe. */
export function samplingOptions(config: Config): SamplingOptions {
  const { data } = config;
  return { rule: data.family, segments: data.num_segments, dense: data.dense };
}

/** What the lists of a recipe name. */
export function clipModality({ data }: Config): ClipModality {
  return data.modality === "RGB" ? "frames" : data.modality;
}

/** Pictures that are read for one view of a clip: its frames, or a window around each. */
export function picturesOfView({ data }: Config): number {
  return data.num_segments * (data.num_diff ?? 1);
}

/** A rule of frame indices as a rule of the pictures to read: where the network wants windows, the neighbours come along. */
export function readRule<Draws>(
  config: Config,
  rule: (frames: number, draws: Draws) => number[] | number[][],
): (frames: number, draws: Draws) => number[] {
  const { num_diff: size, window_edge: edge } = config.data;
  return (frames, draws) => {
    const indices = rule(frames, draws).flat();
    return size === null ? indices : windowIndices(indices, frames, { size, edge });
  };
}

/** Class names of a recipe: its label list, those of its synthetic set, or the class numbers. */
export async function classNames(config: Config): Promise<string[]> {
  const { label_list: path, num_classes: classes, synth } = config.data;
  if (path === null) return synth?.classes ?? Array.from({ length: classes }, (_, i) => String(i));
  const labels = await readLabels(path, { classes });
  if (labels.length !== classes) {
    throw new ConfigError(
      `Cannot use "${path}": it must name data.num_classes (${classes}) classes, current count is ${labels.length}`,
    );
  }
  return labels;
}

/**
 * One of a recipe's two lists; of the training list, the clips of a few-shot selection where there is one.
 *
 * @param options.path Another list instead.
 * @param options.keepShort Also clips that state few frames, as the published test protocol does.
 * @param options.everyShot The whole training list, whatever `data.shots` says.
 */
export async function readSplit(
  config: Config,
  split: "train" | "val",
  options: { path?: string; keepShort?: boolean; everyShot?: boolean } = {},
): Promise<ClipRecord[]> {
  const { data } = config;
  const path = options.path ?? (split === "train" ? data.train_list : data.val_list);
  if (path === null) throw new ConfigError(`Cannot read the clips: data.${split}_list must be given`);
  const dropShorterThan = options.keepShort ? undefined : MIN_LISTED_FRAMES;
  const modality = clipModality(config);
  const { clips } = await readClipList(path, { classes: data.num_classes, dropShorterThan, modality });
  return split === "train" && !options.everyShot ? chooseShots(config, clips) : clips;
}

/** The clips of a recipe's few-shot selection; all of them where it makes none. */
export function chooseShots({ data, seed }: Config, clips: ClipRecord[]): ClipRecord[] {
  const { shots } = data;
  if (shots === null) return clips;
  return selectShots(clips.map(({ label }) => label), { shots, seed }).map((clip) => clips[clip]);
}
