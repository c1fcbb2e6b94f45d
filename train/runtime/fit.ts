/**
 * Whether a session fits into its adapter, asked before anything is allocated and answered by planning it; where it does not, the
 * error names the largest batch that would.
 */

import type { DeviceInfo } from "../../gpu/runtime.ts";
import { TooLargeError } from "../../gpu/plan.ts";
import { AdapterError } from "../../lib/errors.ts";
import { formatBytes } from "../../lib/text.ts";
import type { VideoModel } from "../../models/video_model.ts";
import { checkedPrepBytes, expectedPrep } from "./frame_buffers.ts";
import { planSession, type SessionOptions, type SessionPlan } from "./session_plan.ts";

/** What is known about the adapter, the memory and the batch. */
export interface FitOptions extends Pick<DeviceInfo, "environment" | "freeBytes"> {
  /** Clips that one video of the batch becomes (`data.num_sample`). */
  clipsPerVideo: number;
}

/** A session that its adapter can hold. */
export interface FittingSession {
  /** As asked for, but for the clips that run at once. */
  readonly options: SessionOptions;
  readonly plan: SessionPlan;
  /** What stands against running the whole batch at once, in words; null where it does. */
  readonly against: string | null;
}

/**
 * Plans a session that its adapter can hold. Where that is not the whole batch at once, as many clips of it as can be: the batch
 * goes through the GPU in parts, with one update.
 *
 * @throws {AdapterError} where not even one clip can be held; or with the batch that would fit, where a loss over it cannot.
 */
export function planFittingSession(
  model: VideoModel,
  options: SessionOptions,
  fit: FitOptions,
): FittingSession {
  const first = tryPlan(model, options, fit);
  if (typeof first !== "string") return { options, plan: first, against: null };
  // Batches that are mixed are cut into pairs of clips.
  let least = options.mixes ? 1 : 0, most = atOnce(options), fitting: FittingSession | null = null;
  while (most - least > 1) {
    const clips = (least + most) >> 1, own = withAtOnce(options, clips), plan = tryPlan(model, own, fit);
    if (typeof plan === "string") most = clips;
    else [least, fitting] = [clips, { options: own, plan, against: first }];
  }
  if (fitting) return fitting;
  throw new AdapterError(`Cannot ${purpose(options)}: ${first}; ${advice(model, options, fit)}`);
}

/** That a batch goes through the GPU in parts, why, and what that means. */
export function describeParts(
  { weights }: Pick<VideoModel, "weights">,
  { against, clips, parts }: { against: string; clips: number; parts: readonly number[] },
): string {
  return `${against}: a batch of ${clips} clips goes through the GPU in ${parts.length} parts of up to ${
    Math.max(...parts)
  } (data.micro_batch_size), with one update as before` +
    (weights.of("statistic").length > 0 ? "; batch norms see a part at a time" : "");
}

/** What to say where batch norms see one clip alone, though batches have several. */
export function singleClipNotes(
  session: { partsOf(clips: number): readonly number[]; readonly model: Pick<VideoModel, "weights"> },
  { clips, lastBatch }: { clips: number; lastBatch: number },
): string[] {
  if (clips === 1 || session.model.weights.of("statistic").length === 0) return [];
  const constant = "its batch norms make the video's feature a constant, so that";
  const notes: string[] = [];
  if (lastBatch === 1) {
    notes.push(
      `the last batch of an epoch has one clip: ${constant} step only trains the classifier; ` +
        `leave out a clip or change data.batch_size`,
    );
  }
  const cut = [clips, lastBatch].filter((count) => count > 1 && session.partsOf(count).includes(1));
  if (cut.length > 0) {
    notes.push(
      `of a batch of ${
        cut.join(" or ")
      } clips a part has one clip (data.micro_batch_size): ${constant} part only trains the classifier; ` +
        `a larger data.micro_batch_size, or precision=f16 and memory=least where it does not fit, has none`,
    );
  }
  return notes;
}

