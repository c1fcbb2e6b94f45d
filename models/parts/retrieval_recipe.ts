/** What networks for retrieval have in common in recipes (spec retrieval §4.4, §5.1, §7). */

import { z } from "zod";
import type { FrameRule, OptimizerGroup, Requirement, SystemRecipe } from "../system.ts";
import type { TextConfig, TowerSizes } from "../tower.ts";
import { CLIP_VOCABULARY, type TextKeys, textOf, towerSizes } from "../towers.ts";

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

/** Keys of `network` that say which text tower there is. */
const TEXT_KEYS = {
  text: z.strictObject({
    width: size(2 ** 14).describe("channels of the text tower"),
    heads: size(1024).describe("attention heads"),
    layers: size(128).describe("transformer blocks"),
    context: size(4096).describe("tokens of a sentence, at most"),
    vocabulary: size(2 ** 20).nullable().default(null).describe(
      "rows of the token table; null: as many as network.tokens, or all of CLIP's",
    ),
  }).nullable().default(null).describe("retrieval: sizes of a text tower that is not that of network.arch"),
  embed_dim: size(2 ** 14).nullable().default(null).describe(
    "retrieval: dimensions in which pictures and sentences meet; null: those of network.arch",
  ),
  tokens: z.array(z.number().int().nonnegative().max(2 ** 20)).nullable().default(null).describe(
    "retrieval: those tokens of CLIP's vocabulary that the token table holds, ascending; null: all of them",
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

/** Start and end of a sentence in CLIP's vocabulary. */
const FRAME_TOKENS = [CLIP_VOCABULARY - 2, CLIP_VOCABULARY - 1];

/** What must hold of the text tower and its sentences. */
export function textRequirements({ data, network }: SystemRecipe): Requirement[] {
  const words = data.max_words as number, tokens = network.tokens as number[] | null;
  const given = network.text as { vocabulary: number | null; width: number; heads: number } | null;
  const slip = tokens?.findIndex((id, i) => i + 1 < tokens.length && id >= tokens[i + 1]) ?? -1;
  const text = textOf(network as SystemRecipe["network"] & TextKeys);
  return [
    [words >= 3, "data.max_words", "be at least 3: a start, a word and an end", words],
    [
      text !== null,
      given === null ? "network.text" : "network.embed_dim",
      "be given with a tower that is no preset, which has no published text tower",
      null,
    ],
    [
      text === null || words <= text.context,
      "data.max_words",
      `be at most ${text?.context}, the tokens that the text tower has positions for`,
      words,
    ],
    [
      given === null || given.width % given.heads === 0,
      "network.text.width",
      "be a multiple of network.text.heads",
      given?.width,
    ],
    [
      slip < 0,
      "network.tokens",
      "be numbers in ascending order",
      `${tokens?.[slip]} before ${tokens?.[slip + 1]}`,
    ],
    [
      tokens === null || slip >= 0 || FRAME_TOKENS.every((id, i) => tokens.at(i - 2) === id),
      "network.tokens",
      `end with ${FRAME_TOKENS.join(" and ")}, the start and the end of every sentence`,
      tokens?.slice(-2).join(", "),
    ],
    [
      tokens !== null || text === null || text.vocabulary === CLIP_VOCABULARY,
      "network.text.vocabulary",
      `be null or ${CLIP_VOCABULARY} where network.tokens does not say which of CLIP's tokens the table holds`,
      text?.vocabulary,
    ],
    [
      tokens === null || given === null || given.vocabulary === null || given.vocabulary === tokens.length,
      "network.text.vocabulary",
      `be null or the number of network.tokens (${tokens?.length})`,
      given?.vocabulary,
    ],
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
