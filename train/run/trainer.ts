/**
 * The training run: epochs of batches through the GPU session, evaluation, checkpoints, and everything a run folder holds.
 * What a run computes depends on its config and seed only, so an interrupted run goes on exactly where it was.
 */

import type { ClipRecord } from "../../data/datasets/list.ts";
import type { FrameCache } from "../../data/frame_cache/frame_cache.ts";
import { DataError, InterruptedError } from "../../lib/errors.ts";
import { createModel } from "../../models/mod.ts";
import { systemOf } from "../../models/registry.ts";
import {
  encodeState,
  encodeWeights,
  loadBackbone,
  loadTrained,
  openCheckpoint,
  restoreState,
  type RunState,
} from "../files/checkpoint.ts";
import type { ClipFeed } from "../feed/clip_feed.ts";
import { type Config, dataRoots, formatConfig } from "../recipe/config.ts";
import { evaluateClips } from "../evaluation/evaluate.ts";
import { type Features, openFeatures } from "../features/reader.ts";
import { describeFrameCache, openFrameCache } from "../feed/frame_cache.ts";
import { largestFrame } from "../feed/probe.ts";
import { requireHostMemory } from "../feed/frame_room.ts";
import { ProblemLog } from "../feed/problems.ts";
import { requireReadableSplits } from "../feed/readable.ts";
import type { DataProblem } from "../feed/problems.ts";
import type { EvalRecord, RunFolder, StepRecord, Summary } from "../files/run_folder.ts";
import { round, summarise } from "./summary.ts";
import { remarksOnLists } from "../feed/list_remarks.ts";
import { classNames, readSplit } from "../feed/lists.ts";
import { withFoundModality } from "../feed/modality.ts";
import { modelSpec, trainingSpec } from "../recipe/model.ts";
import { trainingFeed } from "../feed/training_feed.ts";
import { epochBatches, readTrainingSet, type TrainingSet } from "../feed/training_set.ts";
import { describeParts } from "../runtime/fit.ts";
import { openSession } from "../runtime/open_session.ts";
import type { Session } from "../runtime/session.ts";
import { LOSS_LOG_SIZE } from "../runtime/loss_log.ts";
import { type Optimizer, ratesOf } from "../runtime/update_rules.ts";
import {
  clipsPerBatch,
  halvesNeed,
  optimizerOf,
  sessionOptions,
  taskOfRecipe,
} from "../tasks/session_options.ts";
import { type Evaluation, isBest, type Task } from "../tasks/task.ts";
import { rateOf } from "./schedule.ts";
import type { TunedChoices } from "../runtime/tuned.ts";

/** What is known once the session is open. */
export type OpenedSession = Pick<Session, "adapter" | "memory" | "allocatedBytes" | "launches">;

/** What a run tells while it goes on. */
export interface TrainEvents {
  opened?: (session: OpenedSession, run: { steps: number; trainable: number; frozen: number }) => void;
  step?: (record: StepRecord, totals: { steps: number; epochs: number; secondsPerStep: number }) => void;
  evaluating?: (done: number, total: number) => void;
  evaluated?: (record: EvalRecord, options: { best: boolean }) => void;
  /** A warning, on its own line: a broken frame, a class without a clip. */
  note?: (text: string) => void;
  /** Something that is as it should be, on its own line. */
  info?: (text: string) => void;
}

/** How to run. */
export interface TrainOptions {
  config: Config;
  folder: RunFolder;
  /** State file to go on from. */
  resume?: string;
  /** Stops after the step under way, with everything saved. */
  signal?: AbortSignal;
  events?: TrainEvents;
  /** Measured kernel choices of this machine. */
  choices?: TunedChoices;
}

/** What a finished run gives. */
export interface TrainResult {
  summary: Summary;
  /** The last evaluation; null when none was made. */
  evaluation: Evaluation | null;
  labels: string[];
  problems: DataProblem[];
}

