/** Which pictures of a clip are read: what the lists name, the rule of frame indices, and the window of a system. */

import type { ClipModality } from "../../data/datasets/list.ts";
import {
  type IntegerSource,
  type SamplingOptions,
  testIndices,
  trainIndices,
  validationIndices,
  windowIndices,
} from "../../data/sampling/frame_indices.ts";
import { retrievalIndices, type RetrievalSampling } from "../../data/sampling/retrieval_indices.ts";
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

/** The rule of a recipe's system for the frames of one split; null: the rules of the data-set family. */
function retrievalRule({ system, data }: SamplingRecipe, split: "train" | "val"): RetrievalSampling | null {
  const rule = systemOf(system).recipe.frameRule?.({ data }, split);
  if (rule === undefined || rule.sampling === "segments") return null;
  return { strategy: rule.sampling, slice: rule.slice, maxFrames: data.num_segments };
}

/** Frames that are read of a clip in training; a clip that is too short for some rules gives fewer than T. */
export function trainSampler(config: SamplingRecipe): (frames: number, draws: IntegerSource) => number[] {
  const sampling = samplingOptions(config), rule = retrievalRule(config, "train");
  if (rule !== null) return (frames, draws) => retrievalIndices(frames, rule, draws);
  return config.data.random_shift
    ? (frames, draws) => trainIndices(frames, sampling, draws)
    : (frames, draws) => validationIndices(frames, sampling, draws);
}

/** Frames that are read of a clip in an evaluation. @param clips Clips in time of the published test protocol; null: validation inside training. */
export function evaluationSampler(
  config: SamplingRecipe,
  clips: number | null,
): (frames: number) => number[] | number[][] {
  const sampling = samplingOptions(config), rule = retrievalRule(config, "val");
  if (rule !== null) return (frames) => retrievalIndices(frames, rule, FIRST);
  return clips === null
    ? (frames) => validationIndices(frames, { ...sampling, dense: false })
    : (frames) => testIndices(frames, { ...sampling, clips });
}

/** Draws of an evaluation, which is always the same. */
const FIRST: IntegerSource = { integer: () => 0 };

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
