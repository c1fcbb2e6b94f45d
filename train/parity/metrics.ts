/**
 * Replays recorded metrics of retrieval. With ties the original counts a query once for every place that its score has in the sorted
 * row; the ranks are compared in that form, and so the metrics over them, while ours count a query once.
 */
import { DataError } from "../../lib/errors.ts";
import { metricsOf, rankScores } from "../tasks/retrieval_metrics.ts";
import type { RecordedDirection, RecordedMetrics, ReferenceCase } from "./reference.ts";
import { compareGroup, type GroupResult, type Pair } from "./compare.ts";

/** Ranks are integers; metrics of the original are 32-bit shares of 100. */
const RANK_TOLERANCE = 0.5, METRIC_TOLERANCE = 1e-4;

/** @throws {DataError} when a matrix is missing or has another shape */
export async function replayMetricsCase(reference: ReferenceCase): Promise<GroupResult[]> {
  const { case: name, cases } = reference.description;
  if (!Array.isArray(cases) || cases.length === 0) {
    throw new DataError(
      `Cannot replay case "${name}": "cases" must be a list of matrices with their metrics`,
    );
  }
  const ranks: Pair[] = [], metrics: Pair[] = [];
  for (const recorded of cases) {
    for (const { what, places, median, expected } of await directionsOf(reference, recorded)) {
      const { cols } = expected;
      if (cols !== undefined) ranks.push({ name: what, ...ofOneLength(places, cols) });
      const { t2v_r1, t2v_r5, t2v_r10, t2v_median_rank, t2v_mean_rank } = metricsOf(
        "t2v",
        Uint32Array.from(places, (place) => place + 1),
        median,
      );
      metrics.push({
        name: what,
        actual: [100 * t2v_r1, 100 * t2v_r5, 100 * t2v_r10, t2v_median_rank, t2v_mean_rank],
        expected: [expected.R1, expected.R5, expected.R10, expected.MedianR, expected.MeanR],
      });
    }
  }
  return [
    compareGroup(name, "ranks", ranks, { tolerance: RANK_TOLERANCE, by: "absolute" }),
    compareGroup(name, "metrics", metrics, { tolerance: METRIC_TOLERANCE, by: "absolute" }),
  ];
}

/** Ranks of both directions, from 0, in the original's form. */
async function directionsOf(reference: ReferenceCase, recorded: RecordedMetrics) {
  const { name, sentences_per_video: counts } = recorded;
  const [sentences, videos] = reference.has(name) ? reference.shapeOf(name) : [];
  const owners = (counts ?? Array<number>(videos ?? 0).fill(1)).flatMap((count, video) =>
    Array(count).fill(video)
  );
  if (owners.length !== sentences || (counts ?? owners).length !== videos) {
    throw new DataError(
      `Cannot replay case "${reference.description.case}": matrix "${name}" must be there, with a row for each of ${owners.length} sentences`,
    );
  }
  const scores = await reference.read(name),
    { sentenceRanks, videoRanks } = rankScores(scores, { owners, videos });
  const row = (i: number) => scores.subarray(i * videos, (i + 1) * videos);
  const column = (i: number) => Float32Array.from({ length: sentences }, (_, s) => scores[s * videos + i]);
  const isSingle = counts === undefined;
  const direction = (
    key: "text_to_video" | "video_to_text",
    found: Uint32Array,
    queries: (i: number) => Float32Array,
    median: "lower" | "mean",
  ) => ({
    what: `${name} ${key}`,
    places: isSingle ? placesOf(found, queries) : Array.from(found, (rank) => rank - 1),
    median,
    expected: recorded[key] as RecordedDirection,
  });
  return [
    direction("text_to_video", sentenceRanks, row, isSingle ? "mean" : "lower"),
    direction("video_to_text", videoRanks, column, "mean"),
  ];
}

/** All places of each query's right score, which is on the diagonal, in its sorted row. */
function placesOf(ranks: Uint32Array, scoresOf: (query: number) => Float32Array): number[] {
  return Array.from(ranks).flatMap((rank, query) => {
    const scores = scoresOf(query), ties = scores.filter((score) => score === scores[query]).length;
    return Array.from({ length: ties }, (_, tie) => rank - 1 + tie);
  });
}

/** Two lists, the shorter filled with what is no rank: lists of two lengths differ, and are no error of the case. */
function ofOneLength(
  actual: readonly number[],
  expected: readonly number[],
): Pick<Pair, "actual" | "expected"> {
  const length = Math.max(actual.length, expected.length);
  const filled = (ranks: readonly number[]) => Array.from({ length }, (_, i) => ranks[i] ?? -1);
  return { actual: filled(actual), expected: filled(expected) };
}
