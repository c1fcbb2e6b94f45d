/**
 * A recipe and the clips that it is to be trained on, looked at before anything is made: whether they go together, and which batch
 * and which precision suit the adapter.
 */
import type { DeviceInfo } from "../../gpu/runtime.ts";
import type { ClipRecord } from "../../data/datasets/list.ts";
import type { TellStage } from "../../lib/stage.ts";
import { formatBytes, formatCount } from "../../lib/text.ts";
import { createModel } from "../../models/mod.ts";
import { cropRefusal } from "../feed/frame_room.ts";
import { largestFrame } from "../feed/probe.ts";
import { clipModality } from "../feed/sampling.ts";
import { type Config, dataRoots } from "../recipe/config.ts";
import { isFolder } from "../recipe/frame_cache.ts";
import { trainingSpec } from "../recipe/model.ts";
import { RemoteDevice } from "../runtime/device/remote_device.ts";
import type { TunedChoices } from "../runtime/device/tuned.ts";
import { planFittingSession } from "../runtime/fit.ts";
import type { ExpectedFrame } from "../runtime/frame_buffers.ts";
import { sessionOptions } from "../tasks/session_options.ts";

/** Clips of both splits, relative to the recipe's roots. */
export interface SplitClips {
  train: readonly ClipRecord[];
  val: readonly ClipRecord[];
}

/**
 * Refuses a recipe whose crops cannot be taken from the clips.
 *
 * @returns The largest frame that is expected.
 * @throws {ConfigError} naming the keys to change
 */
export async function requireFittingFrames(
  config: Config,
  clips: SplitClips,
  options: { signal?: AbortSignal; stage?: TellStage } = {},
): Promise<ExpectedFrame> {
  const { frame_cache: folder, frame_cache_side: side } = config.data, roots = dataRoots(config);
  const cache = isFolder(folder) ? { side, modality: clipModality(config) } : null;
  return await largestFrame(config, [[roots.train, clips.train], [roots.val, clips.val]], {
    ...options,
    cached: [cache, cache],
    refusals: [cropRefusal(config, "train"), cropRefusal(config, "val")],
  });
}

/** Updates that an epoch should have, as long as batches stay above the least. */
const STEPS_AN_EPOCH = 8;
/** Batch norms need a few clips. */
const LEAST_BATCH = 4;

/**
 * The batch for a number of clips: the recipe's, or less for few clips, which learn nothing from a handful of updates; near to it
 * one that leaves no single clip at the end of an epoch.
 */
export function batchForClips(clips: number, most: number): number {
  const batch = Math.max(1, Math.min(most, clips, Math.max(LEAST_BATCH, Math.floor(clips / STEPS_AN_EPOCH))));
  const near = [batch, batch + 1, batch - 1, batch + 2].filter((one) =>
    one > 0 && one <= Math.min(most, clips)
  );
  return near.find((one) => one === 1 || clips % one !== 1) ?? batch;
}

/** What may be chosen for the user: what was given is not. */
export interface FitChoices {
  batch: boolean;
  precision: boolean;
  choices?: TunedChoices;
}

/** A recipe that suits its adapter, and what was chosen, in lines. */
export interface FittedRecipe {
  config: Config;
  notes: string[];
  /** What it suits. */
  adapter: DeviceInfo;
}

/**
 * Chooses a recipe's batch and precision for the adapter of this machine, by planning; nothing is allocated.
 *
 * @param frame The largest frame that is expected.
 * @throws {AdapterError} where there is no adapter
 */
export async function fitToAdapter(
  recipe: Config,
  { clips, frame, may, signal, stage }: {
    clips: number;
    frame: ExpectedFrame;
    may: FitChoices;
    signal?: AbortSignal;
    stage?: TellStage;
  },
): Promise<FittedRecipe> {
  stage?.({ what: "looking for an adapter" });
  const device = await RemoteDevice.open({ choices: may.choices?.known }), { info } = device;
  await device[Symbol.asyncDispose]();
  signal?.throwIfAborted();
  stage?.({ what: "planning" });
  const { features, isSoftware } = info.environment;
  const takesHalves = may.precision && recipe.precision === "f32" && features.has("shader-f16") &&
    !isSoftware;
  const config: Config = takesHalves ? { ...recipe, precision: "f16" } : recipe;
  const notes = takesHalves ? ["precision is f16, which the adapter has"] : [];
  if (!may.batch) return { config, notes, adapter: info };
  const model = createModel(trainingSpec(config));
  const withBatch = (batch_size: number): Config => ({ ...config, data: { ...config.data, batch_size } });
  for (let batch = batchForClips(clips, config.data.batch_size);; batch = Math.ceil(batch / 2)) {
    const fitted = withBatch(batch);
    const { plan, against } = planFittingSession(model, {
      ...sessionOptions(fitted, { lastBatch: 0, largestFrame: frame }),
      limits: info.limits,
    }, { environment: info.environment, freeBytes: info.freeBytes, clipsPerVideo: config.data.num_sample });
    if (against !== null && batch > 1) continue;
    const free = info.freeBytes === null ? "" : ` of ${formatBytes(info.freeBytes)} that are free`;
    notes.push(
      `data.batch_size is ${batch} for ${formatCount(clips)} training clips: the plan takes ${
        formatBytes(plan.memory.total)
      } of GPU memory${free}`,
    );
    return { config: fitted, notes, adapter: info };
  }
}
