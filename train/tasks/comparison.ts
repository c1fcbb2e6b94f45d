/** Sentences against clips on a trained model: what is asked of it, and the scores block by block. */

import {
  clipTokenizer,
  frameSentence,
  type Sentence,
  subsetTokenizer,
  type Tokenizer,
} from "../../data/text/tokenizer.ts";
import { createModel } from "../../models/create.ts";
import type { TextSide, VideoModel } from "../../models/video_model.ts";
import { sizeOf } from "../../gpu/graph.ts";
import { modelSpec } from "../recipe/model.ts";
import type { BatchInput, InputValues } from "../runtime/objective.ts";
import type { Query } from "../runtime/query.ts";
import type { Session } from "../runtime/session.ts";
import type { PlacedClip, ScoredClip, TaskRecipe } from "./task.ts";

/** Sentences and clips that are compared at once. */
export interface BlockSize {
  readonly sentences: number;
  readonly clips: number;
}

/** Sentences that are read at once, at most. */
const SENTENCES_AT_ONCE = 64;
/** Sentences that are encoded at once: the least of these that holds them. One sentence need not wait for 64. */
const ENCODED_AT_ONCE = [4, SENTENCES_AT_ONCE];
/** Of an evaluation: many sentences with many clips. */
const EVALUATED: BlockSize = { sentences: SENTENCES_AT_ONCE, clips: 256 };
/** Clips that one sentence is compared with at once, and the numbers that say what these are, at most: 16 MiB. */
const SEARCHED_CLIPS = 2 ** 14, SEARCHED_VALUES = 2 ** 22;
/** What a question costs beside its comparisons, in comparisons of a sentence with a clip, about (15 ms; llvmpipe, 2026-11-28). */
const QUESTION = 12_000;

/** Blocks of a search: also one sentence with very many clips. */
export function searchBlocks({ clipOutputs }: Pick<TextSide, "clipOutputs">): BlockSize[] {
  const each = Object.values(clipOutputs).reduce((sum, shape) => sum + sizeOf(shape), 0);
  const clips = Math.min(SEARCHED_CLIPS, Math.max(EVALUATED.clips, Math.floor(SEARCHED_VALUES / each)));
  return [EVALUATED, { sentences: 1, clips }];
}

/** The blocks that compare so many in the least time. */
function cheapest(sizes: readonly BlockSize[], { sentences, clips }: BlockSize): BlockSize {
  const cost = (size: BlockSize) =>
    Math.ceil(sentences / size.sentences) * Math.ceil(clips / size.clips) *
    (size.sentences * size.clips + QUESTION);
  return sizes.reduce((best, size) => cost(size) < cost(best) ? size : best);
}

function sentenceQuery(count: number): string {
  return `sentences.${count}`;
}

function scoreQuery({ sentences, clips }: BlockSize): string {
  return `scores.${sentences}x${clips}`;
}

/** Features of one clip, or of one sentence, by the names of the model's outputs. */
export type Features = Readonly<Record<string, Float32Array>>;
/** What the network says of a clip. */
export type ClipFeatures = Features;

/** A model that compares clips with sentences. */
export type RetrievalModel = VideoModel & { readonly text: TextSide };

/**
 * The model that a recipe asks for.
 *
 * @throws {RangeError} where it reads no sentences.
 */
export function retrievalModel(recipe: TaskRecipe): RetrievalModel {
  const model = createModel(modelSpec(recipe)), { text } = model;
  if (!text) throw new RangeError(`Cannot compare clips with sentences: "${recipe.system}" reads none`);
  return Object.assign(model, { text });
}

/** The tokenizer of a text tower: CLIP's, or that of the tokens that its table holds. */
export async function tokenizerOf({ tokens }: Pick<TextSide, "tokens">): Promise<Tokenizer> {
  const whole = await clipTokenizer();
  return tokens === null ? whole : subsetTokenizer(whole, tokens);
}

/** Which frames of clips are frames, and which only fill up, `[clips T]`. */
export function frameMask(clips: readonly Pick<PlacedClip, "frameCount">[], frames: number): Float32Array {
  return Float32Array.from(
    clips.flatMap(({ frameCount }) => Array.from({ length: frames }, (_, t) => t < frameCount ? 1 : 0)),
  );
}

