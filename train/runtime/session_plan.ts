/**
 * What a session will hold, worked out before it exists: the recorded programs, where everything lies, and GPU bytes by use.
 * Needs no device, only what kernel selection looks at.
 */

import { FRAME_MIX_BYTES } from "../../gpu/frames/mix.ts";
import type { FrameClip, FramePrepOptions } from "../../gpu/frames.ts";
import { bytesOf, resident, type Tensor } from "../../gpu/graph.ts";
import { Layout } from "../../gpu/layout.ts";
import { uniformBytes } from "../../gpu/lower.ts";
import type { KernelEnvironment } from "../../gpu/op.ts";
import { align, type Plan } from "../../gpu/plan.ts";
import type { BatchMix } from "../../pixels/batch_mix.ts";
import type { VideoModel } from "../../models/video_model.ts";
import { checkedPrepBytes, type ExpectedFrame, expectedPrep } from "./frame_buffers.ts";
import { LOSS_LOG_SIZE } from "./loss_log.ts";
import type { InputValues } from "./objective.ts";
import { type Cut, microBatches, microSizes } from "./micro_batches.ts";
import { type RecordedPrograms, recordPrograms } from "./programs.ts";
import { cutOf, isTwoPass, type ProgramOptions } from "./program_options.ts";
import { type AveragedMemory, recordExchange, recordUpdate } from "./update_program.ts";
import { type FiniteCheck, recordWatch } from "./watch.ts";

/** Decoded frames and their transform, with the taps where those are stored. */
export type SessionClip = FrameClip & {
  /** The prepared frames `[T 3 S S]` as the bytes of f32, which go to the network instead of decoded ones. */
  planes?: Uint8Array<ArrayBuffer>;
  /** Output of each tapped block, `[T N C]`, as the bytes of halves. */
  taps?: readonly Uint8Array<ArrayBuffer>[];
};

/** A batch for training. */
export interface TrainBatch {
  readonly clips: readonly SessionClip[];
  /** What it brings besides frames, by name. */
  readonly inputs: Readonly<Record<string, InputValues>>;
  /** How its clips are mixed; null or absent: not at all. */
  readonly mix?: BatchMix | null;
  /** Where the clips are one rank's: their places in the whole batch, which has so many. The inputs are those of the whole. */
  readonly whole?: { readonly places: readonly number[]; readonly clips: number } | null;
}

/** Options of a session. */
export interface SessionOptions extends ProgramOptions {
  /** Keep frozen blocks in host memory and bring each to the GPU while the one before it runs. */
  streamFrozen?: boolean;
  /** Largest decoded frame, for the upload buffers; null: frames are written as finished floats. */
  largestFrame: ExpectedFrame | null;
  /** Whether outputs of training programs can still be read when an update has been made; they then have memory of their own. */
  keepsOutputs?: boolean;
  /** What transforms of clips may hold besides geometry; nothing when absent. */
  augmentation?: Pick<FramePrepOptions, "pixelOps" | "erase">;
}

/** GPU bytes by what they are for. Their sum is what a session allocates. */
export type BytesByUse = Record<
  | "frozen_weights"
  | "parameters"
  | "gradients"
  | "optimizer"
  | "averages"
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

/** Everything that makes a session. */
export interface SessionPlan {
  /** How its batches are cut. */
  cut: Cut;
  programs: RecordedPrograms;
  /** All programs by name, the update among them. */
  plans: Readonly<Record<string, Plan>>;
  layout: Layout;
  /** Losses of the batches since they were last read, as `LossLog` orders them. */
  lossLog: Tensor;
  /** Gradients of all trained weights as one; null in a session for evaluation alone. */
  gradients: Tensor | null;
  /** Trained weights as one. */
  parameters: Tensor;
  /** All running statistics as one, and the same before the update under way where it may be skipped. */
  statistics: Tensor;
  before: Tensor | null;
  /** Trained weights, then running statistics, with their moving averages; empty where none are kept. */
  averaged: readonly AveragedMemory[];
  /** Counts what is not finite in all that a checkpoint would hold; null in a session for evaluation alone. */
  finiteCheck: FiniteCheck | null;
  frames: FramePrepOptions | null;
  readbackBytes: number;
  memory: MemoryPlan;
}

