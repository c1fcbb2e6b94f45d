/** Evaluation on a list of clips: one view a clip inside training, several by the published test protocol. */

import { createClipLoader, type LoadedClip } from "../data/loader.ts";
import type { ClipRecord } from "../data/datasets/list.ts";
import { epochOrder, testIndices, validationIndices } from "../data/sampler.ts";
import { centreTransform, type TestCrops, testTransforms } from "../data/transforms.ts";
import type { FrameClip } from "../gpu/frames.ts";
import { type Config, dataRoots, transformRecipe } from "./config.ts";
import {
  averageViews,
  type ClassificationMetrics,
  createClassificationMetrics,
  smoothedCrossEntropy,
  softmax,
} from "./metrics.ts";
import { samplingOptions } from "./setup.ts";
import type { SessionClient } from "./session_client.ts";
import type { DataProblem } from "./report.ts";

/** Views of every clip: crops in space times clips in time. null: the single centre view of validation inside training. */
export interface Views {
  crops: TestCrops;
  clips: number;
}

/** Result for one clip. */
export interface ClipPrediction {
  index: number;
  path: string;
  label: number;
  /** Probabilities by class, averaged over views. */
  probabilities: Float64Array;
}

/** Result over a list. */
export interface Evaluation {
  metrics: ClassificationMetrics;
  /** Mean cross entropy without smoothing. */
  loss: number;
  predictions: ClipPrediction[];
  problems: DataProblem[];
}

/** How to evaluate. */
export interface EvaluateOptions {
  clips: readonly ClipRecord[];
  views: Views | null;
  /** Views in one GPU batch. */
  batch: number;
  signal?: AbortSignal;
  onProgress?: (done: number, total: number) => void;
}

/** The views of a decoded clip, in the published order: crop-major, then clip, then frame. */
export function viewsOf(clip: LoadedClip, config: Config, views: Views | null): FrameClip[] {
  const { width, height } = clip, T = config.data.num_segments, recipe = transformRecipe(config);
  const bytes = T * width * height * 3;
  const part = (k: number) => clip.frames.subarray(k * bytes, (k + 1) * bytes);
  if (!views) return [{ frames: part(0), width, height, transform: centreTransform(clip, recipe) }];
  return testTransforms(clip, recipe, views.crops).flatMap((transform) =>
    Array.from({ length: views.clips }, (_, k) => ({ frames: part(k), width, height, transform }))
  );
}

/** The frame-index rule of a kind of views. */
export function viewSampler(config: Config, views: Views | null) {
  const sampling = samplingOptions(config);
  return (
    frames: number,
  ) => (views
    ? testIndices(frames, { ...sampling, clips: views.clips })
    : validationIndices(frames, { ...sampling, dense: false }));
}

/** Evaluates a list of clips; every clip counts exactly once. */
export async function evaluateClips(
  client: SessionClient,
  config: Config,
  options: EvaluateOptions,
): Promise<Evaluation> {
  const { clips, views, batch } = options;
  const classes = config.data.num_classes;
  await using loader = createClipLoader({
    clips,
    root: dataRoots(config).val,
    template: config.data.image_tmpl,
    sampler: viewSampler(config, views),
    seed: config.seed,
    workers: config.data.workers,
  });
  const metrics = createClassificationMetrics(classes);
  const predictions: ClipPrediction[] = [], problems: DataProblem[] = [];
  const perClip = views ? views.crops * views.clips : 1;
  const order = epochOrder({
    clips: clips.length,
    epoch: 0,
    seed: config.seed,
    shuffle: false,
    batchSize: batch,
  });
  let loss = 0;
  for await (const { clips: loaded } of loader.epoch(order, Math.max(1, Math.floor(batch / perClip)))) {
    options.signal?.throwIfAborted();
    const all = loaded.flatMap((clip) => viewsOf(clip, config, views));
    const logits: Float32Array[] = [];
    for (let start = 0; start < all.length; start += batch) {
      const part = all.slice(start, start + batch);
      const values = await client.evaluate(part);
      for (let i = 0; i < part.length; i++) logits.push(values.slice(i * classes, (i + 1) * classes));
    }
    loaded.forEach((clip, i) => {
      const own = logits.slice(i * perClip, (i + 1) * perClip);
      const probabilities = averageViews(own.map((values) => softmax(values)));
      metrics.add(probabilities, clip.label);
      loss += views
        ? -Math.log(Math.max(probabilities[clip.label], Number.MIN_VALUE))
        : smoothedCrossEntropy(own[0], clip.label);
      predictions.push({ index: clip.index, path: clip.path, label: clip.label, probabilities });
      problems.push(...problemsOf(clip));
    });
    options.onProgress?.(predictions.length, clips.length);
  }
  return { metrics, loss: loss / Math.max(1, clips.length), predictions, problems };
}

/** What had to be replaced in a clip, in words. */
export function problemsOf(clip: LoadedClip): DataProblem[] {
  const problems = clip.substitutions.map(({ path, frame, reason, used }) => ({
    path,
    problem: `${frame === 0 ? "clip" : `frame ${frame}`}: ${reason}; ${
      typeof used === "number" ? `frame ${used} is used instead` : used
    }`,
  }));
  if (clip.bad && problems.length === 0) {
    problems.push({ path: clip.path, problem: "nothing could be read; shown black" });
  }
  return problems;
}
