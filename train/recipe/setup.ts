/** From a recipe to what a run is made of: the model, the session's options, the lists and the class names. */

import type { ClipModality } from "../../data/datasets/list.ts";
import { readClipList, readLabels } from "../../data/datasets/read.ts";
import type { ClipRecord } from "../../data/datasets/list.ts";
import { selectShots } from "../../data/sampling/few_shot.ts";
import { type SamplingOptions, windowIndices } from "../../data/sampling/frame_indices.ts";
import { ConfigError } from "../../lib/errors.ts";
import { type ModelSpec, systemOf } from "../../models/mod.ts";
import type { Config } from "./config.ts";

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
