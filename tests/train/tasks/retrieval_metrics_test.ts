/** Retrieval metrics: the recorded cases of the original, the worked examples, ties, blocks of rows, dual softmax. */
import assert from "node:assert/strict";
import { createPrng } from "../../../lib/random.ts";
import {
  dualSoftmax,
  type Owners,
  rankScores,
  RetrievalRanking,
  type RetrievalResult,
} from "../../../train/tasks/retrieval_metrics.ts";
import { RETRIEVAL } from "../../../train/tasks/retrieval.ts";
import { FixtureTensors } from "../../_util/fixture_tensors.ts";

/** Figures of one direction as the original gives them: shares of 100, ranks from 1, `cols` from 0. */
interface Recorded {
  R1: number;
  R5: number;
  R10: number;
  MedianR: number;
  MeanR: number;
  cols?: number[];
}

interface Case {
  name: string;
  note: string;
  sentences_per_video?: number[];
  text_to_video: Recorded;
  video_to_text: Recorded;
}

const folder = new URL("../../fixtures/metrics/", import.meta.url);
const { cases }: { cases: Case[] } = JSON.parse(Deno.readTextFileSync(new URL("metrics.json", folder)));
const tensors = new FixtureTensors("metrics/metrics.safetensors");

const ownersOf = (perVideo: readonly number[]): Owners => ({
  owners: perVideo.flatMap((count, video) => Array<number>(count).fill(video)),
  videos: perVideo.length,
});

function compare(metrics: RetrievalResult["metrics"], direction: "t2v" | "v2t", recorded: Recorded): void {
  const near = (actual: number, expected: number, what: string) =>
    assert.ok(
      Math.abs(actual - expected) < 1e-6 * Math.max(1, expected),
      `${what}: ${actual}, not ${expected}`,
    );
  near(100 * metrics[`${direction}_r1`], recorded.R1, "R@1");
  near(100 * metrics[`${direction}_r5`], recorded.R5, "R@5");
  near(100 * metrics[`${direction}_r10`], recorded.R10, "R@10");
  assert.equal(metrics[`${direction}_median_rank`], recorded.MedianR);
  near(metrics[`${direction}_mean_rank`], recorded.MeanR, "mean rank");
}

const fromZero = (ranks: Uint32Array) => Array.from(ranks, (rank) => rank - 1);

function caseScores({ name, sentences_per_video }: Case) {
  const { shape: [, videos] } = tensors.get(name);
  return { scores: tensors.floats(name), ...ownersOf(sentences_per_video ?? Array(videos).fill(1)) };
}

const HAS_TIES = /\bties\b/, NO_TIES = /\bno ties\b/;
const isTied = ({ note }: Case) => HAS_TIES.test(note) && !NO_TIES.test(note);

for (const one of cases.filter((one) => !isTied(one))) {
  Deno.test(`recorded metrics are met: ${one.name}`, () => {
    const { scores, ...owners } = caseScores(one);
    const { metrics, sentenceRanks, videoRanks } = rankScores(scores, owners);
    compare(metrics, "t2v", one.text_to_video);
    compare(metrics, "v2t", one.video_to_text);
    if (one.text_to_video.cols) assert.deepEqual(fromZero(sentenceRanks), one.text_to_video.cols);
    if (one.video_to_text.cols) assert.deepEqual(fromZero(videoRanks), one.video_to_text.cols);
  });
}

for (const one of cases.filter(isTied)) {
  Deno.test(`with ties a query counts once, at the first of the places that the original counts: ${one.name}`, () => {
    const { scores, ...owners } = caseScores(one);
    const { sentenceRanks, videoRanks, tiedSentences, tiedVideos } = rankScores(scores, owners);
    const matrix = Array.from(
      sentenceRanks,
      (_, row) => scores.subarray(row * owners.videos, (row + 1) * owners.videos),
    );
    const transposed = matrix.map((_, column) => Float32Array.from(matrix, (row) => row[column]));
    for (
      const [ranks, rows, recorded] of [
        [sentenceRanks, matrix, one.text_to_video],
        [videoRanks, transposed, one.video_to_text],
      ] as const
    ) {
      const places = fromZero(ranks).flatMap((rank, i) => {
        const ties = rows[i].filter((score) => score === rows[i][i]).length;
        return Array.from({ length: ties }, (_, place) => rank + place);
      });
      assert.deepEqual(places, recorded.cols);
      assert.ok(recorded.cols!.length > ranks.length);
    }
    const tiesOf = (rows: Float32Array[]) =>
      rows.filter((row, i) => row.filter((score) => score === row[i]).length > 1).length;
    assert.equal(tiedSentences, tiesOf(matrix));
    assert.equal(tiedVideos, tiesOf(transposed));
    assert.ok(tiedSentences > 0);
  });
}

