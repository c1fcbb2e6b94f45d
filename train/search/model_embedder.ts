/** A network for retrieval on a GPU, as what turns clips and sentences into features. */

import type { TellStage } from "../../lib/stage.ts";
import type { ClipRecord } from "../../data/datasets/list.ts";
import type { SubsetTokenizer } from "../../data/text/tokenizer.ts";
import { formatCount, shorten } from "../../lib/text.ts";
import { scoreClips, type Views } from "../evaluation/evaluate.ts";
import { openTrainedModel } from "../evaluation/trained_model.ts";
import { largestFrame } from "../feed/probe.ts";
import { loadBackbone } from "../files/checkpoint.ts";
import { createModel } from "../../models/mod.ts";
import type { TextSide } from "../../models/video_model.ts";
import type { Config } from "../recipe/config.ts";
import { modelSpec } from "../recipe/model.ts";
import { openSession } from "../runtime/open_session.ts";
import type { Query } from "../runtime/query.ts";
import type { Session } from "../runtime/session.ts";
import type { TunedChoices } from "../runtime/device/tuned.ts";
import {
  type BlockSize,
  type ClipBlock,
  type ClipTable,
  clipTable,
  comparisonQueries,
  meanFeatures,
  type RetrievalModel,
  retrievalModel,
  searchBlocks,
  Searcher,
  tokenizerOf,
} from "../tasks/comparison.ts";
import { clipsPerBatch, evaluationOptions, halvesNeed } from "../tasks/session_options.ts";
import type { ScoredClip } from "../tasks/task.ts";
import type { EmbeddedClip, Embedder } from "./embedder.ts";
import type { EmbeddingModel } from "./embedding_model.ts";
import { meanVector } from "./search_index.ts";

/**
 * Opens a network on the GPU.
 *
 * @param options.clips Those that will be embedded, for the sizes of their frames.
 * @param options.atOnce Clips that are embedded at once, at most; by default as the model's recipe says, however few there are,
 * because other sizes may take other kernels.
 * @example `await using embedder = await openEmbedder(await findEmbeddingModel(asked), { clips: [] })`
 */
export async function openEmbedder(
  model: EmbeddingModel,
  options: {
    clips: readonly ClipRecord[];
    atOnce?: number;
    choices?: TunedChoices;
    stage?: TellStage;
    /** Ends it before the network is open. */
    signal?: AbortSignal;
  },
): Promise<ModelEmbedder> {
  return new ModelEmbedder(model, await openEmbeddingSession(model, options));
}

/**
 * Opens a session with such a network's weights in it.
 *
 * @param options.queries What is asked of it; by default what an embedder asks.
 */
export async function openEmbeddingSession(
  model: EmbeddingModel,
  { clips, atOnce = Infinity, choices, stage, signal, queries = embeddingQueries(model.config) }: {
    clips: readonly ClipRecord[];
    atOnce?: number;
    choices?: TunedChoices;
    stage?: TellStage;
    signal?: AbortSignal;
    queries?: readonly Query[];
  },
): Promise<Session> {
  const { config, isPlain } = model, { micro_batch_size: most } = config.data;
  const batch = Math.min(clipsPerBatch(config), most ?? Infinity, Math.max(1, atOnce));
  const opening = { choices, stage, signal };
  if (!isPlain) return await openTrainedModel(model, { clips, root: "", batch, queries, ...opening });
  stage?.({ what: "looking at the clips" });
  const frame = await largestFrame(config, [["", clips]], { anySize: true, signal, stage });
  const { session } = await openSession(
    createModel(modelSpec(config)),
    evaluationOptions(config, { clips: batch, largestFrame: frame, queries }),
    { clipsPerVideo: 1, halves: halvesNeed(config), ...opening },
  );
  stage?.({ what: "loading the weights" });
  try {
    await loadBackbone(session, config.network.weights!, { signal });
    return session;
  } catch (error) {
    await session[Symbol.asyncDispose]();
    throw error;
  }
}

/** What a network that embeds is asked. */
export function embeddingQueries(config: Config): Query[] {
  return comparisonQueries(config, blocksOf(retrievalModel(config)));
}

/** How rows of an index are compared with sentences on the GPU; vectors are compared without it. */
function blocksOf({ text }: RetrievalModel): BlockSize[] {
  return isVector(text) ? [] : searchBlocks(text);
}

/** Whether a sentence is one vector, to be compared with one of a clip. */
function isVector({ sentenceOutputs }: TextSide): boolean {
  return "sentence" in sentenceOutputs;
}

/** A network for retrieval with its weights on a GPU. */
export class ModelEmbedder implements Embedder {
  readonly kind: Embedder["kind"];
  readonly shape: readonly number[];
  readonly adapter: string;
  readonly #config: EmbeddingModel["config"];
  readonly #model: RetrievalModel;
  readonly #session: Session;
  readonly #frames: number;
  readonly #dims: number;

