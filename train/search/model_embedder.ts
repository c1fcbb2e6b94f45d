/** A network for retrieval on a GPU, as what turns clips and sentences into features. */

import type { ClipRecord } from "../../data/datasets/list.ts";
import type { SubsetTokenizer } from "../../data/text/tokenizer.ts";
import { formatCount, shorten } from "../../lib/text.ts";
import { scoreClips, type Views } from "../evaluation/evaluate.ts";
import { openTrainedModel } from "../evaluation/trained_model.ts";
import { largestFrame } from "../feed/probe.ts";
import { loadBackbone } from "../files/checkpoint.ts";
import { createModel } from "../../models/mod.ts";
import { modelSpec } from "../recipe/model.ts";
import { openSession } from "../runtime/open_session.ts";
import type { Session } from "../runtime/session.ts";
import type { TunedChoices } from "../runtime/device/tuned.ts";
import {
  meanFeatures,
  type RetrievalModel,
  retrievalModel,
  Searcher,
  tokenizerOf,
} from "../tasks/comparison.ts";
import { clipsPerBatch, evaluationOptions, halvesNeed } from "../tasks/session_options.ts";
import type { ScoredClip } from "../tasks/task.ts";
import type { EmbeddedClip, Embedder } from "./embedder.ts";
import type { EmbeddingModel } from "./embedding_model.ts";
import { meanVector } from "./search_index.ts";

/** Rows of an index that are compared with sentences at once. */
const ROWS_AT_ONCE = 4096;

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
  options: { clips: readonly ClipRecord[]; atOnce?: number; choices?: TunedChoices },
): Promise<ModelEmbedder> {
  return new ModelEmbedder(model, await openEmbeddingSession(model, options));
}

async function openEmbeddingSession(
  model: EmbeddingModel,
  { clips, atOnce = Infinity, choices }: {
    clips: readonly ClipRecord[];
    atOnce?: number;
    choices?: TunedChoices;
  },
): Promise<Session> {
  const { config, isPlain } = model, { micro_batch_size: most } = config.data;
  const batch = Math.min(clipsPerBatch(config), most ?? Infinity, Math.max(1, atOnce));
  if (!isPlain) return await openTrainedModel(model, { clips, root: "", batch, choices });
  const frame = await largestFrame(config, [["", clips]], { anySize: true });
  const { session } = await openSession(
    createModel(modelSpec(config)),
    evaluationOptions(config, { clips: batch, largestFrame: frame }),
    { clipsPerVideo: 1, halves: halvesNeed(config), choices },
  );
  try {
    await loadBackbone(session, config.network.weights!);
    return session;
  } catch (error) {
    await session[Symbol.asyncDispose]();
    throw error;
  }
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

  constructor({ config }: EmbeddingModel, session: Session) {
    this.#config = config;
    this.#session = session;
    this.#model = retrievalModel(config);
    const { sentenceOutputs, clipOutputs: { frames: [frames, dims] } } = this.#model.text;
    this.#frames = frames;
    this.#dims = dims;
    this.kind = "sentence" in sentenceOutputs ? "vector" : "words";
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
    { views, signal }: { views: Views | null; signal?: AbortSignal },
  ): AsyncGenerator<ScoredClip> {
    yield* scoreClips(this.#session, this.#config, { clips, root: "", modality: "either", views, signal });
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
    const searcher = await Searcher.over(this.#model, this.#ask, []);
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
    const size = this.#frames * this.#dims, rows = features.length / size;
    const all = texts.map(() => new Float32Array(rows));
    // Some rows at a time: what is compared is copied on its way.
    for (let start = 0; start < rows; start += ROWS_AT_ONCE) {
      const count = Math.min(ROWS_AT_ONCE, rows - start);
      const clips = Array.from({ length: count }, (_, i) => {
        const at = (start + i) * size;
        return this.#clipOf(features.slice(at, at + size));
      });
      const searcher = await Searcher.over(this.#model, this.#ask, clips);
      for await (const { first, scores } of searcher.rows(texts)) {
        for (let i = 0; i * count < scores.length; i++) {
          all[first + i].set(scores.subarray(i * count, (i + 1) * count), start);
        }
      }
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

  /** A row of an index as what the network said of a clip: frames that only fill up are like the last one again. */
  #clipOf(frames: Float32Array) {
    const isFrame = (t: number) =>
      frames.subarray(t * this.#dims, (t + 1) * this.#dims).some((value) => value !== 0);
    let frameCount = this.#frames;
    while (frameCount > 1 && !isFrame(frameCount - 1)) frameCount--;
    const last = frames.subarray((frameCount - 1) * this.#dims, frameCount * this.#dims);
    for (let t = frameCount; t < this.#frames; t++) frames.set(last, t * this.#dims);
    return { features: { frames }, clip: { frameCount } };
  }

  readonly #ask: Session["ask"] = (name, values) => this.#session.ask(name, values);

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#session[Symbol.asyncDispose]();
  }
}

/** Why nothing of a clip could be read, from what is said of it. */
function reasonOfBad(problem: string): string {
  return problem.replace(/^clip: |; black$/g, "");
}
