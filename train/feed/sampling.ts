/** Which pictures of a clip are read: what the lists name, the rule of frame indices, and the window of a system. */

import type { ClipModality } from "../../data/datasets/list.ts";
import { type SamplingOptions, windowIndices } from "../../data/sampling/frame_indices.ts";
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