  /** @param session Made for `embeddingQueries`. */
  constructor({ config }: Pick<EmbeddingModel, "config">, session: Session) {
    this.#config = config;
    this.#session = session;
    this.#model = retrievalModel(config);
    const { frames: [frames, dims] } = this.#model.text.clipOutputs;
    this.#frames = frames;
    this.#dims = dims;
    this.kind = isVector(this.#model.text) ? "vector" : "words";
    this.shape = this.kind === "vector" ? [dims] : [frames, dims];
    this.adapter = session.adapter;
  }

  async *embedClips(
    clips: readonly ClipRecord[],
    { signal }: { signal?: AbortSignal } = {},
  ): AsyncGenerator<EmbeddedClip> {
    for await (const clip of this.scored(clips, { views: null, signal })) {
      const problems = clip.problems.map(({ problem }) => problem);
      yield clip.bad
        ? { features: null, problems: problems.map(reasonOfBad) }
        : { features: this.featuresOf(clip), problems };
    }
  }

  /** What the network says of clips, in their order. */
  async *scored(
    clips: readonly ClipRecord[],
    { views, signal, note }: { views: Views | null; signal?: AbortSignal; note?: (text: string) => void },
  ): AsyncGenerator<ScoredClip> {
    yield* scoreClips(this.#session, this.#config, {
      clips,
      root: "",
      modality: "either",
      views,
      signal,
      note,
    });
  }

  /** What the network said of a clip as a row of an index. */
  featuresOf({ views, frameCount }: Pick<ScoredClip, "views" | "frameCount">): Float32Array {
    const frames = meanFeatures(views).frames.slice();
    frames.fill(0, frameCount * this.#dims); // these only fill up
    return this.kind === "words"
      ? frames
      : meanVector(frames, { kind: "words", shape: [this.#frames, this.#dims] });
  }

  async embedSentences(texts: readonly string[]): Promise<Float32Array[]> {
    const searcher = await this.#searcher(clipTable(this.#model, []));
    const vectors: Float32Array[] = [];
    for await (const { sentence } of searcher.features(texts)) {
      for (let i = 0; i < sentence.length; i += this.#dims) {
        vectors.push(
          meanVector(sentence.subarray(i, i + this.#dims), { kind: "words", shape: [1, this.#dims] }),
        );
      }
    }
    return vectors;
  }

  async scoreSentences(texts: readonly string[], features: Float32Array): Promise<Float32Array[]> {
    const rows = features.length / (this.#frames * this.#dims);
    const searcher = await this.#searcher({
      count: rows,
      block: (first, count) => this.#blockOf(features, first, count),
    });
    const all: Float32Array[] = [];
    for await (const { scores } of searcher.rows(texts)) {
      for (let at = 0; at < scores.length; at += rows) all.push(scores.subarray(at, at + rows));
    }
    return all;
  }

  /** What the network does not hear of sentences: words that it has no tokens for, and what is too long. One line each. */
  async remarksOn(texts: readonly string[]): Promise<string[]> {
    const tokenizer = await tokenizerOf(this.#model.text), most = this.#model.text.words - 2;
    const unknown = new Set(
      "unknownIn" in tokenizer ? texts.flatMap((text) => (tokenizer as SubsetTokenizer).unknownIn(text)) : [],
    );
    const remarks = unknown.size === 0
      ? []
      : [`the model has no tokens for ${[...unknown].map((word) => `"${shorten(word)}"`).join(", ")}`];
    const long = texts.filter((text) => tokenizer.encode(text).length > most);
    if (long.length > 0) {
      const others = long.length === 1 ? "" : ` and ${formatCount(long.length - 1)} more`;
      remarks.push(`the model reads ${most} tokens of a sentence: "${shorten(long[0])}"${others} is cut`);
    }
    return remarks;
  }

  /** The factor on scores before they become shares: what the network was trained with. */
  async scale(): Promise<number> {
    const [scale] = (await this.#session.read(["logit_scale"])).get("logit_scale")!;
    return Math.exp(scale);
  }

  #searcher(clips: ClipTable): Promise<Searcher> {
    const blocks = blocksOf(this.#model),
      ask: Session["ask"] = (...question) => this.#session.ask(...question);
    return Searcher.over(this.#model, { ask, clips, blocks });
  }

  /** Rows of an index as what the network said of clips: frames that only fill up are like the last one again. */
  #blockOf(rows: Float32Array, first: number, count: number): ClipBlock {
    const most = this.#frames, dims = this.#dims;
    const frames = rows.slice(first * most * dims, (first + count) * most * dims);
    const frameMask = new Float32Array(count * most).fill(1);
    const isFrame = (at: number) => frames.subarray(at * dims, (at + 1) * dims).some((value) => value !== 0);
    for (let start = 0; start < count * most; start += most) {
      const end = start + most;
      let last = end - 1;
      while (last > start && !isFrame(last)) last--;
      for (let at = last + 1; at < end; at++) {
        frames.copyWithin(at * dims, last * dims, (last + 1) * dims);
        frameMask[at] = 0;
      }
    }
    return { features: { frames }, frameMask };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#session[Symbol.asyncDispose]();
  }
}

/** Why nothing of a clip could be read, from what is said of it. */
function reasonOfBad(problem: string): string {
  return problem.replace(/^clip: |; black$/g, "");
}
