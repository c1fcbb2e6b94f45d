/**
 * Metrics of retrieval from a matrix of scores `[sentences videos]`: where the right one stands among all, for every sentence (text to
 * video) and for every video (video to text).
 *
 * A rank is 1 more than the number of others with a strictly larger score, one rank a query: what ties with the right one does not
 * stand before it. Without ties the figures are those of the published code (https://github.com/HJYao00/Side4Video, which has
 * CLIP4Clip's); with ties that code counts a query once for every place that its score has in the sorted row.
 *
 * Video to text: the score of a video with another one's captions is the largest of them, and the rank is among the videos.
 * The median is the mean of the two middle ranks; from text to video, where any video has several sentences, it is the lower one.
 */
import { ConfigError, NonFiniteError } from "../../lib/errors.ts";

/** Metrics of both directions under the names they are written by. R@k are shares of 1, ranks count from 1. */
export type RetrievalMetrics = Record<
  `${"t2v" | "v2t"}_${"r1" | "r5" | "r10" | "median_rank" | "mean_rank"}`,
  number
>;

/** What is known of an evaluation. */
export interface RetrievalResult {
  readonly metrics: RetrievalMetrics;
  /** Of every sentence: the rank of its video. */
  readonly sentenceRanks: Uint32Array;
  /** Of every video: the rank of its captions; 0 for a video that has none, which is no query. */
  readonly videoRanks: Uint32Array;
  /**
   * Number of sentences whose video has the same score as another one. Many of them tell of a network that gives everything one score,
   * whose ranks would all be 1.
   */
  readonly tiedSentences: number;
  /** Number of videos with captions whose score with them is the same as another video's captions give: those of equal captions, say. */
  readonly tiedVideos: number;
}

/** Whose sentences they are. */
export interface Owners {
  /** The video of every sentence, from 0. */
  readonly owners: ArrayLike<number>;
  /** Number of videos. */
  readonly videos: number;
}

/** Rows of scores, row by row. */
type Scores = Float32Array | Float64Array;

/**
 * Ranks from rows that come in blocks, in any order. Text to video needs a row at a time; video to text keeps the largest score of
 * every video with every other one's captions: 4·videos² bytes.
 *
 * @example
 * const ranking = new RetrievalRanking({ owners: [0, 0, 1], videos: 2 });
 * ranking.add(0, new Float32Array([0.9, 0.1, 0.2, 0.4]));
 * ranking.add(2, new Float32Array([0.3, 0.5]));
 * ranking.result().metrics.t2v_r1; // 2 of 3
 */
export class RetrievalRanking {
  readonly #owners: ArrayLike<number>;
  readonly #videos: number;
  readonly #sentenceRanks: Uint32Array;
  #tied = 0;
  /** `[owner video]`: the largest score of a video with the owner's sentences. */
  readonly #largest: Float64Array | Float32Array;

  /** @param options.precise Keep scores of video to text in 64 bits. */
  constructor({ owners, videos }: Owners, options: { precise?: boolean } = {}) {
    for (let s = 0; s < owners.length; s++) {
      if (!Number.isInteger(owners[s]) || owners[s] < 0 || owners[s] >= videos) {
        throw new RangeError(
          `Cannot rank: the video of sentence ${s} must be in 0 … ${videos - 1}, current value is ${
            owners[s]
          }`,
        );
      }
    }
    this.#owners = owners;
    this.#videos = videos;
    this.#sentenceRanks = new Uint32Array(owners.length);
    this.#largest = new (options.precise ? Float64Array : Float32Array)(videos * videos).fill(-Infinity);
  }

  /** Takes the rows of the sentences from `first` on. @throws {NonFiniteError} where a score is no number */
  add(first: number, scores: Scores): void {
    const videos = this.#videos, count = scores.length / videos;
    if (!Number.isInteger(count) || first + count > this.#owners.length) {
      throw new RangeError(
        `Cannot rank: rows from sentence ${first} on must have ${videos} scores each and end at ${this.#owners.length}, ` +
          `current count of scores is ${scores.length}`,
      );
    }
    for (let row = 0; row < count; row++) {
      this.#addRow(first + row, scores.subarray(row * videos, (row + 1) * videos));
    }
  }

