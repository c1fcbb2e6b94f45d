/**
 * A model on a device, ready to train and to evaluate: turns batches into commands, and results into values. The device may be on
 * this thread or in a Worker; either way a step is queued, not waited for. One class, because all ways of stepping share the counts of
 * steps, losses and skipped updates.
 */

import { bytesOf, type Tensor } from "../../gpu/graph.ts";
import type { Command } from "../../gpu/runtime.ts";
import { ALONE, type World } from "../../mpi/world.ts";
import type { Weight } from "../../models/params.ts";
import { picturesOf, type VideoModel } from "../../models/video_model.ts";
import type { Device } from "./device/device.ts";
import { Answers } from "./answers.ts";
import { BatchCommands, shifted, tapMemory } from "./batch_commands.ts";
import { DeviceModel } from "./device_model.ts";
import type { FrameSize } from "./frame_buffers.ts";
import { LOSS_LOG_SIZE, LossLog } from "./loss_log.ts";
import { microBatches, pickClips } from "./micro_batches.ts";
import type { InputValues } from "./objective.ts";
import { type BatchPrograms, bytesOfClips } from "./programs.ts";
import { placesOf, RankCommands } from "./ranks/commands.ts";
import { addsGradients } from "./gradients.ts";
import {
  type MemoryPlan,
  planSession,
  PROGRAMS,
  type SessionOptions,
  type SessionPlan,
  stepPlans,
  stepPrograms,
  type TrainBatch,
} from "./session_plan.ts";
import { averageRate, type GroupRates, packHyper } from "./update_rules.ts";
import type { SessionPosition, Standing } from "./standing.ts";

/**
 * Which values of a weight: itself, its gradient, its moving average, what the update rule keeps beside it ("exp_avg"), or of a running
 * statistic what it was before the update under way.
 */
export type WeightPart = "value" | "gradient" | "average" | "before" | (string & Record<never, never>);