Deno.test("videos with equal captions tie in the one direction, and a video without captions is no query", () => {
  // Sentences 0 and 1 are equal, of videos 0 and 1, each of which they find; video 3 has none.
  const scores = Float32Array.of(...[0.9, 0.8, 0.1, 0], ...[0.9, 0.8, 0.1, 0], ...[0.1, 0.2, 0.7, 0]);
  const result = rankScores(scores, { owners: [0, 1, 2], videos: 4 });
  assert.equal(result.tiedSentences, 0);
  assert.equal(result.tiedVideos, 2);
  assert.deepEqual([...result.videoRanks], [1, 1, 1, 0]);
  assert.deepEqual(
    RETRIEVAL.remarks({ sentences: [], clipRanks: result.videoRanks, tiedSentences: 0, tiedClips: 2 }),
    [
      "2 of 3 clips give their captions the same score as another clip's, as equal captions have: what ties does not " +
      "stand before it, so the metrics say more than the network does",
    ],
  );
});

Deno.test("the recorded cases hold ties, several sentences a video, and an even number of sentences", () => {
  assert.equal(cases.filter(isTied).length, 2);
  assert.equal(cases.length - 2, 8);
  assert.ok(
    cases.some(({ sentences_per_video: counts }) => counts && counts.reduce((a, b) => a + b) % 2 === 0),
  );
});

// deno-fmt-ignore
const MULTI = Float32Array.of(
  0.549, 0.715, 0.603,
  0.545, 0.424, 0.646,
  0.438, 0.892, 0.964,
  0.383, 0.792, 0.529,
  0.568, 0.926, 0.071,
  0.087, 0.02, 0.833,
);

Deno.test("the worked example of several sentences a video holds", () => {
  const { metrics, sentenceRanks, videoRanks } = rankScores(MULTI, ownersOf([2, 1, 3]));
  assert.deepEqual(fromZero(sentenceRanks), [2, 1, 1, 1, 2, 0]);
  assert.deepEqual(fromZero(videoRanks), [1, 1, 1]);
  compare(metrics, "t2v", { R1: 100 / 6, R5: 100, R10: 100, MedianR: 2, MeanR: 13 / 6 });
  compare(metrics, "v2t", { R1: 0, R5: 100, R10: 100, MedianR: 2, MeanR: 2 });
});

Deno.test("the worked example of one sentence a video holds: the median is the mean of the middle ranks", () => {
  const scores = Float32Array.of(
    0.9,
    0.1,
    0.3,
    0.2,
    0.5,
    0.4,
    0.6,
    0.1,
    0.2,
    0.3,
    0.8,
    0.7,
    0.6,
    0.5,
    0.4,
    0.3,
  );
  const { metrics, sentenceRanks, videoRanks } = rankScores(scores, ownersOf([1, 1, 1, 1]));
  assert.deepEqual(fromZero(sentenceRanks), [0, 2, 0, 3]);
  assert.deepEqual(fromZero(videoRanks), [0, 1, 0, 1]);
  compare(metrics, "t2v", { R1: 50, R5: 100, R10: 100, MedianR: 2, MeanR: 2.25 });
  compare(metrics, "v2t", { R1: 50, R5: 100, R10: 100, MedianR: 1.5, MeanR: 1.5 });
});

Deno.test("with several sentences a video the lower of two middle ranks is the median of text to video", () => {
  const { metrics } = rankScores(Float32Array.of(2, 1, 1, 2, 2, 1, 1, 2), {
    owners: [0, 0, 1, 1],
    videos: 2,
  });
  assert.deepEqual([metrics.t2v_median_rank, metrics.t2v_mean_rank], [1, 1.5]);
});

