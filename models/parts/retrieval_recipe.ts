/** What networks for retrieval have in common in recipes (spec retrieval §4.4, §5.1, §7). */

import { z } from "zod";
import type { FrameRule, OptimizerGroup, Requirement, SystemRecipe } from "../system.ts";
import type { TextConfig, TowerSizes } from "../tower.ts";
import { type TextKeys, textOf, towerSizes } from "../towers.ts";
import { TEXT_KEYS, textKeyRequirements } from "./text_keys.ts";

const sampling = () => z.literal(["segments", 1, 2, 3, 4]).default("segments");
const size = (most: number) => z.number().int().positive().max(most);

/** Keys of `data`. */
export const RETRIEVAL_DATA_KEYS = {
  max_words: size(1024).default(32).describe(
    "retrieval: tokens of a sentence, those of its start and end included; longer ones are cut, shorter ones padded",
  ),
  sampling: sampling().describe(
    "retrieval: which frames are read in training; segments: one of each of num_segments parts, as in classification; 1 to 4: a published strategy",
  ),
  eval_sampling: sampling().describe("retrieval: the same in evaluations"),
  slice_framepos: z.literal([0, 1, 2]).default(2).describe(
    "retrieval: which of too many frames of a published strategy stay; 0: the first; 1: the last; 2: spread evenly",
  ),
};

/** Keys of `network` of every network for retrieval. */
export const RETRIEVAL_NETWORK_KEYS = {
  ...TEXT_KEYS,
  dual_softmax: z.number().positive().max(1e6).nullable().default(null).describe(
    "retrieval: temperature of a softmax over all sentences of an evaluation that scores are multiplied by; null: none, as published",
  ),
};

/** Keys of `network` of a side network for retrieval. */
export const INTERACTION_KEYS = {
  interaction: z.enum(["wti", "mean"]).default("wti").describe(
    "retrieval: how sentences are compared with clips; wti: words with frames, weighted; mean: the whole sentence with the mean of the frames",
  ),
  text_tower: z.enum(["train", "freeze"]).default("train").describe(
    "retrieval: what becomes of the text tower; freeze: all but its last norm and projection stays",
  ),
};

/** The towers of a network for retrieval and what they read: plain data. */
export interface TowerSizesForRetrieval {
  backbone: TowerSizes;
  text: TextConfig;
  /** T. */
  frames: number;
  /** L, tokens of a sentence. */
  words: number;
  /** Those of CLIP's vocabulary that the token table holds; null: all. */
  tokens: readonly number[] | null;
}

/** The towers that a recipe asks for. Only for a recipe that meets the requirements. */
export function towersForRetrieval(
  { data, network }: Pick<SystemRecipe, "data" | "network">,
): TowerSizesForRetrieval {
  return {
    backbone: towerSizes(network),
    text: textOf(network as SystemRecipe["network"] & TextKeys)!,
    frames: data.num_segments,
    words: data.max_words as number,
    tokens: network.tokens as number[] | null,
  };
}

/** What must hold of the text tower and its sentences. */
export function textRequirements({ data, network }: SystemRecipe): Requirement[] {
  const words = data.max_words as number, text = textOf(network as SystemRecipe["network"] & TextKeys);
  return [
    [words >= 3, "data.max_words", "be at least 3: a start, a word and an end", words],
    [
      text === null || words <= text.context,
      "data.max_words",
      `be at most ${text?.context}, the tokens that the text tower has positions for`,
      words,
    ],
    ...textKeyRequirements(network),
  ];
}

/** What must hold in the recipe of a system that reads no sentences: its frames are chosen by other rules. */
export function foreignRequirements({ data }: SystemRecipe, system: string): Requirement[] {
  return ["sampling", "eval_sampling"].map((key) => [
    data[key] === "segments",
    `data.${key}`,
    `be segments when system is ${system}: the other strategies are those of retrieval`,
    data[key],
  ]);
}

/** Which frames of a clip are read. */
export function retrievalFrames({ data }: Pick<SystemRecipe, "data">, split: "train" | "val"): FrameRule {
  return {
    sampling: (split === "train" ? data.sampling : data.eval_sampling) as FrameRule["sampling"],
    slice: data.slice_framepos as FrameRule["slice"],
  };
}

/** Optimiser groups: weights of CLIP's file, and those that are new; each in two parts, of which that of the biases is not decayed. */
const CLIP_GROUP = "clip", SIDE_GROUP = "side", BIAS = "_bias";

/** The group in which weights of CLIP's file are declared. */
export const PRETRAINED_GROUP = CLIP_GROUP;

/** The groups that weights are in, by where they are declared and, as published, by whether their name says "bias". */
export function retrievalGroup(group: string, name: string): string {
  return `${group === CLIP_GROUP ? CLIP_GROUP : SIDE_GROUP}${name.includes("bias") ? BIAS : ""}`;
}

/** The published groups. @param options.coefficient Factor on the rate of weights of CLIP's file. */
export function retrievalGroups(options: { coefficient: number; weightDecay: number }): OptimizerGroup[] {
  const { coefficient, weightDecay } = options;
  return [
    { name: CLIP_GROUP, lrScale: coefficient, weightDecay },
    { name: SIDE_GROUP, lrScale: 1, weightDecay },
    { name: CLIP_GROUP + BIAS, lrScale: coefficient, weightDecay: 0 },
    { name: SIDE_GROUP + BIAS, lrScale: 1, weightDecay: 0 },
  ];
}
