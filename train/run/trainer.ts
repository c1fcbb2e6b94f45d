/**
 * The training run: epochs of batches through the GPU session, evaluation, checkpoints, and everything a run folder holds.
 * What a run computes depends on its config and seed only, so an interrupted run goes on exactly where it was.
 */

import type { ClipRecord } from "../../data/datasets/list.ts";
import type { FrameCache } from "../../data/frame_cache/frame_cache.ts";
import { InterruptedError, NonFiniteError } from "../../lib/errors.ts";
import { createModel } from "../../models/mod.ts";
import { savedRun } from "../files/checkpoint.ts";
import { readClassTexts } from "../files/class_texts.ts";
import type { RunState } from "../files/run_state.ts";
import type { ClipFeed } from "../feed/clip_feed.ts";
import { type Config, dataRoots } from "../recipe/config.ts";
import { evaluateClips } from "../evaluation/evaluate.ts";
import { type Features, openFeatures } from "../features/reader.ts";
import {
  announceFrameCache,
  describeFrameCache,
  openRunCache,
  settleFrameCache,
} from "../feed/frame_cache.ts";
import { isFolder } from "../recipe/frame_cache.ts";
import { largestFrame } from "../feed/probe.ts";
import { cropRefusal, requireHostMemory } from "../feed/frame_room.ts";
import { ProblemLog } from "../feed/problems.ts";
import { requireReadableSplits } from "../feed/readable.ts";
import type { EvalRecord, RunFolder, StepRecord } from "../files/run_folder.ts";
import { Keeper } from "./keeper.ts";
import {
  batchesDone,
  currentEpoch,
  evaluationsToCome,
  isEvaluationDue,
  isSteady,
  requirePlace,
  resumeRemarks,
  totalSteps,
} from "./position.ts";
import { inParts, parameterCounts, prepareRun } from "./prepare.ts";
import { round, summarise } from "./summary.ts";
import { remarksOnLists } from "../feed/list_remarks.ts";
import { classNames, readSplit } from "../feed/lists.ts";
import { withFoundModality } from "../feed/modality.ts";
import { trainingSpec } from "../recipe/model.ts";
import { trainingFeed } from "../feed/training_feed.ts";
import { loopBatches, readTrainingSet, type TrainingSet } from "../feed/training_set.ts";
import { describeParts, singleClipNotes } from "../runtime/fit.ts";
import { openSession } from "../runtime/open_session.ts";
import type { Session } from "../runtime/session.ts";
import { type Optimizer, ratesOf } from "../runtime/update_rules.ts";
import {
  clipsPerBatch,
  halvesNeed,
  optimizerOf,
  sessionOptions,
  taskOfRecipe,
} from "../tasks/session_options.ts";
import { type Encoder, type Evaluation, isBest, type Task } from "../tasks/task.ts";
import { idleRateRemarks, rateOf } from "./schedule.ts";
import type { Totals, TrainOptions, TrainResult } from "./options.ts";
import { DataWait } from "./data_wait.ts";
import { Pace } from "./pace.ts";

export type { OpenedSession, TrainEvents, TrainOptions, TrainResult } from "./options.ts";

