/** Which pictures of a clip are read: what the lists name, the rule of frame indices, and the window of a system. */

import {
  chosenEvalIndices,
  type ChosenSampling,
  chosenTrainIndices,
} from "../../data/sampling/chosen_indices.ts";
import type { ClipModality } from "../../data/datasets/list.ts";
import {
  type IntegerSource,
  testIndices,
  validationIndices,
  windowIndices,
} from "../../data/sampling/frame_indices.ts";
import {
  type SpreadSampling,
  spreadTestIndices,
  spreadTrainIndices,
  spreadValidationIndices,
  type UniformSource,
} from "../../data/sampling/spread_indices.ts";
import { sharedBytes } from "../../lib/shared_bytes.ts";
import { systemOf } from "../../models/registry.ts";
import { FLOAT_FAMILY } from "../../models/system.ts";
import type { Config } from "../recipe/config.ts";

/** The part of a recipe that says which pictures are read. */
type SamplingRecipe = Pick<Config, "system" | "data">;

/** What the rules draw from. `Prng` is one. */
export type FrameDraws = IntegerSource & UniformSource;

/** What the lists of a recipe name. */
export function clipModality({ data }: { data: Pick<Config["data"], "modality"> }): ClipModality {
  return data.modality === "RGB" ? "frames" : data.modality;
}

/** How the frames of one split are chosen: by the rule of the recipe's system. */
function chosenSampling(recipe: SamplingRecipe, split: "train" | "val"): ChosenSampling {
  const { sampling: by, slice } = systemOf(recipe.system).recipe.frameRule?.(recipe, split) ??
    { sampling: "segments", slice: 2 };
  const { family, num_segments: segments, dense } = recipe.data;
  // The rules of the family dist are others (`spreadSampling`), and strategies read none.
  return { rule: family === FLOAT_FAMILY ? "kinetics" : family, segments, dense, by, slice };
}

/** DiST's rule of a recipe; null where frames are chosen otherwise. @param rate Frames a second of the clip; null: nobody knows */
function spreadSampling({ data }: SamplingRecipe, by: ChosenSampling["by"], rate: number | null) {
  if (data.family !== FLOAT_FAMILY || by !== "segments") return null;
  const { num_segments: segments, target_fps: targetFps } = data;
  const sampling: SpreadSampling = data.frame_rule === "segment" ? { rule: "segment", segments } : {
    rule: "interval",
    segments,
    samplingRate: data.frame_interval,
    targetFps,
    fps: rate ?? targetFps,
    minusInterval: data.minus_interval,
  };
  return sampling;
}

/** Whether the rule of a recipe asks for the rate of a clip, which only videos know: frames of a folder count as data.target_fps. */
export function needsRate(recipe: SamplingRecipe, split: "train" | "val"): boolean {
  return spreadSampling(recipe, chosenSampling(recipe, split).by, null)?.rule === "interval";
}

/** Frames that are read of a clip in training; a clip that is too short for some rules gives fewer than T. */
export function trainSampler(
  recipe: SamplingRecipe,
): (frames: number, draws: FrameDraws, rate?: number | null) => number[] {
  const sampling = chosenSampling(recipe, "train"), isRandom = recipe.data.random_shift;
  return (frames, draws, rate = null) => {
    const spread = spreadSampling(recipe, sampling.by, rate);
    if (spread !== null) {
      return isRandom ? spreadTrainIndices(frames, spread, draws) : spreadValidationIndices(frames, spread);
    }
    return sampling.by === "segments" && !isRandom
      ? validationIndices(frames, sampling, draws)
      : chosenTrainIndices(frames, sampling, draws);
  };
}

/** Frames that are read of a clip in an evaluation. @param clips Clips in time of the published test protocol; null: validation inside training. */
export function evaluationSampler(
  recipe: SamplingRecipe,
  clips: number | null,
): (frames: number, draws?: unknown, rate?: number | null) => number[] | number[][] {
  const sampling = chosenSampling(recipe, "val");
  return (frames, _draws, rate = null) => {
    const spread = spreadSampling(recipe, sampling.by, rate);
    if (spread !== null) return spreadTestIndices(frames, { ...spread, clips: clips ?? 1 });
    return sampling.by === "segments" && clips !== null
      ? testIndices(frames, { ...sampling, clips })
      : chosenEvalIndices(frames, sampling);
  };
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
  rule: (frames: number, draws: Draws, rate: number | null) => number[] | number[][],
): (frames: number, draws: Draws, rate?: number | null) => number[] {
  const window = pictureWindow(recipe);
  return (frames, draws, rate = null) => {
    const indices = rule(frames, draws, rate).flat();
    return window === null ? indices : windowIndices(indices, frames, window);
  };
}