/** Trains, from the start or from a saved state. */
export async function train(options: TrainOptions): Promise<TrainResult> {
  const { note, info } = options.events ?? {};
  const config = await withFoundModality(options.config, { splits: ["train", "val"], note });
  const set = await readTrainingSet(config), valClips = await readSplit(config, "val", { note });
  const labels = await classNames(config), roots = dataRoots(config);
  const lists = { train: set.clips, epochClips: set.epochClips, val: valClips };
  for (const text of remarksOnLists(config, lists)) note?.(text);
  const { batches, lastBatch } = epochBatches(config, set);
  const features = await openFeatures(config, { train: set.clips, val: valClips });
  if (!features) await requireReadableSplits(config, { train: set.clips, val: valClips }, options.signal);
  await using frameCache = features ? null : await openFrameCache(config, note);
  if (frameCache) info?.(describeFrameCache(frameCache));
  const side = config.data.input_size;
  const frame = features
    ? { width: side, height: side }
    : await largestFrame(config, [[roots.train, set.clips], [roots.val, valClips]], {
      viaCache: frameCache !== null,
    });
  if (!features) requireHostMemory(config, frame);
  const opened = await openSession(
    createModel(trainingSpec(config)),
    sessionOptions(config, { lastBatch, largestFrame: frame }),
    {
      clipsPerVideo: config.data.num_sample,
      halves: halvesNeed(config, { stored: features !== null }),
      choices: options.choices,
    },
  );
  await using session = opened.session;
  session.onGrow = ({ width, height }, bytes) =>
    note?.(
      `a frame is larger than expected: the upload buffers grow to ${width}x${height}, GPU memory is now ${bytes} bytes`,
    );
  for (const text of [...set.notes, ...features?.notes ?? []]) note?.(text);
  const { against } = opened, clips = clipsPerBatch(config);
  if (against !== null) {
    note?.(describeParts(session.model, { against, clips, parts: session.partsOf(clips) }));
  }
  if (lastBatch === 1 && clips > 1) {
    note?.(
      `the last batch of an epoch has one clip: its batch norms make the video's feature a constant, so that step only trains the classifier; ` +
        `leave out a clip or change data.batch_size`,
    );
  }
  const data = { set, batches, valClips, features, frameCache, labels };
  try {
    const own = against === null ? config : inParts(config, session.partsOf(clips));
    return await new TrainingRun({ ...options, config: own }, session, data).run();
  } finally {
    if (frameCache) info?.(describeFrameCache(frameCache));
  }
}

interface RunData {
  set: TrainingSet;
  /** Of an epoch. */
  batches: number;
  valClips: ClipRecord[];
  /** null where the backbone runs. */
  features: Features | null;
  frameCache: FrameCache | null;
  labels: string[];
}

/** The recipe with the parts that were found, so that a resumed run has the same. */
function inParts(config: Config, parts: readonly number[]): Config {
  return { ...config, data: { ...config.data, micro_batch_size: Math.max(...parts) } };
}

