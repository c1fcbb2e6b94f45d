/**
 * The training run: epochs of batches through the GPU session, evaluation, checkpoints, and everything a run folder holds.
 * What a run computes depends on its config and seed only, so an interrupted run goes on exactly where it was. Over 400 lines, because
 * steps, evaluations and stops share one state.
 */

import { InterruptedError, NonFiniteError } from "../../lib/errors.ts";
import { ALONE, type World } from "../../mpi/world.ts";
import type { OrderEntry } from "../../data/sampling/epoch_order.ts";
import type { RunState } from "../files/run_state.ts";
import type { ClipFeed } from "../feed/clip_feed.ts";
import type { Config } from "../recipe/config.ts";
import { evaluateClips } from "../evaluation/evaluate.ts";
import { describeFrameCache } from "../feed/frame_cache.ts";
import { ProblemLog } from "../feed/problems.ts";
import type { EvalRecord, MetricsRecord, RunFolder, StepRecord } from "../files/run_folder.ts";
import { openRun, type RunData } from "./open_run.ts";
import { Keeper } from "./keeper.ts";
import { batchesDone, currentEpoch, evaluationsToCome, isEvaluationDue, totalSteps } from "./position.ts";
import { parameterCounts } from "./prepare.ts";
import { round, summarise } from "./summary.ts";
import { hasStoppedEarly, isOutOfPatience, waitedAfter, whyStopped } from "./patience.ts";
import { noteOnce } from "../feed/frame_room.ts";
import { trainingFeed } from "../feed/training_feed.ts";
import type { Session } from "../runtime/session.ts";
import { type Optimizer, ratesOf } from "../runtime/update_rules.ts";
import { clipsPerBatch, optimizerOf, taskOfRecipe } from "../tasks/session_options.ts";
import { type Encoder, type Evaluation, isBest, type Task } from "../tasks/task.ts";
import type { Totals, TrainOptions, TrainResult } from "./options.ts";
import { type RankBatch, rankBatches, SharedEnd } from "./rank_batches.ts";
import { rateOf } from "./schedule.ts";
import { DataWait } from "./data_wait.ts";
import { Pace } from "./pace.ts";

export type { OpenedSession, TrainEvents, TrainOptions, TrainResult } from "./options.ts";

/** Trains, from the start or from a saved state. */
export async function train(options: TrainOptions): Promise<TrainResult> {
  await using stack = new AsyncDisposableStack();
  const { config, session, data } = await openRun(options, stack);
  try {
    return await new TrainingRun({ ...options, config }, session, data).run();
  } finally {
    if (data.frameCache) options.events?.info?.(describeFrameCache(data.frameCache));
  }
}

/** What has gone by since the last line of metrics. */
interface Window {
  started: number;
  /** From when its steps are counted for the pace, and how many of them were before that. */
  paceFrom: number;
  paceAfter: number;
  waitMs: number;
  clips: number;
  steps: number;
}

class TrainingRun {
  readonly #config: Config;
  readonly #folder: RunFolder;
  readonly #options: TrainOptions;
  readonly #session: Session;
  readonly #task: Task;
  readonly #optimizer: Optimizer;
  readonly #encode: Encoder;
  readonly #data: RunData;
  /** The schedule's rate. */
  readonly #rate: (epoch: number, batch: number) => number;
  /** Optimiser steps of the whole run. */
  readonly #totalSteps: number;
  readonly #problems: ProblemLog;
  readonly #noteOnce: (text: string) => void;
  readonly #state: RunState;
  readonly #keeper: Keeper;
  readonly #pace: Pace;
  readonly #dataWait: DataWait;
  readonly #world: World;
  #last: Evaluation | null = null;
  /** Whether no step of this process has been made. */
  #isFirst = true;
  /** Whether a batch of this process has come. */
  #hasBegun = false;

