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
import { modelSpec } from "../recipe/model.ts";
import type { BatchInput, InputValues } from "../runtime/objective.ts";
import type { Query } from "../runtime/query.ts";
import type { Session } from "../runtime/session.ts";
import type { PlacedClip, ScoredClip, TaskRecipe } from "./task.ts";

/** Sentences and clips that are compared at once. */
const SENTENCES_AT_ONCE = 64, CLIPS_AT_ONCE = 256;
/** Sentences that are encoded at once: the least of these that holds them. One sentence need not wait for 64. */
const ENCODED_AT_ONCE = [4, SENTENCES_AT_ONCE];

function sentenceQuery(count: number): string {
  return `sentences.${count}`;
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

/** What an evaluation asks a model: the features of sentences, and the scores of sentences with clips. */
export function comparisonQueries(recipe: TaskRecipe): Query[] {
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
  return [...encoders, {
    name: "scores",
    inputs: {
      ...of(SENTENCES_AT_ONCE, text.sentenceOutputs),
      ...of(CLIPS_AT_ONCE, text.clipOutputs),
      word_mask: { shape: [SENTENCES_AT_ONCE, text.words] },
      frame_mask: { shape: [CLIPS_AT_ONCE, frames] },
    },
    record: (g, model, inputs) => ({
      scores: model.text!.compare(g, { outputs: inputs, inputs }, { mode: "eval" }),
    }),
  }];
}

/** Clips whose features are known, ready to be compared with sentences. */
export class Searcher {
  readonly #text: TextSide;
  readonly #ask: Session["ask"];
  readonly #tokenizer: Tokenizer;
  readonly #count: number;
  /** Inputs of "scores" by block of clips. */
  readonly #blocks: readonly Readonly<Record<string, Float32Array>>[];

  /** @param clips In the order of the scores. */
  static async over(
    { text, config: { frames } }: Pick<RetrievalModel, "text" | "config">,
    ask: Session["ask"],
    clips: readonly { readonly features: ClipFeatures; readonly clip: Pick<PlacedClip, "frameCount"> }[],
  ): Promise<Searcher> {
    const blocks = chunks(clips, CLIPS_AT_ONCE).map((block) => ({
      ...Object.fromEntries(
        Object.entries(text.clipOutputs).map(([name, shape]) =>
          [name, stacked(block.map(({ features }) => features[name]), shape, CLIPS_AT_ONCE)] as const
        ),
      ),
      frame_mask: padTo(frameMask(block.map(({ clip }) => clip), frames), CLIPS_AT_ONCE * frames, 1),
    }));
    return new Searcher(text, ask, { tokenizer: await tokenizerOf(text), count: clips.length, blocks });
  }

  private constructor(
    text: TextSide,
    ask: Session["ask"],
    parts: {
      tokenizer: Tokenizer;
      count: number;
      blocks: readonly Readonly<Record<string, Float32Array>>[];
    },
  ) {
    this.#text = text;
    this.#ask = ask;
    this.#tokenizer = parts.tokenizer;
    this.#count = parts.count;
    this.#blocks = parts.blocks;
  }

  /** Scores of sentences with every clip, some sentences at a time: `[some clips]` from sentence `first` on. */
  async *rows(
    sentences: readonly string[],
    options: { signal?: AbortSignal } = {},
  ): AsyncGenerator<{ first: number; scores: Float32Array<ArrayBuffer> }> {
    for (const [i, texts] of chunks(sentences, SENTENCES_AT_ONCE).entries()) {
      const scores = new Float32Array(texts.length * this.#count);
      let given: Record<string, InputValues> = await this.#encode(texts, { whole: true });
      for (const [k, block] of this.#blocks.entries()) {
        options.signal?.throwIfAborted();
        const { scores: part } = await this.#ask("scores", { ...given, ...block });
        given = {}; // they stay on the GPU
        const start = k * CLIPS_AT_ONCE, count = Math.min(CLIPS_AT_ONCE, this.#count - start);
        for (let row = 0; row < texts.length; row++) {
          const from = part.subarray(row * CLIPS_AT_ONCE, row * CLIPS_AT_ONCE + count);
          scores.set(from, row * this.#count + start);
        }
      }
      yield { first: i * SENTENCES_AT_ONCE, scores };
    }
  }

  /** What the network says of sentences, some at a time: the values of each output, sentence after sentence. */
  async *features(sentences: readonly string[]): AsyncGenerator<Features> {
    for (const texts of chunks(sentences, SENTENCES_AT_ONCE)) {
      const { word_mask: _, ...features } = await this.#encode(texts, { whole: false });
      yield features;
    }
  }

  /** Features and masks of sentences, one after another. @param options.whole Filled up to as many as "scores" takes. */
  async #encode(
    texts: readonly string[],
    { whole }: { whole: boolean },
  ): Promise<Record<string, Float32Array>> {
    const { words, sentenceOutputs } = this.#text, encoded = ENCODED_AT_ONCE.find((n) => n >= texts.length)!;
    const sentences = texts.map((text) => frameSentence(this.#tokenizer, text, { words }));
    const inputs = sentenceInputs(sentences, { words, count: encoded });
    const features = await this.#ask(sentenceQuery(encoded), inputs);
    const count = whole ? SENTENCES_AT_ONCE : texts.length;
    const cut = (values: Float32Array, each: number, filler: number) =>
      padTo(values.subarray(0, Math.min(encoded, count) * each), count * each, filler);
    return {
      ...Object.fromEntries(
        Object.entries(sentenceOutputs).map(([name, shape]) =>
          [name, cut(features[name], shape.reduce((a, b) => a * b, 1), 0)] as const
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

/** Values one after another, filled up with zeros to so many. */
function stacked(values: readonly Float32Array[], shape: readonly number[], count: number): Float32Array {
  const each = shape.reduce((a, b) => a * b, 1), all = new Float32Array(count * each);
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
