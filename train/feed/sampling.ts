/** Which pictures of a clip are read: what the lists name, the rule of frame indices, and the window of a system. */

import {
  chosenEvalIndices,
  type ChosenSampling,
  chosenTrainIndices,
} from "../../data/sampling/chosen_indices.ts";
import type { ClipModality } from "../../data/datasets/list.ts";
import {
  type IntegerSource,
  type SamplingOptions,
  testIndices,
  validationIndices,
  windowIndices,
} from "../../data/sampling/frame_indices.ts";
import { sharedBytes } from "../../lib/shared_bytes.ts";
import { systemOf } from "../../models/registry.ts";
import type { Config } from "../recipe/config.ts";

/** The part of a recipe that says which pictures are read. */
type SamplingRecipe = Pick<Config, "system" | "data">;

/** Frame-index options of a recipe. */
export function samplingOptions(
  { data }: { data: Pick<Config["data"], "family" | "num_segments" | "dense"> },
): SamplingOptions {
  return { rule: data.family, segments: data.num_segments, dense: data.dense };
}

/** What the lists of a recipe name. */
export function clipModality({ data }: { data: Pick<Config["data"], "modality"> }): ClipModality {
  return data.modality === "RGB" ? "frames" : data.modality;
}

/** How the frames of one split are chosen: by the rule of the recipe's system. */
function chosenSampling(recipe: SamplingRecipe, split: "train" | "val"): ChosenSampling {
  const { sampling: by, slice } = systemOf(recipe.system).recipe.frameRule?.(recipe, split) ??
    { sampling: "segments", slice: 2 };
  return { ...samplingOptions(recipe), by, slice };
}

/** Frames that are read of a clip in training; a clip that is too short for some rules gives fewer than T. */
export function trainSampler(recipe: SamplingRecipe): (frames: number, draws: IntegerSource) => number[] {
  const sampling = chosenSampling(recipe, "train");
  return sampling.by === "segments" && !recipe.data.random_shift
    ? (frames, draws) => validationIndices(frames, sampling, draws)
    : (frames, draws) => chosenTrainIndices(frames, sampling, draws);
}

/** Frames that are read of a clip in an evaluation. @param clips Clips in time of the published test protocol; null: validation inside training. */
export function evaluationSampler(
  recipe: SamplingRecipe,
  clips: number | null,
): (frames: number) => number[] | number[][] {
  const sampling = chosenSampling(recipe, "val");
  return sampling.by === "segments" && clips !== null
    ? (frames) => testIndices(frames, { ...sampling, clips })
    : (frames) => chosenEvalIndices(frames, sampling);
}

/** Pictures of a view with the last repeated where there are fewer than the network takes. @param frameBytes Of a picture. */
export function padded(
  recipe: SamplingRecipe,
  { frames, frameBytes }: { frames: Uint8Array; frameBytes: number },
): Uint8Array {
  const pictures = picturesOfView(recipe);
  if (frames.length >= pictures * frameBytes) return frames;
  const all = sharedBytes(pictures * frameBytes), last = frames.subarray(frames.length - frameBytes);
  all.set(frames);
  for (let at = frames.length; at < all.length; at += frameBytes) all.set(last, at);
  return all;
}

/** Pictures that a recipe's system reads for every frame, itself included, and what stands in beyond the ends; null: the frame alone. */
export function pictureWindow(recipe: SamplingRecipe): { size: number; edge: "clamp" | "wrap" } | null {
  return systemOf(recipe.system).recipe.pictureWindow?.(recipe) ?? null;
}

/** Pictures that are read for one view of a clip: its frames, or a window around each. */
export function picturesOfView(recipe: SamplingRecipe): number {
  return recipe.data.num_segments * (pictureWindow(recipe)?.size ?? 1);
}

/** A rule of frame indices as a rule of the pictures to read: where the network wants windows, the neighbours come along. */
export function readRule<Draws>(
  recipe: SamplingRecipe,
  rule: (frames: number, draws: Draws) => number[] | number[][],
): (frames: number, draws: Draws) => number[] {
  const window = pictureWindow(recipe);
  return (frames, draws) => {
    const indices = rule(frames, draws).flat();
    return window === null ? indices : windowIndices(indices, frames, window);
  };
}