Deno.test("rows in blocks and sentences in any order give the figures of the whole matrix", () => {
  const prng = createPrng(1), videos = 7, sentences = 40;
  const owners = Array.from({ length: sentences }, (_, s) => s < videos ? s : prng.integer(videos));
  const scores = Float32Array.from({ length: sentences * videos }, () => prng.uniform());
  const whole = rankScores(scores, { owners, videos });
  const ranking = new RetrievalRanking({ owners, videos });
  for (const [from, to] of [[30, 40], [0, 1], [1, 30]]) {
    ranking.add(from, scores.subarray(from * videos, to * videos));
  }
  assert.deepEqual(ranking.result(), whole);
  const order = Array.from({ length: sentences }, (_, s) => s).sort((a, b) => owners[a] - owners[b]);
  const sorted = Float32Array.from(order.flatMap((s) => [...scores.subarray(s * videos, (s + 1) * videos)]));
  assert.deepEqual(
    rankScores(sorted, { owners: order.map((s) => owners[s]), videos }).metrics,
    whole.metrics,
  );
});

Deno.test("a video without captions is searched among, and is no query", () => {
  const { metrics, videoRanks, sentenceRanks } = rankScores(Float32Array.of(1, 3, 2.5, 1, 0, 2), {
    owners: [0, 2],
    videos: 3,
  });
  assert.deepEqual([...sentenceRanks], [3, 1]);
  assert.deepEqual([...videoRanks], [1, 0, 2]);
  assert.deepEqual([metrics.t2v_r1, metrics.v2t_r1, metrics.v2t_mean_rank], [0.5, 0.5, 1.5]);
});

Deno.test("scores that are no numbers, rows that are missing and owners that are no videos are refused", () => {
  const owners = { owners: [0, 1], videos: 2 };
  assert.throws(
    () => rankScores(Float32Array.of(1, 0, NaN, 1), owners),
    /^NonFiniteError: Cannot rank: the score of sentence 1 with video 0 must be finite, current value is NaN$/,
  );
  assert.throws(() => rankScores(Float32Array.of(1, 0), owners), /scores of sentence 1 are missing$/);
  assert.throws(() => rankScores(Float32Array.of(1, 0, 1), owners), /must have 2 scores each and end at 2/);
  assert.throws(
    () => rankScores(new Float32Array(4), { owners: [0, 2], videos: 2 }),
    /of sentence 1 must be in 0 … 1/,
  );
});

Deno.test("dual softmax weighs each score by its share among all queries", () => {
  // The second video answers both sentences better, and the second sentence more than the first.
  const scores = Float32Array.of(0.5, 0.6, 0.1, 0.9), owners = ownersOf([1, 1]);
  assert.equal(rankScores(scores, owners).metrics.t2v_r1, 0.5);
  assert.equal(rankScores(scores, { ...owners, dualSoftmax: { temperature: 0.1 } }).metrics.t2v_r1, 1);
  const weighted = dualSoftmax(scores, { videos: 2, over: "sentences", temperature: 0.1 });
  const share = (own: number, other: number) => 1 / (1 + Math.exp((other - own) / 0.1));
  const expected = [
    0.5 * share(0.5, 0.1),
    0.6 * share(0.6, 0.9),
    0.1 * share(0.1, 0.5),
    0.9 * share(0.9, 0.6),
  ];
  weighted.forEach((value, i) => assert.ok(Math.abs(value - expected[i]) < 1e-7));
  const across = dualSoftmax(scores, { videos: 2, over: "videos", temperature: 0.1 });
  assert.ok(Math.abs(across[1] - 0.6 * share(0.6, 0.5)) < 1e-7);
});

Deno.test("dual softmax keeps apart what would be nothing in 32 bits", () => {
  const scores = Float32Array.of(1, -1, -1, -0.9, 0.9, 1, -0.8, 1, 0.5);
  const { sentenceRanks } = rankScores(scores, {
    ...ownersOf([1, 1, 1]),
    dualSoftmax: { temperature: 0.01 },
  });
  assert.equal(sentenceRanks[2], 2);
  assert.throws(
    () => rankScores(scores, { ...ownersOf([1, 1, 1]), dualSoftmax: { temperature: 0 } }),
    /^ConfigError: Cannot weigh scores by dual softmax: its temperature must be above 0, current value is 0$/,
  );
});
