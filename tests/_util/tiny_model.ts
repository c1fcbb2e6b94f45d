/** A Side4Video model small enough for software adapters and plain references, with seeded inputs. */

import type { Dtype } from "../../gpu/graph.ts";
import type { KernelEnvironment } from "../../gpu/op.ts";
import { createPrng } from "../../lib/random.ts";
import { Side4Video } from "../../models/side4video.ts";
import type { ProgramOptions } from "../../train/runtime/program_options.ts";
import type { SessionOptions } from "../../train/runtime/session_plan.ts";
import { ADAMW, type GroupRates, type Optimizer, ratesOf } from "../../train/runtime/update_rules.ts";
import { CLASSIFICATION } from "../../train/tasks/classification.ts";
import type { TaskRecipe } from "../../train/tasks/task.ts";
import { PLAIN_GPU } from "../../gpu/tuning/family.ts";

/** Limits that nothing here reaches. */
export const ROOMY = { maxBindingBytes: 2 ** 30, maxBufferBytes: 2 ** 30 };

/** What kernels are chosen by where nothing will run. */
export const NO_ADAPTER: KernelEnvironment = {
  ...PLAIN_GPU,
  isSoftware: true,
};

/** Sizes of the model. */
export interface TinySizes {
  layers?: number;
  frames?: number;
  width?: number;
  sideDim?: number;
  imageSize?: number;
  classes?: number;
  backboneDtype?: Dtype;
}

/** A model with pictures of 16 x 16 pixels in four patches. */
export function tinyModel(sizes: TinySizes = {}): Side4Video {
  const { layers = 2, frames = 3, width = 32, sideDim = 64, imageSize = 16, classes = 4 } = sizes;
  return new Side4Video({
    backbone: { imageSize, patchSize: 8, width, layers, heads: 2 },
    frames,
    sideDim,
    classes,
  }, { backboneDtype: sizes.backboneDtype });
}

/** Groups of a plain training run, in memory order. */
export const TINY_GROUPS = ["side", "head", "batch_norm"].map((name) => ({
  name,
  lrScale: 1,
  weightDecay: 0.1,
}));

/** AdamW over them. */
export const TINY_OPTIMIZER: Optimizer = {
  rule: ADAMW,
  options: { betas: [0.9, 0.999], eps: 1e-8 },
  groups: TINY_GROUPS,
};

/** What batches of four classes bring, and their loss. */
export function tinyTraining(options: { mixes?: boolean; weighs?: boolean; classes?: number } = {}) {
  const { mixes = false, weighs = false, classes = 4 } = options;
  return CLASSIFICATION.training({
    data: { num_classes: classes, balance: weighs ? "loss" : "none" },
    solver: { smoothing: 0.1, mixup: mixes },
    seed: 0,
  } as TaskRecipe);
}

/** Program options of a plain training run. */
export function tinyPrograms(options: Partial<ProgramOptions> = {}): ProgramOptions {
  const { inputs, objective } = tinyTraining();
  return {
    inputs,
    objective,
    optimizer: TINY_OPTIMIZER,
    collects: CLASSIFICATION.collects,
    trainClips: [2],
    evalClips: 2,
    recompute: false,
    accumulation: 1,
    clipGradNorm: null,
    limits: ROOMY,
    ...options,
  };
}

/** Session options of a plain training run on frames that are floats already. */
export function tinySession(options: Partial<SessionOptions> = {}): SessionOptions {
  return { ...tinyPrograms(), largestFrame: null, ...options };
}

/** One rate for all groups. */
export function sameRates(lr: number): GroupRates {
  return ratesOf(TINY_OPTIMIZER, lr);
}

/** Seeded frames [clips*T 3 H W] and labels. */
export function tinyBatch(
  model: Side4Video,
  clips: number,
  seed = 1,
): { frames: Float32Array; labels: number[] } {
  const { frames, classes, backbone: { imageSize } } = model.config;
  const prng = createPrng(seed, 0x6261);
  return {
    frames: Float32Array.from({ length: clips * frames * 3 * imageSize ** 2 }, () => prng.normal()),
    labels: Array.from({ length: clips }, () => prng.integer(classes)),
  };
}