/** The mean of what the network says of a clip over its views. */
export function meanFeatures(views: ScoredClip["views"]): ClipFeatures {
  if (views.length === 1) return views[0];
  const mean = (name: string) => {
    const sums = new Float64Array(views[0][name].length);
    for (const view of views) view[name].forEach((value, i) => sums[i] += value);
    return Float32Array.from(sums, (sum) => sum / views.length);
  };
  return Object.fromEntries(Object.keys(views[0]).map((name) => [name, mean(name)]));
}

/**
 * What is asked of a model: the features of sentences, and the scores of sentences with clips.
 *
 * @param blocks By default those of an evaluation.
 */
export function comparisonQueries(recipe: TaskRecipe, blocks: readonly BlockSize[] = [EVALUATED]): Query[] {
  const { text, config: { frames } } = retrievalModel(recipe);
  const of = (count: number, shapes: Readonly<Record<string, readonly number[]>>) =>
    Object.fromEntries(
      Object.entries(shapes).map((
        [name, shape],
      ): [string, BatchInput] => [name, { shape: [count, ...shape] }]),
    );
  const encoders = ENCODED_AT_ONCE.map((count): Query => ({
    name: sentenceQuery(count),
    inputs: {
      ids: { shape: [count, text.words], dtype: "u32" },
      ends: { shape: [count], dtype: "u32" },
      word_mask: { shape: [count, text.words] },
    },
    record: (g, model, inputs) => ({ ...model.text!.encode(g, inputs, { mode: "eval" }) }),
  }));
  const comparisons = blocks.map((size): Query => ({
    name: scoreQuery(size),
    inputs: {
      ...of(size.sentences, text.sentenceOutputs),
      ...of(size.clips, text.clipOutputs),
      word_mask: { shape: [size.sentences, text.words] },
      frame_mask: { shape: [size.clips, frames] },
    },
    record: (g, model, inputs) => ({
      scores: model.text!.compare(g, { outputs: inputs, inputs }, { mode: "eval" }),
    }),
  }));
  return [...encoders, ...comparisons];
}

/** What the network says of some clips, clip after clip, and which of their frames are frames, `[clips T]`. */
export interface ClipBlock {
  readonly features: ClipFeatures;
  readonly frameMask: Float32Array;
}

/** What the network says of clips. */
export interface ClipTable {
  readonly count: number;
  /** That of some clips, as a copy: a message to the GPU's thread takes the whole memory that values lie in. */
  block(first: number, count: number): ClipBlock;
}

/** Clips one after another. */
export function clipTable(
  { text, config: { frames } }: Pick<RetrievalModel, "text" | "config">,
  clips: readonly { readonly features: ClipFeatures; readonly clip: Pick<PlacedClip, "frameCount"> }[],
): ClipTable {
  const tables = Object.entries(text.clipOutputs).map(([name, shape]) => ({
    name,
    each: sizeOf(shape),
    values: stacked(clips.map(({ features }) => features[name]), shape),
  }));
  return {
    count: clips.length,
    block: (first, count) => ({
      features: Object.fromEntries(
        tables.map(({ name, each, values }) => [name, values.slice(first * each, (first + count) * each)]),
      ),
      frameMask: frameMask(clips.slice(first, first + count).map(({ clip }) => clip), frames),
    }),
  };
}

/** Clips whose features are known, ready to be compared with sentences. */
export class Searcher {
  readonly #text: TextSide;
  readonly #frames: number;
  readonly #ask: Session["ask"];
  readonly #tokenizer: Tokenizer;
  readonly #clips: ClipTable;
  readonly #blocks: readonly BlockSize[];

  /** @param options.clips In the order of the scores. @param options.blocks Those that the queries were made for. */
  static async over(
    model: Pick<RetrievalModel, "text" | "config">,
    options: { ask: Session["ask"]; clips: ClipTable; blocks?: readonly BlockSize[] },
  ): Promise<Searcher> {
    return new Searcher(model, { ...options, tokenizer: await tokenizerOf(model.text) });
  }

  private constructor(
    { text, config }: Pick<RetrievalModel, "text" | "config">,
    { ask, clips, blocks = [EVALUATED], tokenizer }: {
      ask: Session["ask"];
      clips: ClipTable;
      blocks?: readonly BlockSize[];
      tokenizer: Tokenizer;
    },
  ) {
    this.#text = text;
    this.#frames = config.frames;
    this.#ask = ask;
    this.#tokenizer = tokenizer;
    this.#clips = clips;
    this.#blocks = blocks;
  }

