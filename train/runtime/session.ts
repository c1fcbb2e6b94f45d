/**
 * A model on a GPU, ready to train and to evaluate: owns all device memory, runs the recorded programs, and moves batches in
 * and results out. It lives in its own Worker (`gpu_worker.ts`), because waiting for a GPU blocks the thread that waits. One class,
 * because everything in it shares one device memory.
 */

import type { Gpu } from "../../gpu/device.ts";
import { Arena, Program, readTensors, Residency } from "../../gpu/executor.ts";
import { createFramePrep, type FramePrep } from "../../gpu/frames.ts";
import { FrameMix } from "../../gpu/frames/mix.ts";
import { bytesOf, sizeOf, type Tensor } from "../../gpu/graph.ts";
import { align, type Plan } from "../../gpu/plan.ts";
import { PipelineCache } from "../../gpu/shader.ts";
import { WeightStream } from "../../gpu/stream.ts";
import { createPrng } from "../../lib/random.ts";
import type { Weight } from "../../models/params.ts";
import { picturesOf, tapShape, type VideoModel } from "../../models/video_model.ts";
import { prepareFrames, writeTaps } from "./frame_upload.ts";
import { recordUpdate, type TrainingPrograms } from "./programs.ts";
import {
  type BatchTargets,
  type GroupRates,
  inputTensors,
  LOSS_LOG_SIZE,
  lossLog,
  type MemoryPlan,
  OutOfMemoryError,
  packHyper,
  planSession,
  prepOptions,
  type SessionClip,
  type SessionOptions,
  type SessionPlan,
  type TrainClip,
  type WeightPart,
} from "./session_plan.ts";

const MAP_READ = 0x1, COPY_DST = 0x8;

/** A model on a GPU. */
export class Session {
  readonly model: VideoModel;
  readonly memory: MemoryPlan;
  readonly #gpu: Gpu;
  readonly #options: SessionOptions;
  readonly #programs: TrainingPrograms;
  readonly #residency: Residency;
  #prep: FramePrep | null;
  /** null where batches are not mixed. */
  readonly #mix: FrameMix | null;
  readonly #train = new Map<number, Program>();
  #evaluation!: Program;
  #update: Program | null = null;
  readonly #lossLog: Tensor;
  readonly #lossStaging: GPUBuffer;
  readonly #logitStaging: GPUBuffer;
  readonly #gradients: { buffer: GPUBuffer; offset: number; bytes: number } | null;
  #steps = 0;
  #pendingLosses = 0;
  #microStep = 0;

  /**
   * Allocates and compiles everything. Weights are zeros until they are written.
   *
   * @param planned The plan of these options, when it is known already.
   * @throws {OutOfMemoryError} when the adapter has not the memory that the plan needs.
   */
  static async open(
    gpu: Gpu,
    model: VideoModel,
    options: SessionOptions,
    planned: SessionPlan = planSession(model, options, gpu),
  ): Promise<Session> {
    const { programs } = planned;
    gpu.device.pushErrorScope("out-of-memory");
    const residency = new Residency(gpu), arena = new Arena(gpu), pipelines = new PipelineCache(gpu.device);
    const tensorsOf = (kind: "frozen" | "statistic") => model.weights.of(kind).map((weight) => weight.tensor);
    const blocks = options.streamFrozen ? model.weights.blocks() : [];
    const streamed = new Set(blocks.flat());
    if (blocks.length > 0) residency.stream = new WeightStream(gpu, blocks);
    residency.allocate("frozen_weights", tensorsOf("frozen").filter((tensor) => !streamed.has(tensor)));
    residency.allocate("statistics", tensorsOf("statistic"));
    const parameters = residency.allocateFlat("parameters", programs.trained.map((weight) => weight.tensor));
    const beside = planned.update && {
      gradients: residency.allocateFlat("gradients", programs.gradients).flat,
      firstMoments: residency.allocateFlat("exp_avg", programs.firstMoments).flat,
      secondMoments: residency.allocateFlat("exp_avg_sq", programs.secondMoments).flat,
    };
    const log = lossLog();
    residency.allocate("inputs", inputTensors(programs, log));
    const update = beside &&
      recordUpdate(programs, { parameters: parameters.flat, ...beside, starts: parameters.starts }, options);
    const recorded = [...programs.train.values(), programs.evaluation, ...(update ? [update] : [])];
    arena.allocate(recorded.map(({ plan }) => plan));
    const session = new Session(gpu, model, options, planned, residency, log, beside?.gradients ?? null);
    const prepare = (plan: Plan) => Program.prepare(gpu, plan, { arena, residency, pipelines });
    for (const [clips, recorded] of programs.train) session.#train.set(clips, await prepare(recorded.plan));
    session.#evaluation = await prepare(programs.evaluation.plan);
    if (update) session.#update = await prepare(update.plan);
    const error = await gpu.device.popErrorScope();
    if (error) throw new OutOfMemoryError(gpu.name, planned.memory.total);
    residency.write(programs.seed, Float32Array.of(1 / options.accumulation));
    residency.write(programs.clip, Float32Array.of(1));
    return session;
  }