/** What stands against a plan: a limit of the adapter, or its free memory. null where it can be held. */
export function obstacleTo(plan: { total: number }, freeBytes: number | null): string | null {
  return freeBytes !== null && plan.total > freeBytes
    ? `the plan needs ${formatBytes(plan.total)}, the adapter has ${formatBytes(freeBytes)}`
    : null;
}

/** A limit of the adapter in words. */
export function describeLimit({ what, neededBytes, limitBytes }: TooLargeError): string {
  return `${what} needs ${formatBytes(neededBytes)} in one piece, the adapter allows ${
    formatBytes(limitBytes)
  }`;
}

/** The session's plan, or what stands against it. */
function tryPlan(model: VideoModel, options: SessionOptions, fit: FitOptions): SessionPlan | string {
  try {
    const plan = planSession(model, options, fit.environment);
    return obstacleTo(plan.memory, fit.freeBytes) ?? plan;
  } catch (error) {
    if (!(error instanceof TooLargeError)) throw error;
    return describeLimit(error);
  }
}

/** Options of the same session for another batch. The short last batch of an epoch stays, as a batch of one clip less. */
function withBatch(options: SessionOptions, clips: number): SessionOptions {
  const { trainClips } = options;
  const short = trainClips.length > 1 && clips > 1 ? [clips - 1] : [];
  return { ...options, trainClips: trainClips.length > 0 ? [clips, ...short] : [], evalClips: clips };
}

/** Clips that run at once, at most. */
function atOnce({ trainClips, evalClips, microClips = Infinity }: SessionOptions): number {
  return Math.max(evalClips, Math.min(microClips, Math.max(0, ...trainClips)));
}

/** The same session with fewer clips at once. */
function withAtOnce(options: SessionOptions, clips: number): SessionOptions {
  return { ...options, microClips: clips, evalClips: Math.min(options.evalClips, clips) };
}

/**
 * The largest batch that fits, in words; found by planning, not by rules of thumb. Only a loss over the whole batch leaves one to
 * find where not even one clip at a time can be held.
 */
function advice(model: VideoModel, options: SessionOptions, fit: FitOptions): string {
  const { clipsPerVideo } = fit;
  let least = 0, most = Math.ceil(batchOf(options) / clipsPerVideo), fitting: SessionPlan | null = null;
  while (most - least > 1) {
    const videos = (least + most) >> 1,
      plan = tryPlan(model, withBatch(options, videos * clipsPerVideo), fit);
    if (typeof plan === "string") most = videos;
    else [least, fitting] = [videos, plan];
  }
  if (fitting) return `data.batch_size=${least} would fit (${formatBytes(fitting.memory.total)})`;
  if (areFramesTooLarge(model, options)) {
    return "no batch would fit: use fewer frames (data.num_segments) or a lower data.frame_cache_side, or scale or crop the files";
  }
  return `no batch would fit: use precision=f16, memory=least, fewer frames (data.num_segments) or a smaller backbone`;
}

/** Whether the decoded frames of a clip, shrunk where that helps, are more than the adapter can prepare. */
function areFramesTooLarge(
  model: VideoModel,
  { largestFrame, augmentation, limits }: SessionOptions,
): boolean {
  if (largestFrame === null) return false;
  try {
    checkedPrepBytes(expectedPrep(model, { clips: 1, largestFrame, augmentation }, limits), limits);
    return false;
  } catch (error) {
    if (error instanceof TooLargeError) return true;
    throw error;
  }
}

function purpose(options: SessionOptions): string {
  return `${options.trainClips.length > 0 ? "train" : "evaluate"} with ${batchOf(options)} clips a batch`;
}

/** Clips of the largest batch, whether they run at once or not. */
function batchOf({ trainClips, evalClips }: SessionOptions): number {
  return Math.max(evalClips, ...trainClips);
}