/** Trains, from the start or from a saved state. */
export async function train(options: TrainOptions): Promise<TrainResult> {
  const { folder, resume } = options, { note, info, stage } = options.events ?? {};
  stage?.({ what: "reading the lists" });
  let config = await withFoundModality(options.config, { splits: ["train", "val"], note });
  const saved = resume === undefined ? null : await savedRun(resume);
  const set = await readTrainingSet(config), valClips = await readSplit(config, "val", { note });
  const labels = await classNames(config), roots = dataRoots(config);
  for (const text of remarksOnLists(config, { ...set, train: set.clips, val: valClips })) note?.(text);
  const { batches, lastBatch } = loopBatches(config, set);
  for (const text of idleRateRemarks(config, { batchesPerLoop: batches })) note?.(text);
  const features = await openFeatures(config, { train: set.clips, val: valClips });
  if (saved !== null) requirePlace(set, saved, resume!);
  const remarks = saved === null ? [] : resumeRemarks(config, set, saved);
  const { lastBatch: resumedBatch } = loopBatches(config, set, saved?.state.clipsInEpoch);
  stage?.({ what: "looking at the clips" });
  if (!features) await requireReadableSplits(config, { train: set.clips, val: valClips }, options.signal);
  const settled = await settleFrameCache(config, { clips: set.clips, folder: folder.path });
  config = settled.config;
  if (settled.note !== null) info?.(settled.note);
  await using frameCache = features ? null : await openRunCache(config, { folder: folder.path, warn: note });
  // A run's own holds training videos alone.
  const valCache = isFolder(config.data.frame_cache) ? frameCache : null;
  if (frameCache) {
    info?.(
      valCache || frameCache.clips > 0 ? describeFrameCache(frameCache) : announceFrameCache(frameCache),
    );
  }
  const side = config.data.input_size;
  const frame = features
    ? { width: side, height: side }
    : await largestFrame(config, [[roots.train, set.clips], [roots.val, valClips]], {
      cached: [frameCache, valCache],
      refusals: [cropRefusal(config, "train"), cropRefusal(config, "val")],
    });
  if (!features) requireHostMemory(config, frame);
  const classTexts = resume === undefined ? await readClassTexts(config, { labels }) : null;
  const opened = await openSession(
    createModel(trainingSpec(config)),
    sessionOptions(config, { lastBatch, resumedBatch, largestFrame: frame }),
    {
      clipsPerVideo: config.data.num_sample,
      halves: halvesNeed(config, { stored: features !== null }),
      choices: options.choices,
      stage,
      early: options.early,
    },
  );
  await using session = opened.session;
  session.onGrow = ({ width, height }, bytes) =>
    note?.(
      `a frame is larger than expected: the upload buffers grow to ${width}x${height}, GPU memory is now ${bytes} bytes`,
    );
  for (const text of [...remarks, ...set.notes, ...features?.notes ?? []]) note?.(text);
  const { against } = opened, clips = clipsPerBatch(config);
  if (against !== null) {
    note?.(describeParts(session.model, { against, clips, parts: session.partsOf(clips) }));
  }
  for (const text of singleClipNotes(session, { clips, lastBatch })) note?.(text);
  const own = against === null ? config : inParts(config, session.partsOf(clips));
  const steady = saved === null || isSteady(config, set, saved);
  const storedFeatures = features !== null;
  const begin = { config: own, folder, resume, set, steady, storedFeatures, classTexts, note };
  stage?.({ what: "loading the weights" });
  const state = await prepareRun(session, begin);
  const encode = await taskOfRecipe(own).encoder(own, set);
  const data = { set, batches, valClips, features, frameCache, valCache, labels, encode, state };
  try {
    return await new TrainingRun({ ...options, config: own }, session, data).run();
  } finally {
    if (frameCache) info?.(describeFrameCache(frameCache));
  }
}

