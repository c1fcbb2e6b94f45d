/**
 * Finding clips by sentences, and sentences by clips: a symmetric cross entropy over the whole batch, in which the other clips and
 * sentences are what is wrong (CLIP; Side4Video's retrieval, spec retrieval §4.1), and the ranks of the right ones among all.
 */

import { frameSentence } from "../../data/text/tokenizer.ts";
import { add, crossEntropy, transpose } from "../../gpu/ops/mod.ts";
import { createPrng } from "../../lib/random.ts";
import { formatCount } from "../../lib/text.ts";
import type { VideoModel } from "../../models/video_model.ts";
import type { BatchInputs } from "../runtime/objective.ts";
import { retrievalLines } from "./_retrieval_files.ts";
import {
  type ClipFeatures,
  clipTable,
  comparisonQueries,
  frameMask,
  meanFeatures,
  retrievalModel,
  Searcher,
  tokenizerOf,
} from "./comparison.ts";
import { rankScores, RetrievalRanking, type RetrievalResult } from "./retrieval_metrics.ts";
import type {
  ClipResult,
  Encoded,
  Evaluation,
  EvaluationTools,
  MetricColumn,
  PlacedClip,
  Task,
} from "./task.ts";

/** A sentence of an evaluation, and what was found for it. */
export interface SentenceResult {
  readonly text: string;
  /** The clip that it describes, by its place in the list. */
  readonly clip: number;
  /** Rank of that clip, from 1. */
  readonly rank: number;
  /** The best clips, best first; of equal scores the first in the list. */
  readonly hits: readonly Hit[];
}

/** A clip that was found. */
export interface Hit {
  /** By its place in the list. */
  readonly clip: number;
  readonly score: number;
}

/** What an evaluation found out besides its metrics. */
export interface RetrievalDetails {
  readonly sentences: readonly SentenceResult[];
  /** Of every clip: the rank of its sentences among those of all clips, from 1. */
  readonly clipRanks: Uint32Array;
  /** Sentences whose clip has the same score as another one, which then does not stand before it. */
  readonly tiedSentences: number;
  /** Clips whose captions have the same score as another one's, which then do not stand before them. */
  readonly tiedClips: number;
}

/** Result over a list. */
export type RetrievalEvaluation = Evaluation<ClipResult, RetrievalDetails>;

/** Names of the files that an evaluation writes. */
export const RETRIEVAL_FILES = { lines: "retrieval.jsonl" } as const;

/** Clips kept of each sentence's ranking. */
const TOP = 5;
/** Share of queries whose right answer ties with another one that is passed over in silence. */
const TIED_SHARE = 0.05;
/** Last seed of the draw of one among a clip's captions; those of frames and augmentation end otherwise. */
const CAPTION_STREAM = 0x63617074;

/** The task. */
export const RETRIEVAL = {
  id: "retrieval",
  pipeline: "feature-extraction",
  metrics: [...columnsOf("t2v", "text to video"), ...columnsOf("v2t", "video to text")],
  best: "t2v_r1",
  thenBy: "t2v_mean_rank",
  collects: ["frames"],

  training: (recipe) => {
    const { text, config: { frames } } = retrievalModel(recipe);
    return {
      inputs: batchInputs(text, frames),
      objective: {
        over: "batch",
        reads: [...Object.keys(text.sentenceOutputs), ...Object.keys(text.clipOutputs)],
        record: (g, { outputs, inputs, model }) => {
          const similarity = model.text!.compare(g, { outputs, inputs }, { mode: "train" }); // [B B]
          const labels = inputs.places;
          const toVideo = crossEntropy(g, similarity, { labels, smoothing: 0 });
          const toText = crossEntropy(g, transpose(g, similarity), { labels, smoothing: 0 });
          const half = { alpha: 0.5, beta: 0.5 };
          return {
            loss: add(g, toVideo.loss, toText.loss, half),
            similarity,
          };
        },
      },
    };
  },

  queries: (recipe) => comparisonQueries(recipe),

  encoder: async (recipe, { clips: records }) => {
    const { text, config: { frames } } = retrievalModel(recipe), tokenizer = await tokenizerOf(text);
    return ({ clips, epoch }): Encoded => {
      const sentences = clips.map(({ index }) => {
        const captions = records[index].captions!;
        const chosen = captions.length === 1
          ? 0
          : createPrng(recipe.seed, epoch, index, CAPTION_STREAM).integer(captions.length);
        return frameSentence(tokenizer, captions[chosen], text);
      });
      return {
        inputs: {
          ids: Uint32Array.from(sentences.flatMap(({ ids }) => [...ids])),
          ends: Uint32Array.from(sentences, ({ end }) => end),
          word_mask: Float32Array.from(sentences.flatMap(({ mask }) => [...mask])),
          frame_mask: frameMask(clips, frames),
          places: Uint32Array.from(clips.keys()),
        },
      };
    };
  },

  read: meanFeatures,

  evaluator: (recipe, tools) => {
    const found: { features: ClipFeatures; clip: PlacedClip }[] = [];
    return {
      add: (clip) => {
        const { index, path, label } = clip;
        found.push({ features: meanFeatures(clip.views), clip });
        return { index, path, label };
      },
      finish: () => compareAll(retrievalModel(recipe), found, { ...tools, dual: dualSoftmaxOf(recipe) }),
    };
  },

  remarks: ({ sentences, clipRanks, tiedSentences, tiedClips }) => [
    ...tieRemarks(tiedSentences, sentences.length, "sentences give their clip the same score as another one"),
    ...tieRemarks(
      tiedClips,
      clipRanks.filter((rank) => rank > 0).length,
      "clips give their captions the same score as another clip's, as equal captions have",
    ),
  ],

  results: ({ predictions, details }) => ({
    figures: {
      sentences: details.sentences.length,
      tied_sentences: details.tiedSentences,
      tied_clips: details.tiedClips,
    },
    tables: {},
    files: { [RETRIEVAL_FILES.lines]: retrievalLines(details.sentences, predictions) },
  }),
} satisfies Task<ClipFeatures, ClipResult, RetrievalDetails>;