/** Names of programs. */
export const PROGRAMS = {
  train: (clips: number) => `train.${clips}`,
  encode: (clips: number) => `encode.${clips}`,
  loss: (clips: number) => `loss.${clips}`,
  backward: (clips: number) => `backward.${clips}`,
  evaluation: "evaluation",
  update: "update",
  guard: "guard",
  exchange: "exchange",
  finiteCheck: "finite_check",
  prologue: "prologue",
  query: (name: string) => `query.${name}`,
} as const;

/**
 * Records, places and adds up.
 *
 * @throws {TooLargeError} naming what no binding or buffer of the adapter could hold.
 * @throws {RangeError} when clips are to be mixed although the loss is over the batch, whose micro-batches know no other clips.
 */
export function planSession(
  model: VideoModel,
  options: SessionOptions,
  environment: KernelEnvironment,
): SessionPlan {
  const frames = options.largestFrame && expectedPrep(model, {
    clips: largestBatch(options),
    largestFrame: options.largestFrame,
    augmentation: options.augmentation,
  }, options.limits);
  const prepBytes = frames ? checkedPrepBytes(frames, options.limits) : 0;
  if (options.mixes && options.objective.over === "batch") {
    throw new RangeError("Cannot train: clips must not be mixed where the loss is over the batch");
  }
  const programs = recordPrograms(model, options), { trained, kept, batch } = programs;
  const layout = new Layout(options.limits);
  const cut = cutOf(options), parts = options.trainClips.map((clips) => microBatches(clips, cut).length);
  const losses = isTwoPass(options) ? 1 : Math.max(1, ...parts);
  const lossLog = resident("state", "loss_log", [LOSS_LOG_SIZE * losses]);
  const weights = (kind: "frozen" | "statistic" | "constant") =>
    model.weights.of(kind).map(({ tensor }) => tensor);
  const blocks = options.streamFrozen ? model.weights.blocks() : [], streamed = new Set(blocks.flat());
  if (blocks.length > 0) layout.streamBlocks("frozen_weights", blocks);
  layout.allocate("frozen_weights", weights("frozen").filter((tensor) => !streamed.has(tensor)));
  const statistics = layout.allocateFlat("statistics", weights("statistic")).flat;
  const constants = weights("constant").length > 0
    ? layout.allocateFlat("statistics", weights("constant")).flat
    : null;
  const parameters = layout.allocateFlat("parameters", [...trained, ...kept].map(({ tensor }) => tensor));
  const trains = options.trainClips.length > 0, { rule } = options.optimizer;
  const flat = !trains ? null : {
    gradients: layout.allocateFlat("gradients", programs.gradients).flat,
    moments: Object.fromEntries(
      rule.moments.map((name) => [name, layout.allocateFlat("optimizer", programs.moments[name]).flat]),
    ),
  };
  const { averages } = programs;
  const averaged: AveragedMemory[] = averages.size === 0 ? [] : [
    { values: parameters.flat, of: trained },
    { values: statistics, of: model.weights.of("statistic") },
  ].map(({ values, of }) => ({
    values,
    averages: layout.allocateFlat("averages", of.map((weight) => averages.get(weight)!)).flat,
  }));
  const exchange = averaged.length > 0 ? recordExchange(averaged, options) : null;
  layout.allocate("inputs", inputTensors(programs, lossLog));
  // Of their own: they are copied to other inputs, and WebGPU copies nothing within one buffer.
  if (batch) layout.allocate("inputs", batch.gathered.values());
  const watch = flat &&
    recordWatch(programs, {
      parameters: parameters.flat,
      statistics,
      constants,
      averages: averaged.map(({ averages }) => averages),
      ...flat,
    }, { ...options, layout });
  const update = flat &&
    recordUpdate(programs, { parameters: parameters.flat, starts: parameters.starts, ...flat }, {
      ...options,
      model,
      averaged,
    });
  const named = (
    name: (clips: number) => string,
    recorded: ReadonlyMap<number, { plan: Plan }> | undefined,
  ) => [...recorded ?? []].map(([clips, { plan }]) => [name(clips), plan] as const);
  const plans = Object.fromEntries([
    ...named(PROGRAMS.train, programs.train),
    ...named(PROGRAMS.encode, batch?.encode),
    ...named(PROGRAMS.loss, batch?.loss),
    ...named(PROGRAMS.backward, batch?.backward),
    [PROGRAMS.evaluation, programs.evaluation.plan] as const,
    ...update ? [[PROGRAMS.update, update.plan] as const] : [],
    ...watch?.guard ? [[PROGRAMS.guard, watch.guard.plan] as const] : [],
    ...exchange ? [[PROGRAMS.exchange, exchange.plan] as const] : [],
    ...watch ? [[PROGRAMS.finiteCheck, watch.finiteCheck.plan] as const] : [],
    ...programs.prologue ? [[PROGRAMS.prologue, programs.prologue.plan] as const] : [],
    ...[...programs.queries].map(([name, { plan }]) => [PROGRAMS.query(name), plan] as const),
  ]);
  const training = [...programs.train.values()].map(({ plan }) => plan);
  layout.allocateArena(
    Object.values(plans).filter((plan) => !options.keepsOutputs || !training.includes(plan)),
    options.keepsOutputs ? training : [],
  );
  const looked = watch ? [lossLog, programs.guard, watch.finiteCheck.counts] : [];
  const readBytes = (tensors: Iterable<Tensor>) =>
    [...tensors].reduce((sum, tensor) => sum + align(bytesOf(tensor)), 0);
  const readbackBytes = Math.max(
    readBytes(looked) +
      readBytes(options.collects.map((name) => programs.evaluation.g.outputs.get(name)!)),
    ...[...programs.queries.values()].map(({ g }) => readBytes(g.outputs.values())),
  );
  const byUse: BytesByUse = {
    frozen_weights: layout.bytesOf("frozen_weights"),
    parameters: layout.bytesOf("parameters"),
    gradients: layout.bytesOf("gradients"),
    optimizer: layout.bytesOf("optimizer"),
    averages: layout.bytesOf("averages"),
    statistics: layout.bytesOf("statistics"),
    inputs: layout.bytesOf("inputs"),
    activations: layout.bytesOf("arena.*"),
    uniforms: Object.values(plans).reduce((sum, plan) => sum + uniformBytes(environment, plan), 0),
    frame_preparation: prepBytes + (options.mixes ? FRAME_MIX_BYTES : 0),
    readback: readbackBytes,
  };
  return {
    cut,
    programs,
    plans,
    layout,
    lossLog,
    gradients: flat?.gradients ?? null,
    parameters: parameters.flat,
    statistics,
    before: watch?.before ?? null,
    averaged,
    finiteCheck: watch?.finiteCheck ?? null,
    frames,
    readbackBytes,
    memory: {
      total: Object.values(byUse).reduce((a, b) => a + b, 0),
      byUse,
      hostBytes: layout.stream?.blockBytes.reduce((a, b) => a + b, 0) ?? 0,
    },
  };
}