interface RunData {
  set: TrainingSet;
  /** Of a loop. */
  batches: number;
  valClips: ClipRecord[];
  /** null where the backbone runs. */
  features: Features | null;
  frameCache: FrameCache | null;
  /** That of the validation clips. */
  valCache: FrameCache | null;
  labels: string[];
  /** Makes what batches bring. */
  encode: Encoder;
  /** Where the run stands: at its beginning, or where it goes on. */
  state: RunState;
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
  readonly #state: RunState;
  readonly #keeper: Keeper;
  readonly #pace: Pace;
  readonly #dataWait: DataWait;
  #last: Evaluation | null = null;
  /** Whether no step of this process has been made. */
  #isFirst = true;

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
    if (state.problems) this.#problems.restore(state.problems);
    this.#state = state;
    const savedStep = options.resume === undefined ? null : state.step;
    const info = () => this.#info();
    this.#keeper = new Keeper({ config, folder, session, state, note, saved, savedStep, info });
  }

  async run(): Promise<TrainResult> {
    const { events } = this.#options, counts = parameterCounts(this.#config), state = this.#state;
    events?.opened?.(this.#session, { steps: this.#totalSteps, ...counts });
    if (this.#options.resume !== undefined) await this.#keeper.settleBest();
    const { solver } = this.#config, { set, features, frameCache } = this.#data;
    await using feed = features?.feed("train") ??
      trainingFeed(this.#config, set.clips, { frameCache, room: this.#session.frameRoom });
    if (this.#config.logging.baseline && !solver.evaluate && state.step === 0 && !state.baseline) {
      await this.#evaluateUntrained();
    }
    if (!solver.evaluate) {
      let ended = false;
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
    const ended = state.step >= this.#totalSteps || isWhole && state.epoch + folds >= epochs;
    const due = isWhole && isEvaluationDue(this.#config, state.epoch);
    if ((due || ended) && !state.evaluated) await this.#evaluate(this.#epoch);
    // What a limit of steps leaves of a loop is there when the run goes on without it.
    if (isWhole) {
      state.epoch += folds;
      state.clipsInEpoch = 0;
    }
    await this.#keeper.saveState();
    return ended;
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
    for await (const { clips, waitMs } of feed.epoch(order, data.batch_size)) {
      const done = batchesDone(this.#config, state), lr = this.#rate(state.epoch, done);
      for (const problem of clips.flatMap((clip) => clip.problems)) this.#problems.add(problem);
      const encoded = this.#encode({ clips, epoch: this.#epoch, batch: Math.floor(done) });
      const batch = { clips: clips.map(({ views: [view] }) => view), ...encoded };
      const completed = await this.#session.step(batch, ratesOf(this.#optimizer, lr));
      state.clipsInEpoch += clips.length / data.num_sample;
      state.microBatches += this.#session.partsOf(batch.clips.length).length;
      state.clips += clips.length;
      state.evaluated = false;
      state.accumulated = completed ? 0 : state.accumulated + 1;
      if (completed) state.step++;
      window.waitMs += waitMs;
      this.#dataWait.add(waitMs, batch.clips[0].frames.length);
      window.clips += clips.length;
      await this.#keeper.batchDone();
      if (!completed) continue;
      window.steps++;
      await this.#tellMoved(window);
      const stopping = this.#options.signal?.aborted ?? false;
      const last = state.step >= this.#totalSteps;
      // Reading the loss waits for the GPU, so it is done every print_freq steps only.
      if (state.step % logging.print_freq === 0 || last || this.#isLoopWhole) await this.#report(lr, window);
      if (stopping) await this.#interrupt();
      if (this.#keeper.isStateDue()) await this.#keeper.saveState();
      if (last) break;
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
    this.#folder.appendMetrics(record);
    const now = performance.now(), measured = window.steps - window.paceAfter;
    if (measured > 0) this.#pace.addSteps(measured, (now - window.paceFrom) / 1000);
    this.#options.events?.step?.(record, this.#totals());
    const advice = this.#dataWait.advice();
    if (advice !== null) this.#options.events?.info?.(advice);
    Object.assign(window, { started: now, paceFrom: now, paceAfter: 0, waitMs: 0, clips: 0, steps: 0 });
  }

  async #interrupt(): Promise<never> {
    await this.#keeper.saveState();
    throw new InterruptedError(
      `Stopped at step ${this.#state.step}; everything is saved: go on with --resume ${this.#folder.path}`,
    );
  }

  /** One view of every clip of the validation list. */
  async #evaluation(): Promise<Evaluation> {
    const { events, signal } = this.#options, started = performance.now();
    const evaluation = await evaluateClips(this.#session, this.#config, {
      task: this.#task,
      clips: this.#data.valClips,
      views: null,
      feed: this.#data.features?.feed("val"),
      frameCache: this.#data.valCache,
      signal,
      onProgress: events?.evaluating,
    });
    this.#pace.addEvaluation((performance.now() - started) / 1000);
    return evaluation;
  }

  /** What the network gives before the first step. It is not among those of which the best is kept. */
  async #evaluateUntrained(): Promise<void> {
    const { metrics } = await this.#evaluation(), state = this.#state;
    state.baseline = metrics;
    const record: EvalRecord = { kind: "eval", epoch: state.epoch - 1, step: 0, ...metrics };
    this.#folder.appendMetrics(record);
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
      if (!signal?.aborted) throw error;
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
    if (!isAgain) this.#folder.appendMetrics(record);
    await this.#keeper.saveWeights({ best });
    if (isAgain) await this.#keeper.saveState();
    events?.evaluated?.(record, { best });
    if (signal?.aborted) await this.#interrupt();
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
