/**
 * What a session will hold, worked out before it exists: the recorded programs, and GPU bytes by use. Needs no device.
 */

import { Arena, Program } from "../../gpu/executor.ts";
import type { Gpu } from "../../gpu/device.ts";
import { type FrameClip, framePrepBytes, type FramePrepOptions } from "../../gpu/frames.ts";
import { FRAME_MIX_BYTES } from "../../gpu/frames/mix.ts";
import { bytesOf, resident, sizeOf, type Tensor } from "../../gpu/graph.ts";
import { packAdamwHyper } from "../../gpu/ops/mod.ts";
import { align, type Plan } from "../../gpu/plan.ts";
import { WeightStream } from "../../gpu/stream.ts";
import { AdapterError } from "../../lib/errors.ts";
import type { BatchMix } from "../../pixels/batch_mix.ts";
import { picturesOf, type VideoModel } from "../../models/video_model.ts";
import {
  alignedBytes,
  PARAMETER_GROUPS,
  type ProgramOptions,
  recordPrograms,
  recordUpdate,
  type TrainingPrograms,
} from "./programs.ts";

/** Steps whose losses may wait on the GPU before they are read. */
export const LOSS_LOG_SIZE = 64;

/** AdamW's constants. */
export interface OptimizerOptions {
  betas: readonly [number, number];
  eps: number;
  weightDecay: number;
}

/** Learning rate of every optimiser group. */
export type GroupRates = Readonly<Record<string, number>>;

/** What the update of every group reads, in group order. @param step The number of the update, from 1. */
export function packHyper(options: OptimizerOptions, rates: GroupRates, step: number): Float32Array {
  const { betas: [beta1, beta2], eps, weightDecay } = options;
  return Float32Array.from(
    PARAMETER_GROUPS.flatMap((group) => [
      ...packAdamwHyper({ lr: rates[group], beta1, beta2, eps, weightDecay, step }),
    ]),
  );
}

/** Decoded frames and their transform, with the taps where those are stored. */
export type SessionClip = FrameClip & {
  /** Output of each tapped block, `[T N C]`, as the bytes of halves. */
  taps?: readonly Uint8Array<ArrayBuffer>[];
};

/** A clip with its label. */
export type TrainClip = SessionClip & { label: number };

/** What a batch brings in place of labels. */
export interface BatchTargets {
  /** How its clips are mixed; null: not at all. */
  mix: BatchMix | null;
  /** Targets `[B K]`: distributions, times the weights of the classes where those are weighted. */
  targets: Float32Array;
}

/** Options of a session. */
export interface SessionOptions extends ProgramOptions {
  /** Keep frozen blocks in host memory and bring each to the GPU while the one before it runs. */
  streamFrozen?: boolean;
  optimizer: OptimizerOptions;
  /** Largest decoded frame, for the upload buffers; null: frames are written as finished floats. */
  largestFrame: { width: number; height: number } | null;
  /** What transforms of clips may hold besides geometry; nothing when absent. */
  augmentation?: Pick<FramePrepOptions, "pixelOps" | "erase">;
}

/** GPU bytes by what they are for. Their sum is what a session allocates. */
export type BytesByUse = Record<
  | "frozen_weights"
  | "parameters"
  | "gradients"
  | "optimizer"
  | "statistics"
  | "inputs"
  | "activations"
  | "uniforms"
  | "frame_preparation"
  | "readback",
  number
>;

/** The numbers of a plan, known before anything is allocated. */
export interface MemoryPlan {
  total: number;
  byUse: BytesByUse;
  /** Host memory of streamed frozen weights. */
  hostBytes: number;
}

/** Everything that makes a session: the recorded programs, the optimiser's update and the bytes. */
export interface SessionPlan {
  programs: TrainingPrograms;
  /** null in a session for evaluation alone. */
  update: { plan: Plan } | null;
  memory: MemoryPlan;
}

/** Bytes of decoded frames that are uploaded at once, at most, unless one clip alone has more. */
const MOST_UPLOAD_BYTES = 2 ** 27;