/** A line about ties, where there are many. @param what what ties, in words */
function tieRemarks(tied: number, queries: number, what: string): string[] {
  return tied <= TIED_SHARE * queries ? [] : [
    `${formatCount(tied)} of ${formatCount(queries)} ${what}: ` +
    "what ties does not stand before it, so the metrics say more than the network does",
  ];
}

/** The columns of one direction. */
function columnsOf(direction: "t2v" | "v2t", words: string): MetricColumn[] {
  const recall = [1, 5, 10].map((k): MetricColumn => ({
    key: `${direction}_r${k}`,
    name: `${direction} R@${k}`,
    title: `${words} R@${k}`,
    format: "share",
    better: "more",
    detail: direction === "v2t" && k > 1,
  }));
  const rank = ["median", "mean"].map((kind): MetricColumn => ({
    key: `${direction}_${kind}_rank`,
    name: `${direction} ${kind} rank`,
    title: `${words}, ${kind} rank`,
    format: "rank",
    better: "less",
    detail: direction === "v2t" || kind === "mean",
  }));
  return [...recall, ...rank];
}

/** What batches bring besides frames. */
function batchInputs({ words }: { words: number }, frames: number): BatchInputs {
  return {
    ids: { shape: [words], dtype: "u32" },
    ends: { shape: [], dtype: "u32" },
    word_mask: { shape: [words] },
    frame_mask: { shape: [frames] },
    places: { shape: [], dtype: "u32" },
  };
}

/** Scores every sentence against every clip and ranks them. */
async function compareAll(
  model: VideoModel & Required<Pick<VideoModel, "text">>,
  found: readonly { features: ClipFeatures; clip: PlacedClip }[],
  { clips, ask, signal, dual }: EvaluationTools & { dual: number | null },
) {
  const places = new Map(found.map(({ clip: { index } }, place) => [index, place]));
  const sentences = found.flatMap(({ clip: { index } }) =>
    (clips[index].captions ?? []).map((text) => ({ text, place: places.get(index)! }))
  );
  const owners = sentences.map(({ place }) => place), videos = found.length;
  const searcher = await Searcher.over(model, { ask, clips: clipTable(model, found) });
  const ranking = new RetrievalRanking({ owners, videos });
  const all = dual === null ? null : new Float32Array(sentences.length * videos);
  const hits: Hit[][] = [];
  for await (const { first, scores } of searcher.rows(sentences.map(({ text }) => text), { signal })) {
    ranking.add(first, scores);
    all?.set(scores, first * videos);
    for (let row = 0; row < scores.length; row += videos) hits.push(best(scores.subarray(row, row + videos)));
  }
  const result: RetrievalResult = all && dual
    ? rankScores(all, { owners, videos, dualSoftmax: { temperature: dual } })
    : ranking.result();
  const details: RetrievalDetails = {
    sentences: sentences.map(({ text, place }, i) => ({
      text,
      clip: place,
      rank: result.sentenceRanks[i],
      hits: hits[i],
    })),
    clipRanks: result.videoRanks,
    tiedSentences: result.tiedSentences,
    tiedClips: result.tiedVideos,
  };
  return { metrics: result.metrics, details };
}

/** The best clips of a row of scores. */
function best(scores: Float32Array): Hit[] {
  const hits: Hit[] = [];
  for (let clip = 0; clip < scores.length; clip++) {
    const score = scores[clip];
    if (hits.length === TOP && score <= hits[TOP - 1].score) continue;
    const at = hits.findIndex((hit) => score > hit.score);
    hits.splice(at < 0 ? hits.length : at, 0, { clip, score });
    if (hits.length > TOP) hits.pop();
  }
  return hits;
}

/** Temperature of the dual softmax of an evaluation; null: scores are as the network gives them. */
function dualSoftmaxOf({ network }: { network: Readonly<Record<string, unknown>> }): number | null {
  return network.dual_softmax as number | null;
}
