/** Words of cleaned text: what byte pairs are merged within. */
import { WHITE_SPACE } from "./clean.ts";

/** Names of the first and the last token of a text; in a text they are these tokens. EVA names the same two otherwise. */
export const START_OF_TEXT = "<|startoftext|>", END_OF_TEXT = "<|endoftext|>";

/**
 * A special token, a contraction, letters, one number, or other characters. The case is ignored as in the original, which of
 * what is in lower case already leaves the long s; written out, because with the flag `i` some marks would be letters.
 */
const WORD = new RegExp(
  `<\\|[sſ]tartoftext\\|>|<\\|endoftext\\|>|'[sſ]|'t|'re|'ve|'m|'ll|'d|\\p{L}+|\\p{N}|[^${WHITE_SPACE}\\p{L}\\p{N}]+`,
  "gu",
);

/** Splits text that `cleanText` returned. */
export function splitWords(text: string): string[] {
  return text.match(WORD) ?? [];
}