/** Options of the upload buffers. They may hold a part of the batch, which then goes through them piece by piece. */
export function prepOptions(
  model: VideoModel,
  options: Pick<SessionOptions, "largestFrame" | "trainClips" | "evalClips" | "augmentation">,
) {
  const { backbone } = model.config, frames = picturesOf(model);
  const maxWidth = Math.max(options.largestFrame!.width, backbone.imageSize);
  const maxHeight = Math.max(options.largestFrame!.height, backbone.imageSize);
  const atOnce = Math.max(1, Math.floor(MOST_UPLOAD_BYTES / (frames * maxWidth * maxHeight * 3)));
  return {
    clips: Math.min(atOnce, Math.max(options.evalClips, ...options.trainClips)),
    frames,
    maxWidth,
    maxHeight,
    size: backbone.imageSize,
    outType: "f32" as const,
    ...options.augmentation,
  };
}

/** Records, plans and adds up. Needs no device, only what kernel selection looks at. */
export function planSession(
  model: VideoModel,
  options: SessionOptions,
  gpu: Pick<Gpu, "environment">,
): SessionPlan {
  const programs = recordPrograms(model, options);
  const flat = flatTensors(programs);
  const trains = programs.train.size > 0;
  const update = trains ? recordUpdate(programs, flat, options) : null;
  const plans = [...programs.train.values(), programs.evaluation, ...(update ? [update] : [])]
    .map((recorded) => recorded.plan);
  const flatBytes = bytesOf(flat.parameters);
  const frozen = model.weights.of("frozen");
  const stream = options.streamFrozen ? WeightStream.bytesFor(model.weights.blocks()) : { gpu: 0, host: 0 };
  const byUse: BytesByUse = {
    frozen_weights: stream.gpu +
      alignedBytes(
        frozen.filter(({ block }) => block === null || !options.streamFrozen).map(({ tensor }) => tensor),
      ),
    parameters: flatBytes,
    gradients: trains ? flatBytes : 0,
    optimizer: trains ? 2 * flatBytes : 0,
    statistics: alignedBytes(model.weights.of("statistic").map((weight) => weight.tensor)),
    inputs: alignedBytes(inputTensors(programs, lossLog())),
    activations: Arena.sizesFor(plans).reduce((a, b) => a + b, 0),
    uniforms: plans.reduce((sum, plan) => sum + Program.uniformBytes(gpu, plan), 0),
    frame_preparation: (options.largestFrame ? framePrepBytes(prepOptions(model, options)) : 0) +
      (options.mixes ? FRAME_MIX_BYTES : 0),
    readback: align(LOSS_LOG_SIZE * 4) + align(bytesOf(programs.evaluation.output.outputs.logits)),
  };
  return {
    programs,
    update,
    memory: { total: Object.values(byUse).reduce((a, b) => a + b, 0), byUse, hostBytes: stream.host },
  };
}

/** Everything that is written before a step. */
export function inputTensors(
  { frames, labels, targets, taps, seed, hyper, clip }: TrainingPrograms,
  log: Tensor,
): Tensor[] {
  return [frames, labels, ...targets ? [targets] : [], ...taps, seed, hyper, clip, log];
}

export function lossLog(): Tensor {
  return resident("state", "loss_log", [LOSS_LOG_SIZE]);
}

/** Stand-ins with the layout that `Residency.allocateFlat` will give, for planning. */
function flatTensors(programs: TrainingPrograms) {
  const starts: number[] = [];
  let count = 0;
  for (const { shape } of programs.trained) {
    starts.push(count);
    count += Math.ceil(sizeOf(shape) / 64) * 64;
  }
  const flat = (label: string) => resident("state", label, [count]);
  return {
    parameters: flat("parameters"),
    gradients: flat("gradients"),
    firstMoments: flat("exp_avg"),
    secondMoments: flat("exp_avg_sq"),
    starts,
  };
}

/** The adapter granted less memory than the plan needs. */
export class OutOfMemoryError extends AdapterError {
  override name = "OutOfMemoryError";
  constructor(adapter: string, readonly neededBytes: number) {
    super(`Cannot allocate ${neededBytes} bytes on adapter "${adapter}": its memory must be free`);
  }
}

/** Which values of a weight: itself, or what the optimiser keeps beside it. */
export type WeightPart = "value" | "gradient" | "exp_avg" | "exp_avg_sq";