  #addRow(sentence: number, row: Scores): void {
    const owner = this.#owners[sentence], right = row[owner], largest = this.#largest;
    const start = owner * this.#videos;
    let before = 0, equal = 0;
    for (let video = 0; video < row.length; video++) {
      const score = row[video];
      if (!Number.isFinite(score)) {
        throw new NonFiniteError(
          `Cannot rank: the score of sentence ${sentence} with video ${video} must be finite, current value is ${score}`,
        );
      }
      if (score > right) before++;
      else if (score === right) equal++;
      if (score > largest[start + video]) largest[start + video] = score;
    }
    this.#sentenceRanks[sentence] = before + 1;
    if (equal > 1) this.#tied++;
  }

  /** Metrics and ranks of all rows. @throws {RangeError} where rows are missing */
  result(): RetrievalResult {
    const missing = this.#sentenceRanks.indexOf(0);
    if (missing >= 0) throw new RangeError(`Cannot rank: the scores of sentence ${missing} are missing`);
    const { ranks: videoRanks, tied: tiedVideos } = this.#rankVideos(),
      queries = videoRanks.filter((rank) => rank > 0);
    const isMultiSentence = this.#sentenceRanks.length > queries.length;
    return {
      metrics: {
        ...metricsOf("t2v", this.#sentenceRanks, isMultiSentence ? "lower" : "mean"),
        ...metricsOf("v2t", queries, "mean"),
      },
      sentenceRanks: this.#sentenceRanks,
      videoRanks,
      tiedSentences: this.#tied,
      tiedVideos,
    };
  }

  #rankVideos(): { ranks: Uint32Array; tied: number } {
    const videos = this.#videos, largest = this.#largest, ranks = new Uint32Array(videos);
    const equal = new Uint32Array(videos);
    for (let owner = 0; owner < videos; owner++) {
      for (let video = 0; video < videos; video++) {
        const score = largest[owner * videos + video], right = largest[video * videos + video];
        if (score > right) ranks[video]++;
        else if (score === right) equal[video]++;
      }
    }
    // A video without captions is no query; those of the others may stand before it.
    const isQuery = (video: number) => largest[video * videos + video] !== -Infinity;
    return {
      ranks: ranks.map((before, video) => isQuery(video) ? before + 1 : 0),
      tied: equal.reduce((sum, count, video) => sum + (isQuery(video) && count > 1 ? 1 : 0), 0),
    };
  }
}

/** Metrics of one direction from ranks. @param median what an even number of ranks has in place of a middle one */
export function metricsOf<D extends "t2v" | "v2t">(
  direction: D,
  ranks: Uint32Array,
  median: "lower" | "mean",
): Record<`${D}_${"r1" | "r5" | "r10" | "median_rank" | "mean_rank"}`, number> {
  const count = ranks.length, sorted = ranks.toSorted();
  const within = (k: number) => ranks.reduce((sum, rank) => sum + (rank <= k ? 1 : 0), 0) / count;
  const low = sorted[Math.ceil(count / 2) - 1], high = sorted[Math.floor(count / 2)];
  return {
    [`${direction}_r1`]: within(1),
    [`${direction}_r5`]: within(5),
    [`${direction}_r10`]: within(10),
    [`${direction}_median_rank`]: median === "lower" ? low : (low + high) / 2,
    [`${direction}_mean_rank`]: ranks.reduce((sum, rank) => sum + rank, 0) / count,
  } as Record<`${D}_${"r1" | "r5" | "r10" | "median_rank" | "mean_rank"}`, number>;
}

/** Metrics and ranks from all scores, `[sentences videos]`. @param options.dualSoftmax re-weigh the scores first */
export function rankScores(
  scores: Scores,
  { owners, videos, dualSoftmax: dual }: Owners & { dualSoftmax?: DualSoftmaxOptions },
): RetrievalResult {
  const ranked = (of: Scores, precise: boolean) => {
    const ranking = new RetrievalRanking({ owners, videos }, { precise });
    ranking.add(0, of);
    return ranking.result();
  };
  if (dual === undefined) return ranked(scores, scores instanceof Float64Array);
  const toVideo = ranked(dualSoftmax(scores, { ...dual, videos, over: "sentences" }), true);
  const toText = ranked(dualSoftmax(scores, { ...dual, videos, over: "videos" }), true);
  const ofText = Object.entries(toText.metrics).filter(([name]) => name.startsWith("v2t_"));
  return {
    metrics: { ...toVideo.metrics, ...Object.fromEntries(ofText) },
    sentenceRanks: toVideo.sentenceRanks,
    videoRanks: toText.videoRanks,
    tiedSentences: toVideo.tiedSentences,
    tiedVideos: toText.tiedVideos,
  };
}

export interface DualSoftmaxOptions {
  /** What scores are divided by inside the softmax: 0.01 is the scale of a trained CLIP. */
  readonly temperature: number;
}

/**
 * Scores times their softmax over all queries of the other direction, which lowers what answers every query: over the sentences for text
 * to video, over the videos for video to text. It looks at all queries at once, so figures with it are no plain ones.
 *
 * Dual softmax of CAMoE (https://arxiv.org/abs/2109.04290), used at inference alone. In 64 bits: what is small must not
 * become equal.
 */
export function dualSoftmax(
  scores: Scores,
  { videos, over, temperature }: DualSoftmaxOptions & { videos: number; over: "sentences" | "videos" },
): Float64Array {
  if (!(temperature > 0)) {
    throw new ConfigError(
      `Cannot weigh scores by dual softmax: its temperature must be above 0, current value is ${temperature}`,
    );
  }
  const sentences = scores.length / videos, weighted = new Float64Array(scores.length);
  const [lines, length, step, between] = over === "videos"
    ? [sentences, videos, 1, videos]
    : [videos, sentences, videos, 1];
  for (let line = 0; line < lines; line++) {
    const start = line * between;
    let largest = -Infinity, sum = 0;
    for (let i = 0; i < length; i++) largest = Math.max(largest, scores[start + i * step]);
    for (let i = 0; i < length; i++) {
      sum += weighted[start + i * step] = Math.exp((scores[start + i * step] - largest) / temperature);
    }
    for (let i = 0; i < length; i++) weighted[start + i * step] *= scores[start + i * step] / sum;
  }
  return weighted;
}
