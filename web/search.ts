/** Videos that are searched with sentences: what a network for retrieval says of their parts, compared as the command line does. */
import type { SubsetTokenizer } from "../data/text/tokenizer.ts";
import { clipTable, type RetrievalModel, Searcher, tokenizerOf } from "../train/tasks/comparison.ts";
import type { LoadedModel } from "./model.ts";
import { type Said, type ScoreOptions, scoreVideo } from "./predict.ts";
import type { EmbeddedVideo, Hit } from "./protocol.ts";
import { BLOCK } from "./sentences.ts";
import type { OpenVideo } from "./video.ts";

/** Parts that are shown. */
const MOST_HITS = 20;

/** A part of a video and what the network said of it. */
interface Row {
  readonly video: number;
  readonly from: number;
  readonly to: number;
  readonly features: Said;
  readonly clip: { readonly frameCount: number };
}

/** The parts of all videos so far. */
export class Library {
  #rows: readonly Row[] = [];

  /** Takes note of a video, in place of what was known of its number. */
  async add(
    loaded: LoadedModel,
    { number, video }: { number: number; video: OpenVideo },
    options: ScoreOptions,
  ): Promise<EmbeddedVideo> {
    const started = performance.now(), { seconds } = video.times;
    const { windows, said, frameCounts, thumbnails } = await scoreVideo(loaded, video, options);
    const rows = said.map((features, i): Row => {
      const { from, to } = windows?.[i] ?? { from: 0, to: seconds };
      return { video: number, from, to, features, clip: { frameCount: frameCounts[i] } };
    });
    this.#rows = [...this.#rows.filter((row) => row.video !== number), ...rows];
    return {
      file: video.name,
      seconds,
      thumbnails,
      parts: rows.length,
      computeMs: performance.now() - started,
    };
  }

  /** Forgets a video. */
  remove(video: number): void {
    this.#rows = this.#rows.filter((row) => row.video !== video);
  }

  /** The parts that a sentence finds, best first; of equal scores the earlier one. */
  async search(
    { session, model }: LoadedModel,
    sentence: string,
  ): Promise<{ hits: Hit[]; unknown: string[] }> {
    const own = model as RetrievalModel, tokenizer = await tokenizerOf(own.text), rows = this.#rows;
    const unknown = "unknownIn" in tokenizer ? (tokenizer as SubsetTokenizer).unknownIn(sentence) : [];
    if (rows.length === 0) return { hits: [], unknown };
    const searcher = await Searcher.over(own, {
      ask: (...question) => session.ask(...question),
      clips: clipTable(own, rows),
      blocks: [BLOCK],
    });
    // Where a sentence is one vector, the command line shows cosines.
    const scale = "sentence" in own.text.sentenceOutputs
      ? Math.exp((await session.read(["logit_scale"])).get("logit_scale")![0])
      : 1;
    const hits: Hit[] = [];
    for await (const { scores } of searcher.rows([sentence])) {
      rows.forEach(({ video, from, to }, i) => hits.push({ video, from, to, score: scores[i] / scale }));
    }
    return { hits: hits.sort((a, b) => b.score - a.score).slice(0, MOST_HITS), unknown };
  }
}
