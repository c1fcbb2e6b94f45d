/** From a recipe to what its runtime is made of: the session's options, the targets of a batch, the rates. */

import {
  MIX_SMOOTHING,
  mixDraws,
  mixTargets,
  PUBLISHED_MIX,
  sampleMix,
  weightTargets,
} from "../../data/transforms/mixup.ts";
import { mostPixelOps } from "../../data/transforms/transforms.ts";
import { createPrng } from "../../lib/random.ts";
import { type Config, transformRecipe } from "./config.ts";
import type { RemoteSessionOptions } from "../runtime/gpu_worker.ts";
import { createSchedule } from "../run/schedule.ts";
import type { BatchTargets, GroupRates } from "../runtime/session_plan.ts";

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
