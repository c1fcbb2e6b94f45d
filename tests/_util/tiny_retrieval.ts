/** A Side4Video for retrieval small enough for software adapters, with seeded clips and sentences. */

import { createPrng } from "../../lib/random.ts";
import { createModel } from "../../models/create.ts";
import type { VideoModel } from "../../models/video_model.ts";
import { type Config, parseConfig } from "../../train/recipe/config.ts";
import { modelSpec } from "../../train/recipe/model.ts";
import type { SessionOptions, TrainBatch } from "../../train/runtime/session_plan.ts";
import { sessionOptions } from "../../train/tasks/session_options.ts";
import { ROOMY } from "./tiny_model.ts";
import { rgbClip } from "./tiny_session.ts";

const RECIPE = `
name: tiny
system: side4video_retrieval
data:
  train_list: none.jsonl
  val_list: none.jsonl
  num_segments: 3
  max_words: 7
  batch_size: 6
network:
  arch: custom
  backbone: { image_size: 16, patch_size: 8, width: 32, layers: 2, heads: 2 }
  text: { width: 32, heads: 2, layers: 2, context: 9 }
  tokens: [${[...Array(28).keys(), 49406, 49407]}]
  embed_dim: 16
  side_dim: 64
solver: { lr: 1.e-3, coef_lr: 1, weight_decay: 0.2, clip_grad_norm: 1 }
`;

/** The recipe. */
export function tinyRetrieval(...overrides: string[]): Config {
  return parseConfig(RECIPE, { source: "tiny.yaml", overrides }).config;
}

/** Its model, and options of a session on it that takes decoded frames. */
export function tinyRetrievalSession(
  config: Config,
  changes: Partial<SessionOptions> = {},
): { model: VideoModel; options: SessionOptions } {
  const frame = { width: 40, height: 24 };
  return {
    model: createModel(modelSpec(config)),
    options: { ...sessionOptions(config, { lastBatch: 0, largestFrame: frame }), limits: ROOMY, ...changes },
  };
}

/** Clips with sentences of three to seven tokens. @param options.distinct Clips that differ; they come again in turn. */
export function sentenceBatch(
  model: VideoModel,
  clips: number,
  options: { distinct?: number; seed?: number } = {},
): TrainBatch {
  const { distinct = clips, seed = 1 } = options, { words, vocabulary } = model.text!;
  const prng = createPrng(seed, 0x7365), T = model.config.frames;
  const ids = new Uint32Array(clips * words), mask = new Float32Array(clips * words);
  const ends = Uint32Array.from({ length: clips }, (_, i) => {
    const end = 2 + prng.integer(words - 2);
    for (let l = 0; l <= end; l++) {
      ids[i * words + l] = l === 0
        ? vocabulary - 2
        : l === end
        ? vocabulary - 1
        : prng.integer(vocabulary - 2);
      mask[i * words + l] = 1;
    }
    return end;
  });
  return {
    clips: Array.from({ length: clips }, (_, i) => rgbClip(model, 10 * seed + i % distinct)),
    inputs: {
      ids,
      ends,
      word_mask: mask,
      frame_mask: new Float32Array(clips * T).fill(1),
      places: Uint32Array.from({ length: clips }, (_, i) => i),
    },
  };
}
