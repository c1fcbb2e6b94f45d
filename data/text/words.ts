/** Words of cleaned text: what byte pairs are merged within. */
import { WHITE_SPACE } from "./clean.ts";

/** Names of the first and the last token of a text; in a text they are these tokens. EVA names the same two otherwise. */
export const START_OF_TEXT = "<|startoftext|>", END_OF_TEXT = "<|endoftext|>";

/**
 * A special token, a contraction, letters, one number, or other characters. The original ignores the case, of which the long s is
 * left in text in lower case, and one mark (U+0345) that its Unicode calls a letter's other case and that so is in no word.
 */
const WORD = new RegExp(
  `<\\|[sſ]tartoftext\\|>|<\\|endoftext\\|>|'[sſ]|'t|'re|'ve|'m|'ll|'d|\\p{L}+|\\p{N}|[^${WHITE_SPACE}\\p{L}\\p{N}\\u0345]+`,
  "gu",
);

/** Splits text that `cleanText` returned. */
export function splitWords(text: string): string[] {
  return text.match(WORD) ?? [];
}
