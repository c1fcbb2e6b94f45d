/**
 * A model on a device, ready to train and to evaluate: turns batches into commands, and results into values. The device may be on
 * this thread or in a Worker; either way a step is queued, not waited for.
 */

import { bytesOf, DTYPE_BYTES, type Tensor } from "../../gpu/graph.ts";
import type { Command } from "../../gpu/runtime.ts";
import type { Weight } from "../../models/params.ts";
import { picturesOf, tapShape, type VideoModel } from "../../models/video_model.ts";
import type { Device } from "./device.ts";
import { DeviceModel, frameOf, memoryOf } from "./device_model.ts";
import type { FrameSize } from "./frame_buffers.ts";
import { type BatchPrograms, bytesOfClips } from "./programs.ts";
import {
  type InputValues,
  LOSS_LOG_SIZE,
  type MemoryPlan,
  planSession,
  PROGRAMS,
  type SessionClip,
  type SessionOptions,
  type SessionPlan,
  type TrainBatch,
} from "./session_plan.ts";
import { type GroupRates, packHyper } from "./update_rules.ts";

/** Which values of a weight: itself, its gradient, or what the update rule keeps beside it ("exp_avg"). */
export type WeightPart = "value" | "gradient" | (string & Record<never, never>);

/** A model on a device. Closing it frees the device. Use with `await using`. */
export class Session implements AsyncDisposable {
  readonly model: VideoModel;
  readonly memory: MemoryPlan;
  readonly #loaded: DeviceModel;
  readonly #options: SessionOptions;
  readonly #planned: SessionPlan;
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
    device: Device,
    model: VideoModel,
    options: SessionOptions,
    planned: SessionPlan = planSession(model, options, device.info.environment),
  ): Promise<Session> {
    const { programs: { frames }, layout } = planned;
    const mix = options.mixes
      ? { ...layout.find(frames), bytes: bytesOf(frames), frames: picturesOf(model), size: frames.shape[2] }
      : null;
    const session = new Session(await DeviceModel.load(device, model, { ...planned, mix }), options, planned);
    const { seed, clip } = planned.programs;
    await device.submit([
      session.#loaded.writeCommand(seed, Float32Array.of(1 / options.accumulation)),
      session.#loaded.writeCommand(clip, Float32Array.of(1)),
    ]);
    return session;
  }

  private constructor(loaded: DeviceModel, options: SessionOptions, planned: SessionPlan) {
    this.model = loaded.model;
    this.memory = planned.memory;
    this.#loaded = loaded;
    this.#options = options;
    this.#planned = planned;
  }

  /** One line naming the adapter. */
  get adapter(): string {
    return this.#loaded.device.info.name;
  }

  /** Bytes of GPU memory in use. */
  get allocatedBytes(): number {
    return this.#loaded.allocatedBytes;
  }

  /** Optimiser steps done. */
  get steps(): number {
    return this.#steps;
  }

  /** Number of kernel launches of a training batch, or of an evaluation where there is no training. */
  get launches(): number {
    const { [PROGRAMS.evaluation]: evaluation, [PROGRAMS.update]: _, ...training } = this.#loaded.launches;
    return Math.max(...(Object.keys(training).length > 0 ? Object.values(training) : [evaluation]));
  }

  /** Weights that an update changes, in the model's order. */
  get updated(): readonly Weight[] {
    const { trained } = this.#planned.programs;
    return this.model.weights.of("trained").filter((weight) => trained.includes(weight));
  }

  /** What the optimiser keeps beside each of them, by name. */
  get moments(): readonly string[] {
    return this.#options.optimizer.rule.moments;
  }

  /** The largest frame that it can take; null where it takes none. */
  get frameRoom(): FrameSize | null {
    return this.#loaded.frameRoom;
  }

  /** Told when a frame larger than expected made the upload buffers grow. */
  set onGrow(tell: (frame: FrameSize, allocatedBytes: number) => void) {
    this.#loaded.onGrow = tell;
  }

  /**
   * Draws every weight from its declared distribution.
   *
   * @param options.frozen Also the frozen weights; false where a checkpoint will give them.
   */
  initialise(seed: number, options: { frozen?: boolean } = {}): Promise<void> {
    return this.#loaded.initialise(seed, [
      "trained",
      "statistic",
      "constant",
      ...options.frozen === false ? [] : ["frozen" as const],
    ]);
  }

  /** Computes the model's constants from the weights that are there. */
  async computeConstants(): Promise<void> {
    if (this.#planned.programs.prologue) {
      await this.#loaded.device.submit([{ do: "run", program: PROGRAMS.prologue }]);
    }
  }

  /** Writes a weight, or what the optimiser keeps beside it. The values are given away. */
  write(name: string, values: Float32Array, part: WeightPart = "value"): Promise<void> {
    return this.#loaded.write(this.#tensorOf(name, part), values);
  }

  /** Reads weights back. Waits for the GPU; ask for many at once. */
  async read(names: readonly string[], part: WeightPart = "value"): Promise<Map<string, Float32Array>> {
    const data = await this.#loaded.read(names.map((name) => {
      const tensor = this.#tensorOf(name, part);
      return { tensor, at: this.#loaded.addressOf(tensor) };
    }));
    return new Map(names.map((name, i) => [name, data[i]]));
  }

  /** Sets the number of steps done and of batches summed since, when resuming. */
  restoreSteps(steps: number, accumulated: number): void {
    this.#steps = steps;
    this.#microStep = accumulated;
  }

  /**
   * Queues one batch: upload, forward, backward; after the last of an accumulation group also the update. Resolves when it is
   * submitted, not when it has run. Stored taps are given away.
   *
   * @param rates Learning rates, used when this batch completes a step.
   * @returns Whether an optimiser step was made.
   */
  async step(batch: TrainBatch, rates: GroupRates): Promise<boolean> {
    await this.#loaded.fitUploads(batch.clips);
    const { clips, inputs, mix } = batch, { batch: whole } = this.#planned.programs;
    if (whole) return await this.#stepOverBatch(whole, batch, rates);
    this.#requireSize(clips.length);
    const commands = [...this.#inputCommands(inputs, clips.length), ...this.#frameCommands(clips)];
    if (mix) commands.push({ do: "mix", clips: clips.length, mix });
    return await this.#train(commands, { clips: clips.length, rates, given: tapMemory(clips) });
  }

  /** `step` on frames that are floats already, `[B*T 3 H W]` row-major. */
  async stepOnFrames(
    frames: Float32Array,
    batch: { clips: number; inputs: Readonly<Record<string, InputValues>> },
    rates: GroupRates,
  ): Promise<boolean> {
    const { clips, inputs } = batch;
    this.#requireSize(clips);
    const commands = [
      this.#writeRows(this.#planned.programs.frames, frames),
      ...this.#inputCommands(inputs, clips),
    ];
    return await this.#train(commands, { clips, rates, given: [] });
  }

  async #train(
    commands: Command[],
    { clips, rates, given }: { clips: number; rates: GroupRates; given: ArrayBuffer[] },
  ): Promise<boolean> {
    const { train } = this.#planned.programs, name = PROGRAMS.train(clips);
    if (this.#options.accumulation > 1 && this.#microStep === 0) commands.unshift(this.#clearGradients());
    commands.push({ do: "run", program: name }, this.#logLoss(train.get(clips)!.loss, name));
    return await this.#finishBatch(commands, { rates, given });
  }

  /** Adds the update where this batch completes a step, and submits. */
  async #finishBatch(
    commands: Command[],
    { rates, given }: { rates: GroupRates; given: ArrayBuffer[] },
  ): Promise<boolean> {
    this.#microStep = (this.#microStep + 1) % this.#options.accumulation;
    const completes = this.#microStep === 0;
    if (completes) {
      this.#steps++;
      const hyper = packHyper(this.#options.optimizer, rates, this.#steps);
      commands.unshift(this.#loaded.writeCommand(this.#planned.programs.hyper, hyper));
      commands.push({ do: "run", program: PROGRAMS.update });
    }
    await this.#loaded.device.submit(commands, given);
    return completes;
  }

  /**
   * A step whose loss compares all clips of the batch: encode each micro-batch and gather what it gives, one loss over all, then
   * backward through each micro-batch from the gradient of what it gave.
   */
  async #stepOverBatch(programs: BatchPrograms, batch: TrainBatch, rates: GroupRates): Promise<boolean> {
    const { clips, inputs } = batch,
      { micro, gathered, arriving } = programs,
      loss = programs.loss.get(clips.length);
    if (!loss) {
      throw new RangeError(
        `Cannot train on ${clips.length} clips: the programs are made for ${
          [...programs.loss.keys()].join(" or ")
        }`,
      );
    }
    const lossName = PROGRAMS.loss(clips.length), { device } = this.#loaded;
    const parts = Array.from({ length: Math.ceil(clips.length / micro) }, (_, i) => ({
      first: i * micro,
      own: clips.slice(i * micro, (i + 1) * micro),
    }));
    /** Copies between a micro-batch's tensors and its rows in those of the batch. */
    const rows = (name: string, { first, own }: typeof parts[number]) => {
      const bytes = bytesOfClips(arriving.get(name)!, own.length, micro);
      return { bytes, start: bytes / own.length * first };
    };
    const load = (part: typeof parts[number]) => [
      ...this.#inputCommands(sliceInputs(inputs, part, clips.length), part.own.length),
      ...this.#frameCommands(part.own),
    ];
    if (this.#microStep === 0) await device.submit([this.#clearGradients()]);
    for (const part of parts) {
      const name = PROGRAMS.encode(part.own.length), { g } = programs.encode.get(part.own.length)!;
      const commands = [...load(part), { do: "run", program: name } as Command];
      for (const [output, home] of gathered) {
        const { bytes, start } = rows(output, part);
        const from = this.#loaded.addressOf(g.outputs.get(output)!, name);
        commands.push({ do: "copy", from, to: shifted(this.#loaded.addressOf(home), start), bytes });
      }
      await device.submit(commands);
    }
    await device.submit([
      ...Object.entries(inputs).map(([name, values]) => this.#writeRows(programs.inputs[name], values)),
      { do: "run", program: lossName },
      this.#logLoss(loss.loss, lossName),
      // The gradients lie in the arena, which the backward programs use: they are kept where outputs were gathered.
      ...[...loss.gradients].map(([output, gradient]): Command => ({
        do: "copy",
        from: this.#loaded.addressOf(gradient, lossName),
        to: this.#loaded.addressOf(gathered.get(output)!),
        bytes: bytesOf(gradient),
      })),
    ]);
    for (const part of parts) {
      const commands: Command[] = load(part);
      for (const [output, home] of arriving) {
        const { bytes, start } = rows(output, part);
        const from = shifted(this.#loaded.addressOf(gathered.get(output)!), start);
        commands.push({ do: "copy", from, to: this.#loaded.addressOf(home), bytes });
      }
      commands.push({ do: "run", program: PROGRAMS.backward(part.own.length) });
      await device.submit(commands);
    }
    return await this.#finishBatch([], { rates, given: [] });
  }

  /** Losses of the batches since the last call, oldest first. Waits for the GPU: every few steps only. */
  async readLosses(): Promise<number[]> {
    const count = Math.min(this.#pendingLosses, LOSS_LOG_SIZE), first = this.#pendingLosses - count;
    this.#pendingLosses = 0;
    if (count === 0) return [];
    const { lossLog } = this.#planned;
    const [values] = await this.#loaded.read([{ tensor: lossLog, at: this.#loaded.addressOf(lossLog) }]);
    return Array.from({ length: count }, (_, i) => values[(first + i) % LOSS_LOG_SIZE]);
  }

  /**
   * What the model gives for clips in evaluation mode: the collected outputs by name, `[clips …]` row-major. Waits for the GPU.
   * Stored taps are given away.
   *
   * @param inputs What the clips bring besides frames, where the model reads it.
   */
  async evaluate(
    clips: readonly SessionClip[],
    inputs: Readonly<Record<string, InputValues>> = {},
  ): Promise<Record<string, Float32Array>> {
    await this.#loaded.fitUploads(clips);
    const commands = [
      ...Object.entries(inputs).map(([name, values]) => this.#writeRows(this.#input(name), values)),
      ...this.#frameCommands(clips),
    ];
    return await this.#evaluate(commands, clips.length, tapMemory(clips));
  }

  /** `evaluate` on frames that are floats already, `[clips*T 3 H W]`. */
  evaluateFrames(frames: Float32Array, clips: number): Promise<Record<string, Float32Array>> {
    return this.#evaluate([this.#writeRows(this.#planned.programs.frames, frames)], clips, []);
  }

  async #evaluate(
    commands: Command[],
    clips: number,
    given: ArrayBuffer[],
  ): Promise<Record<string, Float32Array>> {
    const { evaluation: { g } } = this.#planned.programs, { collects, evalClips } = this.#options;
    commands.push({ do: "run", program: PROGRAMS.evaluation });
    for (const name of collects) {
      const tensor = g.outputs.get(name)!, from = this.#loaded.addressOf(tensor, PROGRAMS.evaluation);
      commands.push({ do: "read", from, bytes: bytesOfClips(tensor, clips, evalClips) });
    }
    const bytes = await this.#loaded.device.submit(commands, given);
    return Object.fromEntries(collects.map((name, i) => [name, new Float32Array(bytes[i].buffer)]));
  }

  /** Values of a training program's outputs by name (loss, logits, act.*), for parity checks. */
  async readOutputs(clips: number, names: readonly string[]): Promise<Map<string, Float32Array>> {
    this.#requireSize(clips);
    const { g } = this.#planned.programs.train.get(clips)!, program = PROGRAMS.train(clips);
    const data = await this.#loaded.read(names.map((name) => {
      const tensor = g.outputs.get(name)!;
      return { tensor, at: this.#loaded.addressOf(tensor, program) };
    }));
    return new Map(names.map((name, i) => [name, data[i]]));
  }

  /** Waits until the GPU has done all that was queued. */
  async finish(): Promise<void> {
    await this.#loaded.device.submit([{ do: "wait" }]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#loaded.device[Symbol.asyncDispose]();
  }

  #requireSize(clips: number): void {
    const { train, batch } = this.#planned.programs;
    if (train.has(clips)) return;
    const sizes = [...train.keys()].join(" or ") ||
      (batch ? "a loss over whole batches" : "evaluation alone");
    throw new RangeError(`Cannot train on ${clips} clips: the programs are made for ${sizes}`);
  }

  /** Writes what a batch brings; everything that was declared must be there. */
  #inputCommands(inputs: Readonly<Record<string, InputValues>>, clips: number): Command[] {
    const { inputs: tensors } = this.#planned.programs;
    const most = this.#planned.programs.frames.shape[0] / picturesOf(this.model);
    for (const name of Object.keys(inputs)) this.#input(name);
    return Object.entries(tensors).map(([name, tensor]) => {
      const expected = bytesOfClips(tensor, clips, most) / DTYPE_BYTES[tensor.dtype],
        given = inputs[name]?.length ?? 0;
      if (given !== expected) {
        throw new RangeError(
          `Cannot train on a batch: input "${name}" must have ${expected} values, current number is ${given}`,
        );
      }
      return this.#writeRows(tensor, inputs[name]);
    });
  }

  #input(name: string): Tensor {
    const tensor = this.#planned.programs.inputs[name];
    if (tensor) return tensor;
    throw new RangeError(`Cannot use a batch: it brings "${name}", which is none of the session's inputs`);
  }

  /** Writes the leading values of an input. */
  #writeRows(tensor: Tensor, values: InputValues): Command {
    const bytes = new Uint8Array(values.buffer as ArrayBuffer, values.byteOffset, values.byteLength);
    return { do: "write", to: this.#loaded.addressOf(tensor), bytes };
  }

  /** Uploads frames, and taps where they are stored. */
  #frameCommands(clips: readonly SessionClip[]): Command[] {
    const { taps, frames } = this.#planned.programs, [rows] = tapShape(this.model, 1);
    return [
      ...clips.flatMap((clip, place) => this.#tapCommands(clip, { taps, rows, place })),
      { do: "frames", clips: clips.map(frameOf), to: this.#loaded.addressOf(frames) },
    ];
  }

  /** @throws {RangeError} when the clip has more, fewer or other taps than the model reads. */
  #tapCommands(
    { taps: given = [] }: SessionClip,
    { taps, rows, place }: { taps: readonly Tensor[]; rows: number; place: number },
  ): Command[] {
    if (given.length !== taps.length) {
      throw new RangeError(
        `Cannot use a clip: it must come with ${taps.length} taps, current number is ${given.length}`,
      );
    }
    return taps.map((tap, k) => {
      const clipBytes = bytesOf(tap) / tap.shape[0] * rows;
      if (given[k].length !== clipBytes) {
        throw new RangeError(
          `Cannot use a clip: "${tap.label}" must have ${clipBytes} bytes, current length is ${
            given[k].length
          }`,
        );
      }
      return { do: "write", to: shifted(this.#loaded.addressOf(tap), place * clipBytes), bytes: given[k] };
    });
  }

  #clearGradients(): Command {
    const gradients = this.#planned.gradients!;
    return { do: "clear", at: this.#loaded.addressOf(gradients), bytes: bytesOf(gradients) };
  }

  /** Copies a program's loss into the log. */
  #logLoss(loss: Tensor, program: string): Command {
    const { lossLog } = this.#planned, at = (this.#pendingLosses++ % LOSS_LOG_SIZE) * 4;
    return {
      do: "copy",
      from: this.#loaded.addressOf(loss, program),
      to: shifted(this.#loaded.addressOf(lossLog), at),
      bytes: 4,
    };
  }

  #tensorOf(name: string, part: WeightPart): Tensor {
    const weight: Weight | undefined = this.model.weights.get(name);
    if (!weight) throw new Error(`Cannot find weight "${name}": the model has none of that name`);
    if (part === "value") return weight.tensor;
    const { trained, gradients, moments } = this.#planned.programs;
    const index = trained.indexOf(weight), list = part === "gradient" ? gradients : moments[part];
    if (index < 0 || !list || list.length === 0) {
      throw new Error(`Cannot find ${part} of "${name}": the weight must be trained`);
    }
    return list[index];
  }
}

function shifted<A extends { offset: number }>(address: A, bytes: number): A {
  return { ...address, offset: address.offset + bytes };
}

/** The parts of a batch's inputs that belong to some of its clips. */
function sliceInputs(
  inputs: Readonly<Record<string, InputValues>>,
  { first, own }: { first: number; own: readonly unknown[] },
  clips: number,
): Record<string, InputValues> {
  return Object.fromEntries(
    Object.entries(inputs).map(([name, values]) => {
      const each = values.length / clips;
      return [name, values.slice(first * each, (first + own.length) * each)];
    }),
  );
}

/** The memory of stored taps: moved to a Worker, because a copy of them would cost more than the step's other data. */
function tapMemory(clips: readonly SessionClip[]): ArrayBuffer[] {
  return memoryOf(clips.flatMap(({ taps = [] }) => taps));
}
