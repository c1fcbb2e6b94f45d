/** Evaluation on a list of clips: one view a clip inside training, several by the published test protocol. */

import type { ClipModality } from "../../data/datasets/list.ts";
import { createClipLoader } from "../../data/loader.ts";
import type { ClipRecord } from "../../data/datasets/list.ts";
import type { FrameCache } from "../../data/frame_cache/frame_cache.ts";
import { type Config, dataRoots } from "../recipe/config.ts";
import { NonFiniteError } from "../../lib/errors.ts";
import { clipModality, needsRate, picturesOfView, readRule } from "../feed/sampling.ts";
import { frameRefusal, mostBatchBytes, shrinkRule, shrinkTeller } from "../feed/frame_room.ts";
import type { FrameSize } from "../runtime/frame_buffers.ts";
import type { Session } from "../runtime/session.ts";
import type { ClipResult, Evaluation, ScoredClip, Task } from "../tasks/task.ts";
import { ALONE, type World } from "../../mpi/world.ts";
import { placesOfRank, shareScores } from "./rank_scores.ts";
import { type ClipFeed, feedFrom } from "../feed/clip_feed.ts";
import { type DataProblem, problemsOf } from "../feed/problems.ts";
import { requireKnownCrops, viewCount, type Views, viewSampler, viewsOf } from "./views.ts";

export { chosenViews, requireKnownCrops, viewCount, type Views, viewSampler, viewsOf } from "./views.ts";

/** How to score clips. */
export interface ScoreOptions {
  clips: readonly ClipRecord[];
  /** Folder that the clips' paths are relative to; the recipe's validation root by default. */
  root?: string;
  /** What the clips' paths name; what the recipe's lists name by default. */
  modality?: ClipModality;
  views: Views | null;
  /** Frames a second of clips that do not tell theirs, folders of frames; what the recipe assumes by default. */
  frameRate?: number;
  signal?: AbortSignal;
  /** Frames on disk that stand for the clips' files. */
  frameCache?: FrameCache | null;
  /** Where the clips come from, with these views; their files by default. */
  feed?: ClipFeed;
  /** The ranks that share the clips; one alone by default. All get all results. */
  world?: World;
  /** Told, once, that frames are shrunk. */
  note?: (text: string) => void;
}

/** What runs the network on views. */
export type ScoringSession =
  & Pick<Session, "evaluate" | "evaluationClips" | "ask">
  & Partial<Pick<Session, "frameRoom">>;

/** How to evaluate. */
export interface EvaluateOptions extends ScoreOptions {
  onProgress?: (done: number, total: number) => void;
}

/** Clips of a list from files, with the views of an evaluation. @param options.room the largest frame that the adapter can take; larger ones are shrunk */
export function viewFeed(
  config: Config,
  options:
    & Pick<ScoreOptions, "clips" | "root" | "modality" | "views" | "frameRate" | "frameCache" | "note">
    & {
      room?: FrameSize | null;
    },
): ClipFeed {
  const { clips, views, room = null, note } = options, { input_size: size } = config.data;
  requireKnownCrops(config, views);
  const loader = createClipLoader({
    clips,
    root: options.root ?? dataRoots(config).val,
    modality: options.modality ?? clipModality(config),
    template: config.data.image_tmpl,
    firstFrame: config.data.first_frame,
    sampler: readRule(config, viewSampler(config, views, options)),
    needsRate: needsRate(config, "val"),
    seed: config.seed,
    workers: config.data.workers,
    frameCache: options.frameCache ?? undefined,
    refuses: frameRefusal(config, "val", room),
    shrink: shrinkRule(config, room),
    onShrunk: shrinkTeller(config, room, note),
    mostBatchBytes: mostBatchBytes(),
    blankSize: { width: size, height: size },
  });
  return feedFrom(loader, (clip) => {
    const { index, path, label, bad, frameIndices } = clip;
    const frameCount = Math.min(frameIndices.length, picturesOfView(config));
    const all = viewsOf(clip, config, views);
    return { index, path, label, frameCount, views: all, problems: problemsOf(clip), bad };
  });
}