/** A model on a device. Closing it frees the device. Use with `await using`. */
export class Session implements AsyncDisposable {
  readonly model: VideoModel;
  readonly memory: MemoryPlan;
  readonly #loaded: DeviceModel;
  readonly #options: SessionOptions;
  readonly #planned: SessionPlan;
  readonly #commands: BatchCommands;
  readonly #answers: Answers;
  readonly #losses: LossLog;
  readonly #world: World;
  readonly #ranks: RankCommands;
  #steps = 0;
  /** Batches whose gradients wait for the rest of their accumulation group. */
  #accumulated = 0;
  /** Updates since the last look, and those skipped before it. */
  #unseenUpdates = 0;
  #skipped = 0;

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
    world: World = ALONE,
  ): Promise<Session> {
    const { programs: { frames }, layout } = planned;
    const mix = options.mixes
      ? { ...layout.find(frames), bytes: bytesOf(frames), frames: picturesOf(model), size: frames.shape[2] }
      : null;
    const loaded = await DeviceModel.load(device, model, { ...planned, mix });
    const session = new Session(loaded, { options, planned, world });
    const { seed, clip, batch } = planned.programs;
    // A loss over the batch is computed by every rank, each for its share.
    const share = batch === null ? 1 : 1 / world.size;
    await device.submit([
      session.#loaded.writeCommand(seed, Float32Array.of(share / options.accumulation)),
      session.#loaded.writeCommand(clip, Float32Array.of(1)),
    ]);
    return session;
  }

  private constructor(
    loaded: DeviceModel,
    parts: { options: SessionOptions; planned: SessionPlan; world: World },
  ) {
    const { options, planned, world } = parts;
    this.#world = world;
    this.#ranks = new RankCommands(loaded, parts);
    this.model = loaded.model;
    this.memory = planned.memory;
    this.#loaded = loaded;
    this.#options = options;
    this.#planned = planned;
    this.#commands = new BatchCommands(loaded, planned.programs);
    this.#answers = new Answers(loaded, { planned, options, commands: this.#commands });
    this.#losses = new LossLog(planned.lossLog.shape[0] / LOSS_LOG_SIZE);
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
    const { trainClips } = this.#options;
    const programs = trainClips.length > 0
      ? stepPrograms(this.#planned, Math.max(...trainClips))
      : [PROGRAMS.evaluation];
    return programs.reduce((sum, name) => sum + this.#loaded.launches[name], 0);
  }

  /** Work on a clip in evaluation, as a share of that in training; 1 in a session that does not train. */
  get evaluationShare(): number {
    const clips = Math.max(0, ...this.#options.trainClips), { plan } = this.#planned.programs.evaluation;
    if (clips === 0) return 1;
    const flops = stepPlans(this.#planned, clips).reduce((sum, plan) => sum + plan.flops, 0);
    return plan.flops / this.#options.evalClips / (flops / clips);
  }

  /** Sizes of the parts in which so many clips, of a batch or of a rank's, go through the GPU. */
  partsOf(clips: number): number[] {
    return microBatches(clips, this.#planned.cut).map(({ length }) => length);
  }

  /** Clips of an evaluation batch, at most. */
  get evaluationClips(): number {
    return this.#options.evalClips;
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

  /** Weights and running statistics that a moving average is kept of; none where none is kept. */
  get averaged(): readonly Weight[] {
    return [...this.#planned.programs.averages.keys()];
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

  /** Whether updates that are not finite are skipped. */
  get skips(): boolean {
    return this.#planned.before !== null;
  }

  /** Lets the moving averages begin with the weights and statistics that are there. */
  async beginAverages(): Promise<void> {
    const at = (tensor: Tensor) => this.#loaded.addressOf(tensor);
    await this.#loaded.device.submit(
      this.#planned.averaged.map(({ values, averages }): Command => ({
        do: "copy",
        from: at(values),
        to: at(averages),
        bytes: bytesOf(averages),
      })),
    );
  }

  /** Does something with the moving averages in the place of weights and statistics, where averages are kept. Nothing may be trained in it. */
  async withAverages<R>(body: () => Promise<R>): Promise<R> {
    const exchange: Command[] = this.#planned.averaged.length > 0
      ? [{ do: "run", program: PROGRAMS.exchange }]
      : [];
    await this.#loaded.device.submit(exchange);
    try {
      return await body();
    } finally {
      await this.#loaded.device.submit(exchange);
    }
  }

  /** Goes on where a run stood whose tensors have been written. */
  async restore({ steps, accumulated, skipped }: SessionPosition): Promise<void> {
    this.#steps = steps;
    this.#accumulated = accumulated;
    this.#skipped = skipped.total;
    if (accumulated > 0) await this.#loaded.device.submit(this.#ranks.ofFirstAlone());
    if (!this.skips) return;
    const values = Float32Array.of(skipped.underWay ? 1 : 0, 0, skipped.inARow);
    await this.#loaded.write(this.#planned.programs.guard, values);
  }

  /** Gives all ranks what only the first one's counts of; before an evaluation, which they share. All ranks call it. */
  async align(): Promise<void> {
    await this.#loaded.device.submit(this.#ranks.align());
  }

  /** Brings a sum of gradients under way to the first rank, whose state holds it. All ranks call it. */
  async collectGradients(): Promise<void> {
    if (this.#accumulated > 0) await this.#loaded.device.submit(this.#ranks.collect());
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
    const { clips, inputs, mix, whole } = batch, { cut, programs: { batch: programs } } = this.#planned;
    if (clips.length > 0 || !whole) this.#requireSize(clips.length);
    if (programs) return await this.#stepOverBatch(programs, batch, rates);
    if (clips.length === 0) {
      this.#losses.add([0]);
      const others = [...this.#beginUpdate(), ...this.#ranks.withoutClips()];
      return await this.#finishBatch(others, { rates, given: [] });
    }
    const all = whole?.clips ?? clips.length;
    const parts = microBatches(clips.length, cut), shares = parts.map(({ length }) => length / all);
    const places = this.#losses.add(shares);
    for (const [i, part] of parts.entries()) {
      const own = parts.length === 1 ? clips : part.map((place) => clips[place]);
      const commands = [
        ...this.#seedCommands(shares[i]),
        ...this.#commands.inputs(pickClips(inputs, placesOf(part, batch), all), own.length),
        ...this.#commands.frames(own),
      ];
      if (mix) commands.push({ do: "mix", clips: own.length, mix });
      commands.push(...this.#trainCommands(own.length, { first: i === 0, lossPlace: places[i] }));
      const given = tapMemory(own);
      if (i === parts.length - 1) return await this.#finishBatch(commands, { rates, given });
      await this.#loaded.device.submit(commands, given);
    }
    throw new RangeError("Cannot train on a batch: it must have clips");
  }

  /** `step` on frames that are floats already, `[B*T 3 H W]` row-major. */
  async stepOnFrames(
    frames: Float32Array,
    batch: { clips: number; inputs: Readonly<Record<string, InputValues>> },
    rates: GroupRates,
  ): Promise<boolean> {
    const { clips, inputs } = batch;
    this.#requireProgram(clips);
    const commands = [
      this.#commands.write(this.#planned.programs.frames, frames),
      ...this.#commands.inputs(inputs, clips),
      ...this.#trainCommands(clips, { first: true, lossPlace: this.#losses.add([1])[0] }),
    ];
    return await this.#finishBatch(commands, { rates, given: [] });
  }

  /** Forward, loss and backward of what has been loaded: a batch, or a part of one. */
  #trainCommands(clips: number, { first, lossPlace }: { first: boolean; lossPlace: number }): Command[] {
    const { train } = this.#planned.programs, name = PROGRAMS.train(clips);
    return [
      ...first ? this.#beginUpdate() : [],
      { do: "run", program: name },
      ...this.#logLoss(train.get(clips)!.loss, name, lossPlace),
      ...this.#guardCommands(),
    ];
  }

  /** Weighs a part of a batch. Batches that go through the GPU whole all weigh the same, which is written once. */
  #seedCommands(share: number): Command[] {
    const { programs: { seed }, cut: { microClips = Infinity } } = this.#planned;
    const { trainClips, ranks } = this.#options;
    if (!ranks && trainClips.every((clips) => clips <= microClips)) return [];
    return [this.#loaded.writeCommand(seed, Float32Array.of(share / this.#options.accumulation))];
  }

  /** Adds the update where this batch completes a step, and submits. */
  async #finishBatch(
    commands: Command[],
    { rates, given }: { rates: GroupRates; given: ArrayBuffer[] },
  ): Promise<boolean> {
    this.#accumulated = (this.#accumulated + 1) % this.#options.accumulation;
    const completes = this.#accumulated === 0;
    const exchange = this.#ranks.endOfBatch(this.#steps + 1, { completes });
    if (exchange.length > 0) commands.push(...exchange, ...this.#guardCommands());
    if (completes) {
      this.#steps++;
      // Its number among the updates that were made depends on what was skipped since the last look.
      const unseen = this.skips ? Math.min(this.#unseenUpdates++, LOSS_LOG_SIZE) : 0;
      const numbers = Array.from({ length: unseen + 1 }, (_, more) => this.#steps - this.#skipped - more);
      const hyper = packHyper(this.#options.optimizer, rates, numbers);
      commands.unshift(this.#commands.write(this.#planned.programs.hyper, hyper));
      const { average } = this.#options, { averages, averageRates } = this.#planned.programs;
      if (average && averages.size > 0) {
        const shares = Float32Array.from(numbers, (number) => averageRate(average, number));
        commands.unshift(this.#commands.write(averageRates, shares));
      }
      commands.push({ do: "run", program: PROGRAMS.update }, ...this.#ranks.endOfUpdate(this.#steps));
    }
    await this.#loaded.device.submit(commands, given);
    return completes;
  }

  /**
   * A step whose loss compares all clips of the batch: encode each micro-batch and gather what it gives, one loss over all, then
   * backward through each micro-batch from the gradient of what it gave.
   */
  async #stepOverBatch(programs: BatchPrograms, batch: TrainBatch, rates: GroupRates): Promise<boolean> {
    const { clips, inputs } = batch, { micro, gathered, arriving } = programs;
    const all = batch.whole?.clips ?? clips.length, loss = programs.loss.get(all)!;
    const lossName = PROGRAMS.loss(all), { device } = this.#loaded, isFirstRank = this.#world.rank === 0;
    const cut = clips.length === 0 ? [] : microBatches(clips.length, this.#planned.cut);
    const parts = cut.map((part) => ({
      places: placesOf(part, batch),
      own: part.map((place) => clips[place]),
    }));
    const gathering = this.#ranks.gathering(batch, gathered.values());
    /** Copies between a micro-batch's tensors and its rows in those of the batch. */
    const rows = (name: string, { places, own }: typeof parts[number]) => {
      const bytes = bytesOfClips(arriving.get(name)!, own.length, micro);
      return { bytes, start: bytes / own.length * places[0] };
    };
    const load = ({ places, own }: typeof parts[number]) => [
      ...this.#commands.inputs(pickClips(inputs, places, all), own.length),
      ...this.#commands.frames(own),
    ];
    await device.submit([...this.#beginUpdate(), ...gathering.clear]);
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
      ...gathering.sum("what all clips of the batch give"),
      ...Object.entries(inputs).map(([name, values]) => this.#commands.write(programs.inputs[name], values)),
      { do: "run", program: lossName },
      ...this.#logLoss(loss.loss, lossName, this.#losses.add([isFirstRank ? 1 : 0])[0]),
      // The gradients lie in the arena, which the backward programs use: they are kept where outputs were gathered.
      ...[...loss.gradients].map(([output, gradient]): Command => ({
        do: "copy",
        from: this.#loaded.addressOf(gradient, lossName),
        to: this.#loaded.addressOf(gathered.get(output)!),
        bytes: bytesOf(gradient),
      })),
      ...gathering.sum("the gradients of what all clips of the batch give"),
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
    return await this.#finishBatch(this.#guardCommands(), { rates, given: [] });
  }

  /** Losses of the batches since the last look, oldest first. Waits for the GPU: every few steps only. */
  async readLosses(): Promise<number[]> {
    return this.#losses.waiting === 0 ? [] : (await this.look()).losses;
  }

  /**
   * Looks at what the GPU has done. Waits for it: every few steps only.
   *
   * @param options.check Also whether all that a checkpoint would hold is finite.
   */
  async look(options: { check?: boolean } = {}): Promise<Standing> {
    const { lossLog, finiteCheck, programs: { guard } } = this.#planned, { device } = this.#loaded;
    const check = options.check ? finiteCheck : null;
    if (check) await device.submit([{ do: "run", program: PROGRAMS.finiteCheck }]);
    const [log, [marked, skipped, inARow], counts = []] = await this.#loaded.read([
      { tensor: lossLog, at: this.#loaded.addressOf(lossLog) },
      { tensor: guard, at: this.#loaded.addressOf(guard) },
      ...check
        ? [{ tensor: check.counts, at: this.#loaded.addressOf(check.counts, PROGRAMS.finiteCheck) }]
        : [],
    ]);
    this.#unseenUpdates = 0;
    this.#skipped += skipped;
    if (skipped > 0) await this.#loaded.write(guard, Float32Array.of(marked, 0, inARow));
    // The gradient of an update that has been made is of no further use.
    const isHeld = (part: string) => part !== "gradient" || this.#accumulated > 0 && marked === 0;
    const own = {
      losses: this.#losses.take(log),
      nonFinite: check?.parts.filter((part, i) => counts[i] > 0 && isHeld(part)) ?? [],
    };
    const all = await this.#world.gather(own, "the losses");
    return {
      losses: own.losses.map((_, i) => all.reduce((sum, { losses }) => sum + losses[i], 0)),
      skipped: { total: this.#skipped, inARow, underWay: marked !== 0 },
      nonFinite: [...new Set(all.flatMap(({ nonFinite }) => nonFinite))],
    };
  }

  /** What the model gives for clips: `Answers.evaluate`. */
  evaluate(...clips: Parameters<Answers["evaluate"]>): Promise<Record<string, Float32Array>> {
    return this.#answers.evaluate(...clips);
  }

  /** The same on frames that are floats already: `Answers.evaluateFrames`. */
  evaluateFrames(...frames: Parameters<Answers["evaluateFrames"]>): Promise<Record<string, Float32Array>> {
    return this.#answers.evaluateFrames(...frames);
  }

  /** What one of the session's queries gives: `Answers.ask`. */
  ask(...question: Parameters<Answers["ask"]>): Promise<Record<string, Float32Array>> {
    return this.#answers.ask(...question);
  }

  /** Values of a training program's outputs by name (loss, logits, act.*), for parity checks. */
  async readOutputs(clips: number, names: readonly string[]): Promise<Map<string, Float32Array>> {
    this.#requireProgram(clips);
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
    const { trainClips } = this.#options;
    if (trainClips.includes(clips)) return;
    const sizes = trainClips.join(" or ") || "evaluation alone";
    throw new RangeError(`Cannot train on ${clips} clips: the programs are made for ${sizes}`);
  }

  /** Refuses what one program cannot take whole. */
  #requireProgram(clips: number): void {
    this.#requireSize(clips);
    if (this.#planned.programs.train.has(clips)) return;
    throw new RangeError(
      `Cannot train on ${clips} clips at once: the session's batches go through the GPU in parts`,
    );
  }

  /** What comes before the first batch of an update. */
  #beginUpdate(): Command[] {
    if (this.#accumulated > 0) return [];
    const { gradients, statistics, before } = this.#planned, commands: Command[] = [];
    const at = (tensor: Tensor) => this.#loaded.addressOf(tensor);
    if (addsGradients(this.#options)) {
      commands.push({ do: "clear", at: at(gradients!), bytes: bytesOf(gradients!) });
    }
    if (before) commands.push({ do: "copy", from: at(statistics), to: at(before), bytes: bytesOf(before) });
    return commands;
  }

  /** Where updates may be skipped: looks at the gradients so far, and at the newest loss. */
  #guardCommands(): Command[] {
    return this.skips ? [{ do: "run", program: PROGRAMS.guard }] : [];
  }

  /** Copies a program's loss into the log, and to where the guard looks at it. */
  #logLoss(loss: Tensor, program: string, place: number): Command[] {
    const { lossLog, programs: { lastLoss } } = this.#planned;
    const from = this.#loaded.addressOf(loss, program), log = this.#loaded.addressOf(lossLog);
    const places = [shifted(log, place * 4), ...this.skips ? [this.#loaded.addressOf(lastLoss)] : []];
    return places.map((to) => ({ do: "copy", from, to, bytes: 4 }));
  }

  #tensorOf(name: string, part: WeightPart): Tensor {
    const weight: Weight | undefined = this.model.weights.get(name);
    if (!weight) throw new Error(`Cannot find weight "${name}": the model has none of that name`);
    if (part === "value") return weight.tensor;
    const { trained, gradients, moments, before, averages } = this.#planned.programs;
    if (part === "average") {
      const average = averages.get(weight);
      if (average) return average;
      throw new Error(`Cannot find the average of "${name}": none is kept`);
    }
    if (part === "before") {
      const kept = before[this.model.weights.of("statistic").indexOf(weight)];
      if (kept) return kept;
      throw new Error(
        `Cannot find "${name}" before the update: it must be a statistic of a run that may skip`,
      );
    }
    const index = trained.indexOf(weight), list = part === "gradient" ? gradients : moments[part];
    if (index < 0 || !list || list.length === 0) {
      throw new Error(`Cannot find ${part} of "${name}": the weight must be trained`);
    }
    return list[index];
  }
}
