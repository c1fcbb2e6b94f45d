/**
 * Measures a search among embeddings in memory, beside the plain loop that defines its hits. Both must find the same, or nothing is
 * printed.
 */

import { bestOf, dotProduct, VectorTable } from "../data/search_index/nearest.ts";
import { createPrng } from "../lib/random.ts";
import type { Measurement } from "./matmul.ts";

const QUERIES = 20, TOP = 10;

/** A measurement, with the time of the plain loop divided by ours. */
export type SearchMeasurement = Measurement & { ratio?: number };

/**
 * @param options.embeddings How many; random vectors of length 1, which no search can tell apart early.
 * @param options.dims Of each; 512 in CLIP's ViT-B.
 */
export function* benchSearch(options: { embeddings: number; dims: number }): Generator<SearchMeasurement> {
  const { embeddings, dims } = options, prng = createPrng(1);
  const unit = () => {
    const values = Float32Array.from({ length: dims }, () => prng.normal());
    const length = Math.sqrt(dotProduct(values, values));
    return values.map((value) => value / length);
  };
  const table = new VectorTable(embeddings, dims);
  for (let row = 0; row < embeddings; row++) table.set(row, unit());
  const scores = new Float64Array(embeddings);
  const plain = (query: Float32Array) => {
    for (let row = 0; row < embeddings; row++) scores[row] = dotProduct(table.get(row), query);
    return bestOf(scores, TOP);
  };
  const times = { ours: [] as number[], plain: [] as number[] };
  for (let i = 0; i < QUERIES; i++) {
    const query = unit(), started = performance.now(), hits = table.nearest(query, TOP);
    const between = performance.now(), expected = plain(query);
    times.ours.push(between - started);
    times.plain.push(performance.now() - between);
    if (JSON.stringify(hits) !== JSON.stringify(expected)) {
      throw new Error(
        `Cannot measure the search: its hits must be those of the plain loop, current query is ${i}`,
      );
    }
  }
  const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1];
  const row = (variant: string, ms: number): SearchMeasurement => ({
    name: "search",
    variant,
    shape: `${embeddings}x${dims}`,
    ms,
    gflops: 2 * embeddings * dims / ms / 1e6,
    gbps: 4 * embeddings * dims / ms / 1e6,
    adapter: "CPU",
  });
  const ours = median(times.ours), loop = median(times.plain);
  yield row(`top ${TOP}`, ours);
  yield { ...row("plain loop", loop), ratio: loop / ours };
}