class TrainingRun {
  readonly #config: Config;
  readonly #folder: RunFolder;
  readonly #options: TrainOptions;
  readonly #session: Session;
  readonly #task: Task;
  readonly #optimizer: Optimizer;
  readonly #encode: ReturnType<Task["encoder"]>;
  readonly #data: RunData;
  readonly #batches: number;
  /** The schedule's rate. */
  readonly #rate: (epoch: number, batch: number) => number;
  readonly #problems: ProblemLog;
  #evaluation: Evaluation | null = null;
  #state: RunState = {
    epoch: 0,
    batch: 0,
    step: 0,
    microBatches: 0,
    accumulated: 0,
    clips: 0,
    seconds: 0,
    best: null,
    evaluated: false,
    pendingLosses: [],
    lastLoss: null,
  };
  /** Losses that wait on the GPU. */
  #unreadLosses = 0;

  constructor(options: TrainOptions, session: Session, data: RunData) {
    const { config } = options;
    this.#config = config;
    this.#folder = options.folder;
    this.#options = options;
    this.#session = session;
    this.#task = taskOfRecipe(config);
    this.#optimizer = optimizerOf(config);
    this.#encode = this.#task.encoder(config, data.set);
    this.#data = data;
    this.#batches = data.batches;
    this.#problems = new ProblemLog(options.events?.note);
    this.#rate = rateOf(config, { batchesPerEpoch: this.#batches });
    this.#state.epoch = options.config.solver.start_epoch;
  }

  /** Optimiser steps of the whole run. */
  get #totalSteps(): number {
    const { solver } = this.#config;
    const all = Math.floor(
      (solver.epochs - solver.start_epoch) * this.#batches / solver.grad_accumulation_steps,
    );
    return Math.min(all, solver.max_steps ?? all);
  }

  async run(): Promise<TrainResult> {
    const { events } = this.#options;
    await this.#prepareWeights();
    // The session's own model has no tower where features are stored.
    const { weights } = createModel(modelSpec(this.#config));
    const trainable = weights.count("trained"), frozen = weights.count("frozen");
    events?.opened?.(this.#session, { steps: this.#totalSteps, trainable, frozen });
    const { solver } = this.#config, { set, features, frameCache } = this.#data;
    await using feed = features?.feed("train") ??
      trainingFeed(this.#config, set.clips, { frameCache, room: this.#session.frameRoom });
    if (!solver.evaluate) {
      // A state may lie at the end of an epoch, before its evaluation: that epoch is entered once more.
      while (
        this.#state.epoch < solver.epochs && (this.#state.step < this.#totalSteps || this.#state.batch > 0)
      ) {
        await this.#trainEpoch(feed);
      }
    }
    if (this.#evaluation === null) await this.#evaluate(this.#state.epoch - 1);
    return await this.#finish(trainable, frozen);
  }

  async #prepareWeights(): Promise<void> {
    const config = this.#config, { note } = this.#options.events ?? {};
    const { network, pretrain, seed } = config;
    const backbone = network.init && !this.#data.features ? network.weights : null;
    await this.#session.initialise(seed, { frozen: backbone === null });
    if (backbone !== null) await loadBackbone(this.#session, backbone);
    await this.#session.computeConstants();
    if (pretrain !== null) {
      await using source = await openCheckpoint(pretrain);
      const left = await loadTrained(this.#session, source, {
        system: systemOf(config.system),
        head: network.head,
      });
      if (left.length > 0) {
        note?.(`${left.join(", ")} of "${pretrain}" have another number of classes and start anew`);
      }
    }
    if (this.#options.resume) {
      this.#state = await restoreState(this.#session, this.#options.resume);
      if (this.#state.problems) this.#problems.restore(this.#state.problems);
    }
    await this.#folder.write("config", formatConfig(this.#config));
    const { shotList } = this.#data.set;
    if (shotList !== null) await this.#folder.write("shots", shotList);
  }

  async #trainEpoch(feed: ClipFeed): Promise<void> {
    const { solver, logging } = this.#config, state = this.#state;
    const { epoch } = state;
    if (state.step < this.#totalSteps) await this.#trainBatches(feed);
    const done = state.step >= this.#totalSteps || epoch + 1 >= solver.epochs;
    const due = (epoch + 1) % logging.eval_freq === 0 && !logging.skip_epoch.includes(epoch);
    if ((due || done) && !state.evaluated) await this.#evaluate(epoch);
    state.epoch++;
    state.batch = 0;
    await this.#saveState();
  }

  /** The batches of the epoch that are still to come. */
  async #trainBatches(feed: ClipFeed): Promise<void> {
    const { data, logging } = this.#config, state = this.#state;
    const { epoch } = state;
    const { set } = this.#data, order = set.order(epoch, state.batch);
    const window = { started: performance.now(), waitMs: 0, clips: 0, steps: 0 };
    for await (const { clips, waitMs } of feed.epoch(order, data.batch_size)) {
      const lr = this.#rate(epoch, state.batch);
      for (const problem of clips.flatMap((clip) => clip.problems)) this.#problems.add(problem);
      const encoded = this.#encode({ clips, epoch, batch: state.batch });
      const batch = { clips: clips.map(({ views: [view] }) => view), ...encoded };
      const completed = await this.#session.step(batch, ratesOf(this.#optimizer, lr));
      state.batch++;
      state.microBatches += this.#session.partsOf(batch.clips.length).length;
      state.clips += clips.length;
      state.evaluated = false;
      window.waitMs += waitMs;
      window.clips += clips.length;
      state.accumulated = completed ? 0 : state.accumulated + 1;
      if (++this.#unreadLosses === LOSS_LOG_SIZE) await this.#collectLosses();
      if (!completed) continue;
      state.step++;
      window.steps++;
      const stopping = this.#options.signal?.aborted ?? false;
      const last = state.step >= this.#totalSteps;
      // Reading the loss waits for the GPU, so it is done every print_freq steps only.
      if (state.step % logging.print_freq === 0 || last || state.batch === this.#batches) {
        await this.#report(lr, window);
      }
      if (stopping) await this.#interrupt();
      if (logging.checkpoint_every !== null && state.step % logging.checkpoint_every === 0) {
        await this.#saveState();
      }
      if (last) break;
    }
  }

  /** Waits for the GPU, then writes one line of metrics. */
  async #report(
    lr: number,
    window: { started: number; waitMs: number; clips: number; steps: number },
  ): Promise<void> {
    await this.#collectLosses();
    const elapsed = (performance.now() - window.started) / 1000;
    const state = this.#state, losses = state.pendingLosses;
    if (losses.length === 0) return;
    state.pendingLosses = [];
    const loss = losses.reduce((a, b) => a + b, 0) / losses.length;
    if (!Number.isFinite(loss)) {
      throw new DataError(
        `Cannot go on: the loss must be finite, current value is ${loss} at step ${state.step}; lower solver.lr or set solver.clip_grad_norm (the run folder keeps the last good state)`,
      );
    }
    state.seconds += elapsed;
    const record: StepRecord = {
      kind: "step",
      epoch: state.epoch,
      step: state.step,
      loss,
      lr,
      clips_per_second: round(window.clips / elapsed),
      data_wait: round(Math.min(1, window.waitMs / 1000 / elapsed)),
      gpu_bytes: this.#session.allocatedBytes,
    };
    state.lastLoss = loss;
    this.#folder.appendMetrics(record);
    const totals = {
      steps: this.#totalSteps,
      epochs: this.#config.solver.epochs,
      secondsPerStep: elapsed / Math.max(1, window.steps),
    };
    this.#options.events?.step?.(record, totals);
    Object.assign(window, { started: performance.now(), waitMs: 0, clips: 0, steps: 0 });
  }

  /** Losses that wait for their line of metrics are part of the state: a resumed run writes the same line. */
  async #collectLosses(): Promise<void> {
    this.#unreadLosses = 0;
    this.#state.pendingLosses.push(...await this.#session.readLosses());
  }

  async #interrupt(): Promise<never> {
    await this.#saveState();
    throw new InterruptedError(
      `Stopped at step ${this.#state.step}; everything is saved: go on with --resume ${this.#folder.path}`,
    );
  }

  async #evaluate(epoch: number): Promise<void> {
    const { events, signal } = this.#options, state = this.#state;
    let evaluation: Evaluation;
    try {
      evaluation = await evaluateClips(this.#session, this.#config, {
        task: this.#task,
        clips: this.#data.valClips,
        views: null,
        feed: this.#data.features?.feed("val"),
        frameCache: this.#data.frameCache,
        signal,
        onProgress: events?.evaluating,
      });
    } catch (error) {
      if (!signal?.aborted) throw error;
      return await this.#interrupt(); // it is made from the start when the run goes on
    }
    this.#evaluation = evaluation;
    for (const problem of evaluation.problems) this.#problems.add(problem);
    if (state.evaluated) return; // a finished run that was resumed: only its summary and report need it again
    const { metrics } = evaluation;
    const record: EvalRecord = { kind: "eval", epoch, step: state.step, ...metrics };
    const best = isBest(this.#task, metrics, state.best);
    if (best) state.best = { epoch, ...metrics };
    state.evaluated = true;
    this.#folder.appendMetrics(record);
    const weights = await encodeWeights(this.#session, this.#info());
    await this.#folder.write("last", weights);
    if (best) await this.#folder.write("best", weights);
    events?.evaluated?.(record, { best });
    if (signal?.aborted) await this.#interrupt();
  }

  #info() {
    const state = { ...this.#state, problems: this.#problems.saved };
    return { config: this.#config, labels: this.#data.labels, state };
  }

  async #saveState(): Promise<void> {
    await this.#collectLosses();
    await this.#folder.flushMetrics();
    await this.#folder.write("state", await encodeState(this.#session, this.#info()));
    if (!this.#state.evaluated) {
      await this.#folder.write("last", await encodeWeights(this.#session, this.#info()));
    }
  }

  async #finish(trainable: number, frozen: number): Promise<TrainResult> {
    const session = this.#session, state = this.#state, evaluation = this.#evaluation;
    const problems = this.#problems;
    const summary = summarise({
      config: this.#config,
      task: this.#task,
      session,
      state,
      evaluation,
      trainable,
      frozen,
      problems,
      set: this.#data.set,
    });
    await this.#folder.writeSummary(summary);
    return { summary, evaluation, labels: this.#data.labels, problems: this.#problems.list };
  }
}