/** Scores clips in the order of their list: decodes, makes the views, runs the network. */
export async function* scoreClips(
  session: ScoringSession,
  config: Config,
  options: ScoreOptions,
): AsyncGenerator<ScoredClip> {
  const { clips, world = ALONE, signal } = options;
  if (world.size === 1) return yield* scoreSome(session, config, options, clips.keys());
  const perClip = viewCount(options.views);
  const most = Math.max(1, Math.floor(session.evaluationClips / perClip));
  const own = placesOfRank(clips.length, { world, block: most });
  const scored = scoreSome(session, config, { ...options, signal: undefined }, own);
  yield* shareScores(scored, { world, clips: clips.length, block: most, signal });
}

/** Scores some of the clips. @param places Theirs in the list. */
async function* scoreSome(
  session: ScoringSession,
  config: Config,
  options: ScoreOptions,
  places: Iterable<number>,
): AsyncGenerator<ScoredClip> {
  const { views } = options, batch = session.evaluationClips;
  await using own = options.feed ? null : viewFeed(config, { ...options, room: session.frameRoom });
  const feed = options.feed ?? own!;
  const perClip = viewCount(views);
  const order = Array.from(places, (clip) => ({ clip, epoch: 0, repeat: 1 }));
  for await (const { clips: fed } of feed.epoch(order, Math.max(1, Math.floor(batch / perClip)))) {
    options.signal?.throwIfAborted();
    const all = fed.flatMap((clip) => clip.views);
    const outputs: Record<string, Float32Array>[] = [];
    for (let start = 0; start < all.length; start += batch) {
      const part = all.slice(start, start + batch);
      outputs.push(...splitOutputs(await session.evaluate(part), part.length));
    }
    for (const [i, { index, path, label, frameCount, problems, bad }] of fed.entries()) {
      const views = outputs.slice(i * perClip, (i + 1) * perClip);
      requireFinite(path, views);
      yield { views, index, path, label, frameCount, problems, bad };
    }
  }
}

/** @throws {NonFiniteError} naming the clip of which the network says nothing that is a number. */
function requireFinite(path: string, views: readonly Readonly<Record<string, Float32Array>>[]): void {
  for (const view of views) {
    for (const [name, values] of Object.entries(view)) {
      const found = values.find((value) => !Number.isFinite(value));
      if (found === undefined) continue;
      throw new NonFiniteError(
        `Cannot score "${path}": what the network says of it ("${name}") must be finite, current value is ${found}`,
      );
    }
  }
}

/** Outputs of a batch `[clips …]` as those of each clip. */
function splitOutputs(
  outputs: Readonly<Record<string, Float32Array>>,
  clips: number,
): Record<string, Float32Array>[] {
  return Array.from({ length: clips }, (_, i) =>
    Object.fromEntries(
      Object.entries(outputs).map(([name, values]) => {
        const each = values.length / clips;
        return [name, values.subarray(i * each, (i + 1) * each)];
      }),
    ));
}

/**
 * Evaluates a list of clips; every clip counts exactly once.
 *
 * @throws {NonFiniteError} where the network's outputs, or a metric, are not finite.
 */
export async function evaluateClips<Result extends ClipResult, Details>(
  session: ScoringSession,
  config: Config,
  options: EvaluateOptions & { task: Task<unknown, Result, Details> },
): Promise<Evaluation<Result, Details>> {
  const { clips, signal } = options;
  const ask: Session["ask"] = (...question) => session.ask(...question);
  const evaluator = options.task.evaluator(config, { clips, ask, signal });
  const predictions: Result[] = [], problems: DataProblem[] = [];
  for await (const clip of scoreClips(session, config, options)) {
    predictions.push(evaluator.add(clip));
    problems.push(...clip.problems);
    options.onProgress?.(predictions.length, options.clips.length);
  }
  const { metrics: own, details } = await evaluator.finish();
  // Adapters may differ in the last bits of what is asked at the end: what follows must be the same on all ranks.
  const metrics = await (options.world ?? ALONE).share(own, "the metrics");
  const spoilt = Object.entries(metrics).find(([, value]) => !Number.isFinite(value));
  if (spoilt) {
    throw new NonFiniteError(
      `Cannot evaluate: metric "${spoilt[0]}" must be finite, current value is ${spoilt[1]}`,
    );
  }
  return { metrics, details, predictions, problems };
}