/** The programs that a training batch of so many clips of a rank runs, in order, without the update. */
export function stepPrograms({ programs: { batch }, cut }: SessionPlan, clips: number): string[] {
  const sizes = microBatches(clips, cut).map(({ length }) => length);
  if (!batch) return sizes.map(PROGRAMS.train);
  const whole = batch.loss.has(clips) ? clips : Math.max(...batch.loss.keys());
  return [...sizes.map(PROGRAMS.encode), PROGRAMS.loss(whole), ...sizes.map(PROGRAMS.backward)];
}

/** Their plans. */
export function stepPlans(planned: SessionPlan, clips: number): Plan[] {
  return stepPrograms(planned, clips).map((name) => planned.plans[name]);
}

/** Clips that run at once, at most. */
function largestBatch(
  options: Pick<ProgramOptions, "trainClips" | "evalClips" | "microClips" | "mixes">,
): number {
  return Math.max(options.evalClips, ...microSizes(options.trainClips, cutOf(options)));
}

/** Everything that is written before a step, but for what a loss over the batch reads of the model. */
function inputTensors(
  { frames, inputs, taps, seed, hyper, clip, averages, averageRates, batch, queries }: RecordedPrograms,
  lossLog: Tensor,
): Tensor[] {
  const whole = batch === null ? [] : [...batch.arriving.values(), ...Object.values(batch.inputs)];
  const asked = [...queries.values()].flatMap(({ inputs }) => Object.values(inputs));
  const rates = averages.size > 0 ? [averageRates] : [];
  return [
    frames,
    ...Object.values(inputs),
    ...taps,
    ...whole,
    ...asked,
    seed,
    hyper,
    clip,
    ...rates,
    lossLog,
  ];
}
