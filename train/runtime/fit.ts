/**
 * Whether a session fits into its adapter's memory, asked before anything is allocated; where it does not, the error names the
 * largest batch that would.
 */

import type { Gpu } from "../../gpu/device.ts";
import { bufferBytes } from "../../gpu/frames/options.ts";
import { bytesOf } from "../../gpu/graph.ts";
import { TooLargeError } from "../../gpu/plan.ts";
import { AdapterError } from "../../lib/errors.ts";
import type { VideoModel } from "../../models/video_model.ts";
import { formatBytes } from "../../lib/text.ts";
import { planSession, prepOptions, type SessionOptions, type SessionPlan } from "./session_plan.ts";

/** What is known about the memory and the batch. */
export interface FitOptions {
  /** Bytes that the adapter has free; null where nobody can tell. */
  freeBytes: number | null;
  /** Clips that one video of the batch becomes (`data.num_sample`). */
  clipsPerVideo: number;
}

/** Share of the host's free memory that a software adapter may take: the program and its decoders need the rest. */
const SOFTWARE_SHARE = 0.9;

/**
 * Plans a session that its adapter can hold.
 *
 * @throws {AdapterError} with the batch that would fit.
 */
export function planFittingSession(
  model: VideoModel,
  options: SessionOptions,
  gpu: Pick<Gpu, "environment">,
  fit: FitOptions,
): SessionPlan {
  const first = tryPlan(model, options, gpu, fit.freeBytes);
  if (typeof first !== "string") return first;
  throw new AdapterError(
    `Cannot ${purpose(options)}: ${first}; ${advice(model, options, gpu, fit)}`,
  );
}

/** The same for a plan that the adapter refused while it was being allocated. */
export function refusedError(
  model: VideoModel,
  options: SessionOptions,
  gpu: Pick<Gpu, "environment">,
  refused: { neededBytes: number; clipsPerVideo: number },
): AdapterError {
  const { neededBytes, clipsPerVideo } = refused;
  // How much was free is not known; half is what a user would try next.
  const fit = { freeBytes: neededBytes / 2, clipsPerVideo };
  return new AdapterError(
    `Cannot ${purpose(options)}: the plan needs ${formatBytes(neededBytes)}, which the adapter refused; ` +
      `with half of it free, ${advice(model, options, gpu, fit)}`,
  );
}

/** The session's plan, or what stands against it. */
function tryPlan(
  model: VideoModel,
  options: SessionOptions,
  gpu: Pick<Gpu, "environment">,
  freeBytes: number | null,
): SessionPlan | string {
  const { maxBindingBytes, maxBufferBytes } = options.limits;
  const tooLarge = (what: string, bytes: number, limit: number) =>
    `${what} needs ${formatBytes(bytes)} in one piece, the adapter allows ${formatBytes(limit)}`;
  if (options.largestFrame) {
    const { raw, clip, scratch, tables } = bufferBytes(prepOptions(model, options));
    if (raw > maxBufferBytes) return tooLarge("the upload of decoded frames", raw, maxBufferBytes);
    const binding = Math.max(clip, scratch, tables);
    if (binding > maxBindingBytes) return tooLarge("the resize of frames", binding, maxBindingBytes);
  }
  const { frames, backbone: { imageSize } } = model.config;
  const input = batchOf(options) * frames * 3 * imageSize ** 2 * 4;
  if (input > maxBindingBytes) return tooLarge("the input", input, maxBindingBytes);
  let plan: SessionPlan;
  try {
    plan = planSession(model, options, gpu);
  } catch (error) {
    if (!(error instanceof TooLargeError)) throw error;
    return tooLarge(`"${error.tensor.label}"`, bytesOf(error.tensor), error.limitBytes);
  }
  if (freeBytes !== null && plan.memory.total > freeBytes) {
    return `the plan needs ${formatBytes(plan.memory.total)}, the adapter has ${formatBytes(freeBytes)}`;
  }
  return plan;
}

/** Options of the same session for another batch. The short last batch of an epoch stays, as a batch of one clip less. */
function withBatch(options: SessionOptions, clips: number): SessionOptions {
  const { trainClips } = options;
  const short = trainClips.length > 1 && clips > 1 ? [clips - 1] : [];
  return { ...options, trainClips: trainClips.length > 0 ? [clips, ...short] : [], evalClips: clips };
}

/** The largest batch that fits, in words; found by planning, not by rules of thumb. */
function advice(
  model: VideoModel,
  options: SessionOptions,
  gpu: Pick<Gpu, "environment">,
  { freeBytes, clipsPerVideo }: FitOptions,
): string {
  const planOf = (videos: number) =>
    tryPlan(model, withBatch(options, videos * clipsPerVideo), gpu, freeBytes);
  let least = 0, most = Math.ceil(batchOf(options) / clipsPerVideo), fitting: SessionPlan | null = null;
  while (most - least > 1) {
    const videos = (least + most) >> 1, plan = planOf(videos);
    if (typeof plan === "string") most = videos;
    else [least, fitting] = [videos, plan];
  }
  if (fitting) return `data.batch_size=${least} would fit (${formatBytes(fitting.memory.total)})`;
  return `no batch would fit: use precision=f16, memory=recompute or a smaller backbone`;
}

function batchOf(options: SessionOptions): number {
  return Math.max(options.evalClips, ...options.trainClips);
}

function purpose(options: SessionOptions): string {
  return `${options.trainClips.length > 0 ? "train" : "evaluate"} with ${batchOf(options)} clips a batch`;
}

/** Bytes that an adapter has free; null where nobody can tell before allocating. */
export async function freeMemory(gpu: Pick<Gpu, "isSoftware" | "name" | "info">): Promise<number | null> {
  if (gpu.isSoftware) return Math.floor(SOFTWARE_SHARE * Deno.systemMemoryInfo().available);
  if (!/nvidia/i.test(`${gpu.info.vendor} ${gpu.name}`)) return null;
  try {
    const { success, stdout } = await new Deno.Command("nvidia-smi", {
      args: ["--query-gpu=name,memory.free", "--format=csv,noheader,nounits"],
      stderr: "null",
    }).output();
    return success ? parseNvidiaFree(new TextDecoder().decode(stdout), gpu.name) : null;
  } catch {
    return null; // without nvidia-smi the adapter is asked by allocating
  }
}

/**
 * Free bytes from nvidia-smi's lines of "name, MiB". Of several cards of one name the freest counts: which of them WebGPU
 * opened cannot be told, and a run that may work is not refused.
 */
export function parseNvidiaFree(text: string, adapter: string): number | null {
  const cards = text.split("\n").flatMap((line) => {
    const [, name, free] = /^(.*),\s*(\d+)\s*$/.exec(line) ?? [];
    return name ? [{ name, bytes: Number(free) * 2 ** 20 }] : [];
  });
  const same = cards.filter(({ name }) => name === adapter);
  const counted = same.length > 0 ? same : cards;
  return counted.length > 0 ? Math.max(...counted.map(({ bytes }) => bytes)) : null;
}