  private constructor(
    gpu: Gpu,
    model: VideoModel,
    options: SessionOptions,
    planned: SessionPlan,
    residency: Residency,
    log: Tensor,
    gradients: Tensor | null,
  ) {
    this.model = model;
    this.memory = planned.memory;
    this.#gpu = gpu;
    this.#options = options;
    this.#programs = planned.programs;
    this.#residency = residency;
    this.#lossLog = log;
    this.#gradients = gradients && { ...residency.find(gradients), bytes: bytesOf(gradients) };
    const staging = (label: string, bytes: number) =>
      gpu.memory.create(label, align(bytes), MAP_READ | COPY_DST);
    this.#lossStaging = staging("loss_readback", LOSS_LOG_SIZE * 4);
    this.#logitStaging = staging(
      "logit_readback",
      bytesOf(planned.programs.evaluation.output.outputs.logits),
    );
    this.#prep = options.largestFrame
      ? createFramePrep(gpu.device, { ...prepOptions(model, options), memory: gpu.memory })
      : null;
    const { frames } = planned.programs;
    this.#mix = !options.mixes ? null : new FrameMix(gpu.device, {
      target: { ...residency.find(frames), size: bytesOf(frames) },
      frames: picturesOf(model),
      size: model.config.backbone.imageSize,
      memory: gpu.memory,
    });
  }

  /** Bytes of GPU memory in use. */
  get allocatedBytes(): number {
    return this.#gpu.memory.allocatedBytes;
  }

  /** Optimiser steps done. */
  get steps(): number {
    return this.#steps;
  }

  /** Number of kernel launches of a training micro-batch, or of an evaluation where there is no training. */
  get launches(): number {
    const programs = this.#train.size > 0 ? [...this.#train.values()] : [this.#evaluation];
    return Math.max(...programs.map((program) => program.launchCount));
  }

  /**
   * Draws every weight from its declared distribution. One stream a weight, so adding weights changes no other.
   *
   * @param options.frozen Also the frozen weights; false where a checkpoint will give them.
   */
  initialise(seed: number, options: { frozen?: boolean } = {}): void {
    for (const { kind, tensor, shape, init, place } of this.model.weights.list) {
      if (kind === "frozen" && options.frozen === false) continue;
      this.#residency.write(tensor, init(sizeOf(shape), createPrng(seed, place)));
    }
  }

  /** Writes a weight, or what the optimiser keeps beside it. */
  write(name: string, values: Float32Array, part: WeightPart = "value"): void {
    this.#residency.write(this.#tensorOf(name, part), values);
  }

  /** Reads weights back. Waits for the GPU; ask for many at once. */
  async read(names: readonly string[], part: WeightPart = "value"): Promise<Map<string, Float32Array>> {
    const tensors = names.map((name) => this.#tensorOf(name, part));
    const data = await readTensors(
      this.#gpu,
      tensors.map((tensor) => ({ label: tensor.label, tensor, ...this.#residency.find(tensor) })),
    );
    return new Map(names.map((name, i) => [name, data[i]]));
  }

  /** Sets the number of steps done and of micro-batches summed since, when resuming. */
  restoreSteps(steps: number, accumulated: number): void {
    this.#steps = steps;
    this.#microStep = accumulated;
  }

  /**
   * Queues one micro-batch: upload, forward, backward; after the last of an accumulation group also the update.
   *
   * @param rates Learning rates, used when this micro-batch completes a step.
   * @param given Targets `[clips K]` and how the clips are mixed, in a session that mixes or weighs.
   * @returns Whether an optimiser step was made.
   */
  async step(clips: readonly TrainClip[], rates: GroupRates, given?: BatchTargets): Promise<boolean> {
    if ((given === undefined) !== (this.#programs.targets === null)) {
      throw new RangeError(
        `Cannot train on a batch: its targets must be given where batches are mixed or weighted, and there alone`,
      );
    }
    const encoder = this.#gpu.device.createCommandEncoder({ label: "step" });
    this.#upload(encoder, clips);
    if (given) this.#takeTargets(encoder, clips.length, given);
    return await this.#launchTraining(encoder, clips.length, rates);
  }

  /** `step` on frames that are floats already, [B*T 3 H W] row-major. */
  async stepOnFrames(frames: Float32Array, labels: readonly number[], rates: GroupRates): Promise<boolean> {
    this.writeFrames(frames, labels);
    return await this.#launchTraining(
      this.#gpu.device.createCommandEncoder({ label: "step" }),
      labels.length,
      rates,
    );
  }

  /** Writes finished frames and labels into the input. */
  writeFrames(frames: Float32Array, labels: readonly number[]): void {
    const { queue } = this.#gpu.device;
    const home = this.#residency.find(this.#programs.frames);
    queue.writeBuffer(
      home.buffer,
      home.offset,
      frames.buffer as ArrayBuffer,
      frames.byteOffset,
      frames.byteLength,
    );
    this.#writeLabels(labels);
  }

  async #launchTraining(encoder: GPUCommandEncoder, clips: number, rates: GroupRates): Promise<boolean> {
    this.#gpu.assertAlive();
    const { device } = this.#gpu;
    const program = this.trainProgram(clips);
    const { accumulation } = this.#options;
    if (accumulation > 1 && this.#microStep === 0) {
      const { buffer, offset, bytes } = this.#gradients!;
      encoder.clearBuffer(buffer, offset, bytes);
    }
    encoder = await program.encode(encoder, "forward and backward");
    const loss = program.locate(this.#programs.train.get(clips)!.loss),
      log = this.#residency.find(this.#lossLog);
    encoder.copyBufferToBuffer(
      loss.buffer,
      loss.offset,
      log.buffer,
      log.offset + (this.#pendingLosses % LOSS_LOG_SIZE) * 4,
      4,
    );
    this.#pendingLosses++;
    this.#microStep = (this.#microStep + 1) % accumulation;
    const completes = this.#microStep === 0;
    if (completes) {
      this.#steps++;
      const { optimizer } = this.#options;
      this.#residency.write(this.#programs.hyper, packHyper(optimizer, rates, this.#steps));
      encoder = await this.#update!.encode(encoder, "update");
    }
    device.queue.submit([encoder.finish()]);
    return completes;
  }

  /** Losses of the micro-batches since the last call, oldest first. Waits for the GPU. */
  async readLosses(): Promise<number[]> {
    const count = Math.min(this.#pendingLosses, LOSS_LOG_SIZE), first = this.#pendingLosses - count;
    this.#pendingLosses = 0;
    if (count === 0) return [];
    const { buffer, offset } = this.#residency.find(this.#lossLog);
    const values = await this.#copyOut(buffer, offset, this.#lossStaging, LOSS_LOG_SIZE * 4);
    return Array.from({ length: count }, (_, i) => values[(first + i) % LOSS_LOG_SIZE]);
  }

  /** Logits of clips in evaluation mode, [clips K] row-major. Waits for the GPU. */
  async evaluate(clips: readonly SessionClip[]): Promise<Float32Array> {
    const encoder = this.#gpu.device.createCommandEncoder({ label: "evaluation" });
    this.#prepareFrames(encoder, clips);
    return await this.#evaluate(encoder, clips.length);
  }

  /** `evaluate` on frames that are floats already, [clips*T 3 H W]. */
  async evaluateFrames(frames: Float32Array, clips: number): Promise<Float32Array> {
    this.writeFrames(frames, new Array(clips).fill(0));
    return await this.#evaluate(this.#gpu.device.createCommandEncoder({ label: "evaluation" }), clips);
  }

  async #evaluate(encoder: GPUCommandEncoder, clips: number): Promise<Float32Array> {
    this.#gpu.assertAlive();
    encoder = await this.#evaluation.encode(encoder, "evaluation");
    this.#gpu.device.queue.submit([encoder.finish()]);
    const { logits } = this.#programs.evaluation.output.outputs;
    const { buffer, offset } = this.#evaluation.locate(logits);
    const values = await this.#copyOut(buffer, offset, this.#logitStaging, bytesOf(logits));
    return values.slice(0, clips * logits.shape[1]);
  }

  /** Values of a training program's outputs by name (loss, logits, act.*), for parity checks. */
  async readOutputs(clips: number, names: readonly string[]): Promise<Map<string, Float32Array>> {
    const program = this.#train.get(clips)!, { g } = this.#programs.train.get(clips)!;
    const tensors = names.map((name) => ({
      label: name,
      tensor: g.outputs.get(name)!,
      ...program.locate(g.outputs.get(name)!),
    }));
    const data = await readTensors(this.#gpu, tensors);
    return new Map(names.map((name, i) => [name, data[i]]));
  }

  /** The compiled program of a micro-batch size, for profiles. */
  trainProgram(clips: number): Program {
    const program = this.#train.get(clips);
    if (!program) {
      throw new RangeError(
        `Cannot train on ${clips} clips: the programs are made for ${
          [...this.#train.keys()].join(" or ") || "evaluation alone"
        }`,
      );
    }
    return program;
  }

  /**
   * Makes the upload buffers large enough for frames of this size: a data set may hold frames larger than those looked at
   * before the run. This is the one allocation after the start.
   *
   * @returns Bytes of GPU memory now in use.
   */
  growUploads(largestFrame: { width: number; height: number }): number {
    this.#prep?.destroy();
    const options = prepOptions(this.model, { ...this.#options, largestFrame });
    this.#prep = createFramePrep(this.#gpu.device, { ...options, memory: this.#gpu.memory });
    return this.allocatedBytes;
  }

  /** Waits until the GPU has done all that was queued. */
  async finish(): Promise<void> {
    await this.#gpu.device.queue.onSubmittedWorkDone();
    this.#gpu.assertAlive();
  }

  [Symbol.dispose](): void {
    this.#gpu[Symbol.dispose]();
  }

  #upload(encoder: GPUCommandEncoder, clips: readonly TrainClip[]): void {
    this.#prepareFrames(encoder, clips);
    this.#writeLabels(clips.map((clip) => clip.label));
  }

  /** Uploads frames, and taps where they are stored, and records the frames' preparation. */
  #prepareFrames(encoder: GPUCommandEncoder, clips: readonly SessionClip[]): void {
    const { taps } = this.#programs, [rows] = tapShape(this.model, 1);
    const { device } = this.#gpu, home = this.#residency.find(this.#programs.frames);
    writeTaps(device, clips, { taps, rows, find: (tap) => this.#residency.find(tap) });
    prepareFrames({ device, prep: this.#prep! }, encoder, clips, home);
  }

  #takeTargets(encoder: GPUCommandEncoder, clips: number, { mix, targets }: BatchTargets): void {
    const home = this.#residency.find(this.#programs.targets!);
    this.#gpu.device.queue.writeBuffer(home.buffer, home.offset, targets as Float32Array<ArrayBuffer>);
    if (mix) this.#mix!.encode(encoder, clips, mix);
  }

  #writeLabels(labels: readonly number[]): void {
    const home = this.#residency.find(this.#programs.labels);
    this.#gpu.device.queue.writeBuffer(home.buffer, home.offset, Uint32Array.from(labels));
  }

  async #copyOut(
    buffer: GPUBuffer,
    offset: number,
    staging: GPUBuffer,
    bytes: number,
  ): Promise<Float32Array> {
    const encoder = this.#gpu.device.createCommandEncoder({ label: "readback" });
    encoder.copyBufferToBuffer(buffer, offset, staging, 0, bytes);
    this.#gpu.device.queue.submit([encoder.finish()]);
    await staging.mapAsync(MAP_READ);
    const values = new Float32Array(staging.getMappedRange().slice(0, bytes));
    staging.unmap();
    this.#gpu.assertAlive();
    return values;
  }

  #tensorOf(name: string, part: WeightPart): Tensor {
    const weight: Weight | undefined = this.model.weights.get(name);
    if (!weight) throw new Error(`Cannot find weight "${name}": the model has none of that name`);
    if (part === "value") return weight.tensor;
    const index = this.#programs.trained.indexOf(weight);
    const list = {
      gradient: this.#programs.gradients,
      exp_avg: this.#programs.firstMoments,
      exp_avg_sq: this.#programs.secondMoments,
    }[part];
    if (index < 0) throw new Error(`Cannot find ${part} of "${name}": the weight must be trained`);
    return list[index];
  }
}
