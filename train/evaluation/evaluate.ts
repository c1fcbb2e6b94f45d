/** Evaluation on a list of clips: one view a clip inside training, several by the published test protocol. */

import type { ClipModality } from "../../data/clip_source.ts";
import type { Substitution } from "../../data/frames/frames.ts";
import { createClipLoader, type LoadedClip } from "../../data/loader.ts";
import type { ClipRecord } from "../../data/datasets/list.ts";
import type { FrameCache } from "../../data/frame_cache/frame_cache.ts";
import { testIndices, validationIndices } from "../../data/sampling/sampler.ts";
import { centreTransform, type TestCrops, testTransforms } from "../../data/transforms/transforms.ts";
import type { FrameClip } from "../../gpu/frames.ts";
import { type Config, dataRoots, transformRecipe } from "../recipe/config.ts";
import {
  averageViews,
  type ClassificationMetrics,
  createClassificationMetrics,
  smoothedCrossEntropy,
} from "./metrics.ts";
import { clipModality, picturesOfView, readRule, samplingOptions } from "../feed/sampling.ts";
import type { SessionClient } from "../runtime/session_client.ts";
import { type ClipFeed, feedFrom } from "../feed/clip_feed.ts";
import type { DataProblem } from "../feed/problems.ts";

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

/** Result for one clip as it comes, with what had to be replaced in it. */
export interface ScoredClip extends ClipPrediction {
  /** Of each view. */
  logits: Float32Array[];
  problems: DataProblem[];
  /** Nothing of the clip could be read: the probabilities are those of a black clip. */
  bad: boolean;
}

/** Result over a list. */
export interface Evaluation {
  metrics: ClassificationMetrics;
  /** Mean cross entropy of the averaged probabilities, without smoothing. */
  loss: number;
  predictions: ClipPrediction[];
  problems: DataProblem[];
}

/** How to score clips. */
export interface ScoreOptions {
  clips: readonly ClipRecord[];
  /** Folder that the clips' paths are relative to; the recipe's validation root by default. */
  root?: string;
  /** What the clips' paths name; what the recipe's lists name by default. */
  modality?: ClipModality;
  views: Views | null;
  /** Views in one GPU batch. */
  batch: number;
  signal?: AbortSignal;
  /** Frames on disk that stand for the clips' files. */
  frameCache?: FrameCache | null;
  /** Where the clips come from, with these views; their files by default. */
  feed?: ClipFeed;
}

/** How to evaluate. */
export interface EvaluateOptions extends ScoreOptions {
  onProgress?: (done: number, total: number) => void;
}

/** The views of `crops` and `clips`, where one alone leaves the other at 1; without both, the rule of validation. */
export function chosenViews({ crops, clips }: Partial<Views>): Views | null {
  return crops === undefined && clips === undefined ? null : { crops: crops ?? 1, clips: clips ?? 1 };
}

/** Number of views of a clip. */
export function viewCount(views: Views | null): number {
  return views ? views.crops * views.clips : 1;
}

/** The views of a decoded clip, in the published order: crop-major, then clip, then frame. */
export function viewsOf(clip: LoadedClip, config: Config, views: Views | null): FrameClip[] {
  const { width, height } = clip, recipe = transformRecipe(config);
  const bytes = picturesOfView(config) * width * height * 3;
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

/** Clips of a list from files, with the views of an evaluation. */
export function viewFeed(
  config: Config,
  options: Pick<ScoreOptions, "clips" | "root" | "modality" | "views" | "frameCache">,
): ClipFeed {
  const { clips, views } = options, { input_size: size } = config.data;
  const loader = createClipLoader({
    clips,
    root: options.root ?? dataRoots(config).val,
    modality: options.modality ?? clipModality(config),
    template: config.data.image_tmpl,
    sampler: readRule(config, viewSampler(config, views)),
    seed: config.seed,
    workers: config.data.workers,
    frameCache: options.frameCache ?? undefined,
    blankSize: { width: size, height: size },
  });
  return feedFrom(loader, (clip) => {
    const { index, path, label, bad } = clip;
    return { index, path, label, views: viewsOf(clip, config, views), problems: problemsOf(clip), bad };
  });
}

/** Scores clips in the order of their list: decodes, makes the views, runs the network, averages the probabilities. */
export async function* scoreClips(
  client: Pick<SessionClient, "evaluate">,
  config: Config,
  options: ScoreOptions,
): AsyncGenerator<ScoredClip> {
  const { clips, views, batch } = options;
  const { num_classes: classes } = config.data;
  await using own = options.feed ? null : viewFeed(config, options);
  const feed = options.feed ?? own!;
  const perClip = viewCount(views);
  const order = clips.map((_, clip) => ({ clip, epoch: 0, repeat: 1 }));
  for await (const { clips: fed } of feed.epoch(order, Math.max(1, Math.floor(batch / perClip)))) {
    options.signal?.throwIfAborted();
    const all = fed.flatMap((clip) => clip.views);
    const logits: Float32Array[] = [];
    for (let start = 0; start < all.length; start += batch) {
      const part = all.slice(start, start + batch);
      const values = await client.evaluate(part);
      for (let i = 0; i < part.length; i++) logits.push(values.subarray(i * classes, (i + 1) * classes));
    }
    for (const [i, { index, path, label, problems, bad }] of fed.entries()) {
      const ofClip = logits.slice(i * perClip, (i + 1) * perClip);
      yield { logits: ofClip, index, path, label, probabilities: averageViews(ofClip), problems, bad };
    }
  }
}

/** Evaluates a list of clips; every clip counts exactly once. */
export async function evaluateClips(
  client: Pick<SessionClient, "evaluate">,
  config: Config,
  options: EvaluateOptions,
): Promise<Evaluation> {
  const metrics = createClassificationMetrics(config.data.num_classes);
  const predictions: ClipPrediction[] = [], problems: DataProblem[] = [];
  let loss = 0;
  for await (const { index, path, label, probabilities, ...clip } of scoreClips(client, config, options)) {
    metrics.add(probabilities, label);
    // The mean over views has no logits; for one view they are exact where a probability would vanish.
    loss += clip.logits.length === 1
      ? smoothedCrossEntropy(clip.logits[0], label)
      : -Math.log(Math.max(probabilities[label], Number.MIN_VALUE));
    predictions.push({ index, path, label, probabilities });
    problems.push(...clip.problems);
    options.onProgress?.(predictions.length, options.clips.length);
  }
  return { metrics, loss: loss / Math.max(1, options.clips.length), predictions, problems };
}

function describeUsed(used: Substitution["used"]): string {
  if (typeof used === "number") return `frame ${used} is used instead`;
  if (typeof used === "object") return `"${used.clip}" of its class is used instead`;
  return used === "its own count" ? "its own count is used" : used;
}

/** What had to be replaced in a clip, in words. */
export function problemsOf(clip: LoadedClip): DataProblem[] {
  const problems = clip.substitutions.map(({ path, frame, reason, used }) => ({
    path,
    problem: `${frame === 0 ? "clip" : `frame ${frame}`}: ${reason}; ${describeUsed(used)}`,
  }));
  if (clip.bad && problems.length === 0) {
    problems.push({ path: clip.path, problem: "nothing could be read; shown black" });
  }
  return problems;
}