  /** Scores of sentences with every clip, some sentences at a time: `[some clips]` from sentence `first` on. */
  async *rows(
    sentences: readonly string[],
    options: { signal?: AbortSignal } = {},
  ): AsyncGenerator<{ first: number; scores: Float32Array<ArrayBuffer> }> {
    const { count: clips } = this.#clips;
    const size = cheapest(this.#blocks, { sentences: sentences.length, clips });
    for (const [i, texts] of chunks(sentences, size.sentences).entries()) {
      const scores = new Float32Array(texts.length * clips);
      let given: Record<string, InputValues> = await this.#encode(texts, { count: size.sentences });
      for (let start = 0; start < clips; start += size.clips) {
        options.signal?.throwIfAborted();
        const count = Math.min(size.clips, clips - start);
        const block = this.#inputs(start, count, size.clips);
        const { scores: part } = await this.#ask(scoreQuery(size), { ...given, ...block });
        given = {}; // they stay on the GPU
        for (let row = 0; row < texts.length; row++) {
          const from = part.subarray(row * size.clips, row * size.clips + count);
          scores.set(from, row * clips + start);
        }
      }
      yield { first: i * size.sentences, scores };
    }
  }

  /** What a comparison reads of so many clips, filled up to as many as it takes. */
  #inputs(first: number, count: number, filled: number): Record<string, Float32Array> {
    const { features, frameMask } = this.#clips.block(first, count);
    return {
      ...Object.fromEntries(
        Object.entries(this.#text.clipOutputs).map(([name, shape]) =>
          [name, padTo(features[name], filled * sizeOf(shape), 0)] as const
        ),
      ),
      frame_mask: padTo(frameMask, filled * this.#frames, 1),
    };
  }

  /** What the network says of sentences, some at a time: the values of each output, sentence after sentence. */
  async *features(sentences: readonly string[]): AsyncGenerator<Features> {
    for (const texts of chunks(sentences, SENTENCES_AT_ONCE)) {
      const { word_mask: _, ...features } = await this.#encode(texts, { count: texts.length });
      yield features;
    }
  }

  /** Features and masks of sentences, one after another. @param options.count Filled up to so many. */
  async #encode(
    texts: readonly string[],
    { count }: { count: number },
  ): Promise<Record<string, Float32Array>> {
    const { words, sentenceOutputs } = this.#text, encoded = ENCODED_AT_ONCE.find((n) => n >= texts.length)!;
    const sentences = texts.map((text) => frameSentence(this.#tokenizer, text, { words }));
    const inputs = sentenceInputs(sentences, { words, count: encoded });
    const features = await this.#ask(sentenceQuery(encoded), inputs);
    const cut = (values: Float32Array, each: number, filler: number) =>
      padTo(values.subarray(0, Math.min(encoded, count) * each), count * each, filler);
    return {
      ...Object.fromEntries(
        Object.entries(sentenceOutputs).map(([name, shape]) =>
          [name, cut(features[name], sizeOf(shape), 0)] as const
        ),
      ),
      word_mask: cut(inputs.word_mask, words, 1),
    };
  }
}

/** What encodes so many sentences. Where there are fewer, the rest is empty ones. */
function sentenceInputs(sentences: readonly Sentence[], { words, count }: { words: number; count: number }) {
  const ids = new Uint32Array(count * words), ends = new Uint32Array(count);
  // A softmax over no word at all would be no number.
  const wordMask = new Float32Array(count * words).fill(1);
  sentences.forEach(({ ids: own, mask, end }, i) => {
    ids.set(own, i * words);
    wordMask.set(mask, i * words);
    ends[i] = end;
  });
  return { ids, ends, word_mask: wordMask };
}

/** Values one after another. */
function stacked(values: readonly Float32Array[], shape: readonly number[]): Float32Array {
  const each = sizeOf(shape), all = new Float32Array(values.length * each);
  values.forEach((own, i) => all.set(own, i * each));
  return all;
}

function padTo(values: Float32Array, length: number, filler: number): Float32Array {
  if (values.length === length) return values;
  const all = new Float32Array(length).fill(filler);
  all.set(values);
  return all;
}

function chunks<T>(list: readonly T[], size: number): T[][] {
  return Array.from(
    { length: Math.ceil(list.length / size) },
    (_, i) => list.slice(i * size, (i + 1) * size),
  );
}
