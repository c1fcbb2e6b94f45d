/**
 * Texts as tokens: CLIP's byte-pair encoding, which EVA's towers use too (their tokenizer only calls the first and the last token
 * `<start_of_text>` and `<end_of_text>`), and the forms in which networks take a sentence.
 */
import { ConfigError, DataError } from "../../lib/errors.ts";
import { shorten } from "../../lib/text.ts";
import { cleanText } from "./clean.ts";
import { clipVocabulary } from "./vocabulary.ts";
import { END_OF_TEXT, splitWords, START_OF_TEXT } from "./words.ts";

/** A word of a text, cleaned, and its tokens. */
export interface Word {
  readonly text: string;
  readonly ids: readonly number[];
}

/** Turns text into tokens as CLIP reads them. */
export interface Tokenizer {
  /** Tokens there are: rows of a token table. */
  readonly vocabulary: number;
  /** The token that every sentence begins with. */
  readonly start: number;
  /** The token that ends a sentence: the largest, because towers pool where the largest id is. */
  readonly end: number;
  /** The words of a text in order; what a text spells as a special token is that token. */
  words(text: string): Word[];
  /** The tokens of a text, without start and end. */
  encode(text: string): number[];
}

/** Tokens of a text tower that holds only some of CLIP's. */
export interface SubsetTokenizer extends Tokenizer {
  /** Words of a text of which it lacks tokens, each once, as they are cleaned. */
  unknownIn(text: string): string[];
}

/** A sentence as a network takes it, of a fixed length. */
export interface Sentence {
  /** Start, tokens, end, zeros. */
  readonly ids: Uint32Array<ArrayBuffer>;
  /** 1 where there is a token, the first and the last among them; 0 where there is padding. */
  readonly mask: Float32Array<ArrayBuffer>;
  /** The place of the end token, the first where the text itself spells one: where towers pool. */
  readonly end: number;
}

/** Words whose tokens are remembered (a megabyte or so), and characters of one at most. */
const WORDS_KEPT = 4096, LONGEST_KEPT = 32;

/**
 * CLIP's tokenizer of 49,408 tokens: 256 bytes, 256 bytes that end a word, 48,894 merges, start, end.
 *
 * @example `(await clipTokenizer()).encode("a man is playing a guitar")` is `[320, 786, 533, 1629, 320, 5084]`
 */
export async function clipTokenizer(): Promise<Tokenizer> {
  const pairs = await clipVocabulary();
  const start = pairs.size, end = start + 1;
  const special = new Map([[START_OF_TEXT, [start]], [END_OF_TEXT, [end]]]);
  const lately = new Map<string, readonly number[]>(); // of captions, most words come again
  const idsOf = (word: string) => {
    const known = special.get(word) ?? lately.get(word);
    if (known) return known;
    const ids = pairs.encode(word);
    if (word.length > LONGEST_KEPT) return ids;
    if (lately.size === WORDS_KEPT) lately.delete(lately.keys().next().value!);
    lately.set(word, ids);
    return ids;
  };
  const words = (text: string) =>
    splitWords(cleanText(text)).map((word) => ({ text: word, ids: idsOf(word) }));
  return { vocabulary: end + 1, start, end, words, encode: (text) => words(text).flatMap(({ ids }) => ids) };
}

/**
 * The tokenizer of a small tower, whose table of tokens has rows for some of CLIP's only. A token's new id is its place in
 * `tokens`; tokens that are not there are left out of what it encodes, so that a sentence of unknown words is start and end.
 * Words are still split as `whole` splits them: a list made by `tokensOf` from the sentences to be said holds all their pieces.
 *
 * @param tokens ids of `whole`, ascending, the last two its start and end
 * @throws {ConfigError} where they are not
 */
export function subsetTokenizer(whole: Tokenizer, tokens: readonly number[]): SubsetTokenizer {
  requireSubset(whole, tokens);
  const place = new Map(tokens.map((id, i) => [id, i]));
  const known = (ids: readonly number[]) => ids.map((id) => place.get(id)).filter((id) => id !== undefined);
  const words = (text: string) =>
    whole.words(text).map((word) => ({ text: word.text, ids: known(word.ids) })).filter(({ ids }) =>
      ids.length > 0
    );
  return {
    vocabulary: tokens.length,
    start: tokens.length - 2,
    end: tokens.length - 1,
    words,
    encode: (text) => words(text).flatMap(({ ids }) => ids),
    unknownIn: (text) => {
      const lacking = whole.words(text).filter(({ ids }) => ids.some((id) => !place.has(id)));
      return [...new Set(lacking.map((word) => word.text))];
    },
  };
}

function requireSubset(whole: Tokenizer, tokens: readonly number[]): void {
  const wrong = tokens.findIndex((id, i) =>
    !Number.isInteger(id) || id < 0 || id >= whole.vocabulary || (i > 0 && id <= tokens[i - 1])
  );
  if (wrong >= 0) {
    throw new ConfigError(
      `Cannot use the list of tokens: they must be ascending ids below ${whole.vocabulary}, token ${wrong} is ${
        tokens[wrong]
      }`,
    );
  }
  if (tokens.at(-2) === whole.start && tokens.at(-1) === whole.end) return;
  throw new ConfigError(
    `Cannot use the list of tokens: it must end in ${whole.start} and ${whole.end}, the start and the end of a text, ` +
      `it ends in ${tokens.slice(-2).join(" and ") || "nothing"}`,
  );
}

/** What `subsetTokenizer` needs to say all of some texts: their tokens, start and end, ascending. */
export function tokensOf(whole: Tokenizer, texts: Iterable<string>): number[] {
  const ids = new Set([whole.start, whole.end]);
  for (const text of texts) for (const id of whole.encode(text)) ids.add(id);
  return [...ids].sort((a, b) => a - b);
}

/**
 * A sentence for retrieval: what exceeds `words` tokens, start and end among them, is left out.
 *
 * @param words tokens of a sentence, 2 or more
 */
export function frameSentence(tokenizer: Tokenizer, text: string, { words }: { words: number }): Sentence {
  if (!Number.isInteger(words) || words < 2) {
    throw new RangeError(
      `Cannot frame a sentence: words must be an integer of at least 2, current value is ${words}`,
    );
  }
  return framed(tokenizer, tokenizer.encode(text).slice(0, words - 2), words);
}

/**
 * A text as OpenAI's `clip.tokenize` frames it, for class names and prompts: too long a text is an error unless it may be
 * truncated, as EVA's always is.
 *
 * @param options `context`: tokens of a text, 77 in the published towers
 * @throws {DataError} where the text is too long
 */
export function frameStrict(
  tokenizer: Tokenizer,
  text: string,
  { context, truncate = false }: { context: number; truncate?: boolean },
): Sentence {
  const count = truncate ? 0 : tokenizer.encode(text).length + 2;
  if (count <= context) return frameSentence(tokenizer, text, { words: context });
  throw new DataError(
    `Cannot tokenize "${
      shorten(text)
    }": it must have at most ${context} tokens with start and end, current count is ${count}; shorten it`,
  );
}

function framed({ start, end }: Tokenizer, tokens: readonly number[], length: number): Sentence {
  const sequence = [start, ...tokens, end];
  const ids = new Uint32Array(length), mask = new Float32Array(length);
  ids.set(sequence);
  mask.fill(1, 0, sequence.length);
  return { ids, mask, end: sequence.indexOf(end) };
}
