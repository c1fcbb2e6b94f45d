/** From a recipe to what a run is made of: the model, the session's options, the lists and the class names. */

import { readClipList, readLabels } from "../data/datasets/read.ts";
import type { ClipRecord } from "../data/datasets/list.ts";
import { type SamplingOptions, windowIndices } from "../data/sampler.ts";
import { MIX_SMOOTHING, mixDraws, mixTargets, PUBLISHED_MIX, sampleMix } from "../data/mixup.ts";
import { ConfigError } from "../lib/errors.ts";
import { createPrng } from "../lib/random.ts";
import { EVA_PRESETS, type EvaConfig, type ModelSpec, VIT_PRESETS, type VitConfig } from "../models/mod.ts";
import { type Config, transformRecipe } from "./config.ts";
import type { RemoteSessionOptions } from "./gpu_worker.ts";
import { createSchedule } from "./schedule.ts";
import type { GroupRates, MixedTargets } from "./session_plan.ts";

/** Frames shorter than this are dropped from lists that state frame counts (spec side4video §5.1). */
const MIN_LISTED_FRAMES = 8;

/** The sizes of the frozen tower; an EVA tower has more of them. */
export function backboneOf(config: Config): VitConfig | EvaConfig {
  const { arch, backbone } = config.network;
  if (!backbone) return VIT_PRESETS[arch] ?? EVA_PRESETS[arch];
  const sizes: VitConfig = {
    imageSize: backbone.image_size,
    patchSize: backbone.patch_size,
    width: backbone.width,
    layers: backbone.layers,
    heads: backbone.heads,
  };
  if (!backbone.eva) return sizes;
  const { hidden, norm, sub_norm: subNorm, mlp, rope_span: ropeSpan } = backbone.eva;
  return { ...sizes, hidden, norm, subNorm, mlp, ropeSpan };
}

/** Which model a recipe asks for. */
export function modelSpec(config: Config): ModelSpec {
  const backbone = backboneOf(config);
  const sizes = {
    frames: config.data.num_segments,
    sideDim: config.network.side_dim,
    classes: config.data.num_classes,
  };
  // One published recipe name stands for two networks: the tower decides which side network goes with it.
  const backboneDtype = config.precision;
  if ("hidden" in backbone) {
    return { system: "side4video-eva", config: { backbone, ...sizes }, backboneDtype };
  }
  if (config.system === "tds-clip") {
    const smeScale = config.network.sme_scale;
    return { system: "tds-clip", config: { backbone, ...sizes, smeScale }, backboneDtype };
  }
  return { system: "side4video", config: { backbone, ...sizes }, backboneDtype };
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
    clipGradNorm: solver.clip_grad_norm,
    optimizer: { betas: solver.betas, eps: 1e-8, weightDecay: solver.weight_decay },
    largestFrame: options.largestFrame,
    augmentation: { pixelOps: recipe.randAugment?.operations ?? 0, erase: recipe.eraseProbability > 0 },
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
  };
}

/** Last seed of the draws that mix a batch; those of clips end in the number of their copy. */
const MIX_STREAM = 2 ** 32 - 1;

/** How the batch of a recipe with mixup is mixed, and its targets; undefined without mixup. */
export function mixOf(
  { solver, data, seed }: Config,
  labels: readonly number[],
  at: { epoch: number; batch: number },
): MixedTargets | undefined {
  if (!solver.mixup) return undefined;
  const draws = mixDraws(createPrng(seed, at.epoch, at.batch, MIX_STREAM));
  const mix = sampleMix({ width: data.input_size, height: data.input_size }, PUBLISHED_MIX, draws);
  const options = { classes: data.num_classes, smoothing: MIX_SMOOTHING };
  return { mix, targets: mixTargets(labels, mix.weight, options) };
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
export function clipModality({ data }: Config): "frames" | "video" {
  return data.modality === "video" ? "video" : "frames";
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

/** Class names of a recipe: its label list, or the class numbers. */
export async function classNames(config: Config): Promise<string[]> {
  const { label_list: path, num_classes: classes } = config.data;
  if (path === null) return Array.from({ length: classes }, (_, i) => String(i));
  const labels = await readLabels(path, { classes });
  if (labels.length !== classes) {
    throw new ConfigError(
      `Cannot use "${path}": it must name data.num_classes (${classes}) classes, current count is ${labels.length}`,
    );
  }
  return labels;
}

/**
 * One of a recipe's two lists.
 *
 * @param options.path Another list instead.
 * @param options.keepShort Also clips that state few frames, as the published test protocol does.
 */
export async function readSplit(
  config: Config,
  split: "train" | "val",
  options: { path?: string; keepShort?: boolean } = {},
): Promise<ClipRecord[]> {
  const { data } = config;
  const path = options.path ?? (split === "train" ? data.train_list : data.val_list);
  if (path === null) throw new ConfigError(`Cannot read the clips: data.${split}_list must be given`);
  const dropShorterThan = options.keepShort ? undefined : MIN_LISTED_FRAMES;
  const modality = clipModality(config);
  return (await readClipList(path, { classes: data.num_classes, dropShorterThan, modality })).clips;
}