  constructor(options: TrainOptions, session: Session, data: RunData) {
    const { config, folder } = options, { state } = data, { note, saved } = options.events ?? {};
    this.#config = config;
    this.#folder = folder;
    this.#options = options;
    this.#session = session;
    this.#task = taskOfRecipe(config);
    this.#optimizer = optimizerOf(config);
    this.#encode = data.encode;
    this.#data = data;
    this.#rate = rateOf(config, { batchesPerLoop: data.batches });
    this.#totalSteps = totalSteps(config, data.set, state);
    const share = session.evaluationShare / clipsPerBatch(config);
    const { grad_accumulation_steps: batches } = config.solver;
    this.#pace = new Pace({ stepsPerEvaluation: data.valClips.length * share / batches });
    this.#dataWait = new DataWait(config, { clips: data.set.clips.length, cache: data.frameCache });
    this.#problems = new ProblemLog(note);
    this.#noteOnce = noteOnce(note);
    if (state.problems) this.#problems.restore(state.problems);
    this.#state = state;
    const savedStep = options.resume === undefined ? null : state.step;
    const info = () => this.#info();
    this.#world = options.world ?? ALONE;
    this.#keeper = new Keeper({
      config,
      folder,
      session,
      state,
      note,
      saved,
      savedStep,
      info,
      world: this.#world,
    });
  }

  async run(): Promise<TrainResult> {
    const { events } = this.#options, counts = parameterCounts(this.#config), state = this.#state;
    events?.opened?.(this.#session, { steps: this.#totalSteps, ...counts });
    if (this.#session.averaged.length > 0) {
      const decay = this.#config.solver.ema;
      events?.info?.(
        `evaluations, best and last use the moving average of the weights (solver.ema ${decay})`,
      );
    }
    if (this.#options.resume !== undefined) await this.#keeper.settleBest();
    const { solver } = this.#config, { set, features, frameCache } = this.#data;
    await using feed = features?.feed("train") ??
      trainingFeed(this.#config, set.clips, {
        frameCache,
        room: this.#session.frameRoom,
        note: this.#noteOnce,
      });
    if (this.#config.logging.baseline && !solver.evaluate && state.step === 0 && !state.baseline) {
      await this.#evaluateUntrained();
    }
    if (!solver.evaluate) {
      let ended = hasStoppedEarly(this.#config, state);
      if (ended) events?.info?.(`${this.#whyStopped()}; solver.early_stop=null takes the run further`);
      // A state may lie at the end of an epoch, before its evaluation: that epoch is entered once more.
      while (state.epoch < solver.epochs && !ended) ended = await this.#trainLoop(feed);
    }
    if (this.#last === null) await this.#evaluate(state.clipsInEpoch > 0 ? this.#epoch : state.epoch - 1);
    return await this.#finish(counts);
  }

  /** Trains what is left of a loop: of `solver.folds` epochs. @returns Whether the run has ended, which may be within the loop. */
  async #trainLoop(feed: ClipFeed): Promise<boolean> {
    const { epochs, folds } = this.#config.solver, state = this.#state;
    if (state.step < this.#totalSteps) await this.#trainBatches(feed);
    const isWhole = this.#isLoopWhole;
    const isOver = state.step >= this.#totalSteps || isWhole && state.epoch + folds >= epochs;
    const due = isWhole && isEvaluationDue(this.#config, state.epoch), epoch = this.#epoch;
    if ((due || isOver) && !state.evaluated) await this.#evaluate(epoch);
    const stopsEarly = !isOver && isWhole && this.#isOutOfPatience;
    if (stopsEarly) this.#options.events?.info?.(this.#whyStopped());
    // What a limit of steps leaves of a loop is there when the run goes on without it.
    if (isWhole) {
      state.epoch += folds;
      state.clipsInEpoch = 0;
    }
    await this.#keeper.saveState();
    await this.#keeper.keepEpoch(epoch);
    return isOver || stopsEarly;
  }

  get #isOutOfPatience(): boolean {
    return isOutOfPatience(this.#config, this.#state);
  }

  #whyStopped(): string {
    return whyStopped(this.#config, this.#task, this.#state.patience!);
  }

  get #isLoopWhole(): boolean {
    return this.#state.clipsInEpoch >= this.#data.set.loopClips;
  }

  get #epoch(): number {
    return currentEpoch(this.#config, this.#data.set, this.#state);
  }

  /** The batches of the loop that are still to come. */
  async #trainBatches(feed: ClipFeed): Promise<void> {
    const { data, logging } = this.#config, state = this.#state;
    const order = this.#data.set.order(state.epoch, state.clipsInEpoch);
    const now = performance.now();
    const window: Window = { started: now, paceFrom: now, paceAfter: 0, waitMs: 0, clips: 0, steps: 0 };
    if (!this.#isFirst) this.#dataWait.begin();
    if (this.#isFirst) this.#options.events?.stage?.({ what: "waiting for the first batch" });
    for await (const rankBatch of this.#batches(feed, order)) {
      if (!this.#hasBegun) await this.#endUnbegun();
      this.#hasBegun = true;
      const { clips, own, whole, waitMs } = rankBatch;
      const done = batchesDone(this.#config, state), lr = this.#rate(state.epoch, done);
      for (const problem of clips.flatMap((clip) => clip.problems)) this.#problems.add(problem);
      const encoded = this.#encode({ clips, epoch: this.#epoch, batch: Math.floor(done) });
      const batch = { clips: own, whole, ...encoded };
      const completed = await this.#session.step(batch, ratesOf(this.#optimizer, lr));
      state.clipsInEpoch += clips.length / data.num_sample;
      state.microBatches += own.length > 0 ? this.#session.partsOf(own.length).length : 1;
      state.clips += clips.length;
      state.evaluated = false;
      state.accumulated = completed ? 0 : state.accumulated + 1;
      if (completed) state.step++;
      window.waitMs += waitMs;
      this.#dataWait.add(waitMs, own[0]?.frames.length ?? 0);
      window.clips += clips.length;
      await this.#keeper.batchDone();
      if (!completed) continue;
      window.steps++;
      await this.#tellMoved(window);
      const stopping = rankBatch.stops;
      const last = state.step >= this.#totalSteps;
      // Reading the loss waits for the GPU, so it is done every print_freq steps only.
      if (state.step % logging.print_freq === 0 || last || this.#isLoopWhole) await this.#report(lr, window);
      if (stopping) await this.#interrupt();
      if (rankBatch.saves) await this.#keeper.saveState();
      if (last) break;
    }
  }

  /** Batches of all ranks. Where one fails, all stop with what was done saved. */
  async *#batches(feed: ClipFeed, order: readonly OrderEntry[]): AsyncGenerator<RankBatch> {
    const { data: { batch_size: batchSize, num_sample: copies }, solver: { mixup: pairs } } = this.#config;
    const world = this.#world;
    try {
      yield* rankBatches(feed, order, {
        world,
        batchSize,
        copies,
        pairs,
        isStopping: () => this.#options.signal?.aborted ?? false,
        isStateDue: () => world.rank === 0 && this.#keeper.isStateDue(world.size > 1 ? 1 : 0),
      });
    } catch (error) {
      if (!(error instanceof SharedEnd) || this.#state.step === 0) throw error;
      await this.#keeper.saveState();
      const { message, exitCode, cause } = error,
        saved = `everything up to step ${this.#state.step} is saved`;
      throw new SharedEnd(`${message}; ${saved}: go on with --resume ${this.#folder.path}`, {
        exitCode,
        cause,
      });
    }
  }

  /** Tells of a step that was handed to the GPU. The first one is waited for, so that what follows can be measured. */
  async #tellMoved(window: Window): Promise<void> {
    const isDone = this.#isFirst;
    if (isDone) {
      await this.#session.finish();
      [window.paceFrom, window.paceAfter] = [performance.now(), window.steps];
      this.#isFirst = false;
      this.#dataWait.begin();
    }
    this.#options.events?.moved?.({ step: this.#state.step, isDone, ...this.#totals() });
  }

  #totals(): Totals {
    const evaluations = evaluationsToCome(this.#config, this.#data.set, this.#state);
    return {
      steps: this.#totalSteps,
      epochs: this.#config.solver.epochs,
      ...this.#pace.left(evaluations),
    };
  }

  /** Waits for the GPU, then writes one line of metrics. */
  async #report(lr: number, window: Window): Promise<void> {
    await this.#keeper.look();
    const elapsed = (performance.now() - window.started) / 1000;
    const state = this.#state, losses = state.pendingLosses;
    if (losses.length === 0) return;
    state.pendingLosses = [];
    const loss = losses.reduce((a, b) => a + b, 0) / losses.length;
    state.seconds += elapsed;
    const record: StepRecord = {
      kind: "step",
      epoch: this.#epoch,
      step: state.step,
      loss,
      lr,
      clips_per_second: round(window.clips / elapsed),
      data_wait: round(Math.min(1, window.waitMs / 1000 / elapsed)),
      gpu_bytes: this.#session.allocatedBytes,
      ...this.#session.skips && { skipped_updates: state.skipped.total },
    };
    state.lastLoss = loss;
    this.#tell(record);
    const now = performance.now(), measured = window.steps - window.paceAfter;
    if (measured > 0) this.#pace.addSteps(measured, (now - window.paceFrom) / 1000);
    this.#options.events?.step?.(record, this.#totals());
    const advice = this.#dataWait.advice();
    if (advice !== null) this.#options.events?.info?.(advice);
    Object.assign(window, { started: now, paceFrom: now, paceAfter: 0, waitMs: 0, clips: 0, steps: 0 });
  }

  /** Writes a line of metrics. */
  #tell(record: MetricsRecord): void {
    this.#folder.appendMetrics(record);
    this.#data.events?.add(record);
  }

  /** Ends a run that was stopped before its first batch in this process: there is nothing to save that is not saved. */
  async #endUnbegun(): Promise<void> {
    const { signal } = this.#options, { step, microBatches } = this.#state;
    if (this.#world.size > 1 || !signal?.aborted) return;
    if (step === 0 && microBatches === 0) throw signal.reason;
    await this.#interrupt();
  }

  async #interrupt(): Promise<never> {
    await this.#keeper.saveState();
    throw new InterruptedError(
      `Stopped at step ${this.#state.step}; everything is saved: go on with --resume ${this.#folder.path}`,
    );
  }

  /** One view of every clip of the validation list, by the averaged weights where these are kept. */
  async #evaluation(): Promise<Evaluation> {
    const { events, signal } = this.#options, started = performance.now();
    const evaluation = await this.#session.withAverages(async () => {
      await this.#session.align();
      return await evaluateClips(this.#session, this.#config, {
        task: this.#task,
        clips: this.#data.valClips,
        views: null,
        feed: this.#data.features?.feed("val"),
        frameCache: this.#data.valCache,
        signal,
        world: this.#world,
        note: this.#noteOnce,
        onProgress: events?.evaluating,
      });
    });
    this.#pace.addEvaluation((performance.now() - started) / 1000);
    return evaluation;
  }

  /** What the network gives before the first step. It is not among those of which the best is kept. */
  async #evaluateUntrained(): Promise<void> {
    const { metrics } = await this.#evaluation(), state = this.#state;
    state.baseline = metrics;
    const record: EvalRecord = { kind: "eval", epoch: state.epoch - 1, step: 0, ...metrics };
    this.#tell(record);
    this.#options.events?.evaluated?.(record, { best: false });
  }

  async #evaluate(epoch: number): Promise<void> {
    const { events, signal } = this.#options, state = this.#state;
    let evaluation: Evaluation;
    try {
      evaluation = await this.#evaluation();
    } catch (error) {
      if (error instanceof NonFiniteError) {
        throw this.#keeper.failure(error.message, { before: state.step === 0 });
      }
      if (!signal?.aborted && !(error instanceof InterruptedError)) throw error;
      return await this.#interrupt(); // it is made from the start when the run goes on
    }
    this.#last = evaluation;
    for (const problem of evaluation.problems) this.#problems.add(problem);
    for (const text of this.#task.remarks?.(evaluation.details) ?? []) events?.note?.(text);
    // A finished run that was resumed: only its summary and report need it again, and the best weights where they were lost.
    const isAgain = state.evaluated;
    if (isAgain && state.best !== null) return;
    const { metrics } = evaluation;
    const record: EvalRecord = { kind: "eval", epoch, step: state.step, ...metrics };
    const best = isBest(this.#task, metrics, state.best);
    if (best) state.best = { epoch, step: state.step, ...metrics };
    state.evaluated = true;
    if (!isAgain) this.#tell(record);
    if (!isAgain && this.#config.solver.early_stop !== null) {
      state.patience = waitedAfter(this.#config, { task: this.#task, metrics, epoch }, state.patience);
    }
    await this.#keeper.saveWeights({ best });
    if (isAgain) await this.#keeper.saveState();
    events?.evaluated?.(record, { best });
    const [stops] = await this.#world.max([signal?.aborted ? 1 : 0], "the end of the evaluation");
    if (stops > 0) await this.#interrupt();
  }

  #info() {
    const state = { ...this.#state, problems: this.#problems.saved };
    return { config: this.#config, labels: this.#data.labels, state };
  }

  async #finish(counts: { trainable: number; frozen: number }): Promise<TrainResult> {
    const evaluation = this.#last, problems = this.#problems;
    const summary = summarise({
      config: this.#config,
      task: this.#task,
      session: this.#session,
      state: this.#state,
      evaluation,
      ...counts,
      problems,
      set: this.#data.set,
    });
    await this.#folder.writeSummary(summary);
    return { summary, evaluation, labels: this.#data.labels, problems: problems.list };
  }
}
