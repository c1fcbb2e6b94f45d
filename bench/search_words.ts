/**
 * Measures a search among stored frames by a network that weighs words and frames: one sentence, and many at once, which take other
 * programs. Both must give the same scores, or nothing is printed.
 */

import { createPrng } from "../lib/random.ts";
import { createModel } from "../models/mod.ts";
import type { Config } from "../train/recipe/config.ts";
import { modelSpec } from "../train/recipe/model.ts";
import { openSession } from "../train/runtime/open_session.ts";
import { embeddingQueries, ModelEmbedder } from "../train/search/model_embedder.ts";
import { evaluationOptions } from "../train/tasks/session_options.ts";
import type { Measurement } from "./matmul.ts";

const MANY = 64;
/** How far scores of the two programs may lie apart. */
const TOLERANCE = 1e-5;

/**
 * @param config Recipe of the network; its weights are random.
 * @param options.rows How many clips, of random frames.
 * @param options.repeats Of which the fastest counts; 0: the first counts, which compiles and warms up.
 */
export async function* benchWordSearch(
  config: Config,
  options: { rows: number; repeats?: number },
): AsyncGenerator<Measurement> {
  const { rows, repeats = 3 } = options, prng = createPrng(1);
  const { session } = await openSession(
    createModel(modelSpec(config)),
    evaluationOptions(config, {
      clips: 1,
      largestFrame: { width: 1, height: 1 },
      queries: embeddingQueries(config),
    }),
    { clipsPerVideo: 1, halves: null },
  );
  await using embedder = new ModelEmbedder({ config }, session);
  await session.initialise(config.seed);
  const [frames, dims] = embedder.shape;
  const features = Float32Array.from({ length: rows * frames * dims }, () => prng.normal());
  features.fill(0, dims, frames * dims); // the first clip has a single frame
  const texts = Array.from({ length: MANY }, (_, i) => `a ${i % 2 ? "red" : "green"} triangle moves ${i}`);
  const score = async (sentences: readonly string[]) => {
    let best = Infinity, scores: Float32Array[] = [];
    for (let i = 0; i <= repeats; i++) {
      const started = performance.now();
      scores = await embedder.scoreSentences(sentences, features);
      if (i > 0 || repeats === 0) best = Math.min(best, performance.now() - started);
    }
    return { ms: best / sentences.length, scores };
  };
  const one = await score(texts.slice(0, 1)), many = await score(texts);
  const apart = one.scores[0].findIndex((value, row) => !(Math.abs(value - many.scores[0][row]) < TOLERANCE));
  if (apart >= 0) {
    throw new Error(
      `Cannot measure the search: both ways must give the same scores, row ${apart} has others`,
    );
  }
  const { text } = createModel(modelSpec(config)), products = 2 * text!.words * frames * dims * rows;
  for (const [variant, ms] of [["words", one.ms], [`words, ${MANY} at once`, many.ms]] as const) {
    yield {
      name: "search",
      variant,
      shape: `${rows}x${frames}x${dims}`,
      ms,
      gflops: products / ms / 1e6,
      gbps: 4 * features.length / ms / 1e6,
      adapter: embedder.adapter,
    };
  }
}
