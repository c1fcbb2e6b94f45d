/**
 * Whether a session fits into its adapter, asked before anything is allocated and answered by planning it; where it does not, the
 * error names the largest batch that would.
 */

import type { DeviceInfo } from "../../gpu/runtime.ts";
import { TooLargeError } from "../../gpu/plan.ts";
import { AdapterError } from "../../lib/errors.ts";
import { formatBytes } from "../../lib/text.ts";
import type { VideoModel } from "../../models/video_model.ts";
import { planSession, type SessionOptions, type SessionPlan } from "./session_plan.ts";

/** What is known about the adapter, the memory and the batch. */
export interface FitOptions extends Pick<DeviceInfo, "environment" | "freeBytes"> {
  /** Clips that one video of the batch becomes (`data.num_sample`). */
  clipsPerVideo: number;
}

/**
 * Plans a session that its adapter can hold.
 *
 * @throws {AdapterError} with the batch that would fit.
 */
export function planFittingSession(model: VideoModel, options: SessionOptions, fit: FitOptions): SessionPlan {
  const first = tryPlan(model, options, fit);
  if (typeof first !== "string") return first;
  throw new AdapterError(`Cannot ${purpose(options)}: ${first}; ${advice(model, options, fit)}`);
}

/** The same for a plan that the adapter refused while it was being allocated. */
export function refusedError(
  model: VideoModel,
  options: SessionOptions,
  fit: Omit<FitOptions, "freeBytes"> & { neededBytes: number },
): AdapterError {
  // How much was free is not known; half is what a user would try next.
  const half = { ...fit, freeBytes: fit.neededBytes / 2 };
  return new AdapterError(
    `Cannot ${purpose(options)}: the plan needs ${
      formatBytes(fit.neededBytes)
    }, which the adapter refused; ` +
      `with half of it free, ${advice(model, options, half)}`,
  );
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

/** The largest batch that fits, in words; found by planning, not by rules of thumb. */
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
  return `no batch would fit: use precision=f16, memory=recompute or a smaller backbone`;
}

function purpose(options: SessionOptions): string {
  return `${options.trainClips.length > 0 ? "train" : "evaluate"} with ${batchOf(options)} clips a batch`;
}

/** Clips of the largest batch, whether they run at once or not. */
function batchOf({ trainClips, evalClips }: SessionOptions): number {
  return Math.max(evalClips, ...trainClips);
}
