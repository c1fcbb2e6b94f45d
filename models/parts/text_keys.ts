/** The keys of a recipe that say which text tower there is beside an image tower, and what must hold of them. */

import { z } from "zod";
import type { Requirement, SystemRecipe } from "../system.ts";
import { CLIP_VOCABULARY, type TextKeys, textOf } from "../towers.ts";

const size = (most: number) => z.number().int().positive().max(most);

/** Keys of `network` that say which text tower there is. */
export const TEXT_KEYS = {
  text: z.strictObject({
    width: size(2 ** 14).describe("channels of the text tower"),
    heads: size(1024).describe("attention heads"),
    layers: size(128).describe("transformer blocks"),
    context: size(4096).describe("tokens of a sentence, at most"),
    vocabulary: size(2 ** 20).nullable().default(null).describe(
      "rows of the token table; null: as many as network.tokens, or all of CLIP's",
    ),
  }).nullable().default(null).describe("sizes of a text tower that is not that of network.arch"),
  embed_dim: size(2 ** 14).nullable().default(null).describe(
    "dimensions in which pictures and sentences meet; null: those of network.arch",
  ),
  tokens: z.array(z.number().int().nonnegative().max(2 ** 20)).nullable().default(null).describe(
    "those tokens of CLIP's vocabulary that the token table holds, ascending; null: all of them",
  ),
};

/** Start and end of a sentence in CLIP's vocabulary. */
const FRAME_TOKENS = [CLIP_VOCABULARY - 2, CLIP_VOCABULARY - 1];

/** What must hold of the text tower. */
export function textKeyRequirements(network: SystemRecipe["network"]): Requirement[] {
  const tokens = network.tokens as number[] | null;
  const given = network.text as { vocabulary: number | null; width: number; heads: number } | null;
  const slip = tokens?.findIndex((id, i) => i + 1 < tokens.length && id >= tokens[i + 1]) ?? -1;
  const text = textOf(network as SystemRecipe["network"] & TextKeys);
  return [
    [
      text !== null,
      given === null ? "network.text" : "network.embed_dim",
      "be given with a tower that is no preset, which has no published text tower",
      null,
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
