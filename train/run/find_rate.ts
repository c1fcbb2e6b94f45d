/**
 * A sweep of the learning rate (`solver.find_lr`): a few steps from the run's own beginning, each at a higher rate than the one before,
 * until the loss runs away. Nothing of what is trained is kept.
 */

import { NonFiniteError } from "../../lib/errors.ts";
import type { TellStage } from "../../lib/stage.ts";
import { createModel } from "../../models/mod.ts";
import { readClassTexts } from "../files/class_texts.ts";
import { openFeatures } from "../features/reader.ts";
import { openFrameCache } from "../feed/frame_cache.ts";
import { cropRefusal, requireHostMemory } from "../feed/frame_room.ts";
import { classNames, readSplit } from "../feed/lists.ts";
import { withFoundModality } from "../feed/modality.ts";
import { largestFrame } from "../feed/probe.ts";
import { requireReadableSplits } from "../feed/readable.ts";
import { trainingFeed } from "../feed/training_feed.ts";
import { loopBatches, readTrainingSet } from "../feed/training_set.ts";
import { type Config, dataRoots } from "../recipe/config.ts";
import { trainingSpec } from "../recipe/model.ts";
import type { TunedChoices } from "../runtime/device/tuned.ts";
import { type EarlyDevice, openSession } from "../runtime/open_session.ts";
import type { Session } from "../runtime/session.ts";
import { ratesOf } from "../runtime/update_rules.ts";
import { halvesNeed, optimizerOf, sessionOptions, taskOfRecipe } from "../tasks/session_options.ts";
import { prepareWeights } from "./prepare.ts";

/** The rates of a sweep: from one at which nothing happens to one at which everything goes wrong. */
const FIRST_RATE = 1e-6, LAST_RATE = 1;
/** Weight of what came before in the smoothed loss. */
const SMOOTHING = 0.9;
/** The sweep ends where the smoothed loss is so many times the least one. */
const RUNAWAY = 3;
/** Share of the steps over which a slope is taken, and the steps that takes at least. */
const SLOPE_SHARE = 0.1, LEAST_SLOPE_STEPS = 5;
/** What the smoothed loss must fall by for a rate to be suggested, as a share of where it began. */
const LEAST_FALL = 0.01;

/** A step of a sweep. */
export interface SweptRate {
  readonly rate: number;
  readonly loss: number;
  /** The loss without most of the noise of single batches. */
  readonly smoothed: number;
}

/** What a sweep has found. */
export interface RateSweep {
  readonly steps: readonly SweptRate[];
  /** Where the smoothed loss falls fastest; null: it does not fall. */
  readonly suggested: number | null;
  /** Where it is lowest. */
  readonly lowest: number;
  /** It ran away before the last rate. */
  readonly ranAway: boolean;
}

/** How to sweep. */
export interface SweepOptions {
  /** Optimiser steps, the last at the highest rate. */
  steps: number;
  /** A device that was opened ahead; the sweep's from now on. */
  early?: EarlyDevice;
  signal?: AbortSignal;
  choices?: TunedChoices;
  onOpened?: (session: Pick<Session, "adapter" | "memory">) => void;
  onStep?: (step: SweptRate, done: number) => void;
  note?: (text: string) => void;
  /** Told what is being done until the first step. */
  stage?: TellStage;
}

/** The rate of a step of a sweep, from 0: each is the one before times a factor. */
export function sweptRate(step: number, steps: number): number {
  return FIRST_RATE * (LAST_RATE / FIRST_RATE) ** (steps === 1 ? 0 : step / (steps - 1));
}

/** Sweeps. Stops early where the loss runs away. */
export async function findRate(recipe: Config, options: SweepOptions): Promise<RateSweep> {
  const { note, signal, stage } = options;
  stage?.({ what: "reading the lists" });
  // The average of weights that are thrown away, and the skipping of what is to be found, are left out.
  const solver = { ...recipe.solver, ema: null, skip_nonfinite: null, evaluate: false };
  const config = await withFoundModality({ ...recipe, solver }, { splits: ["train", "val"], note });
  const set = await readTrainingSet(config), labels = await classNames(config);
  const clips = { train: set.clips, val: await readSplit(config, "val", { note }) };
  const features = await openFeatures(config, clips);
  stage?.({ what: "looking at the clips" });
  if (!features) await requireReadableSplits(config, clips, signal);
  await using frameCache = features ? null : await openFrameCache(config, note);
  const side = config.data.input_size;
  const frame = features ? { width: side, height: side } : await largestFrame(
    config,
    [[dataRoots(config).train, set.clips]],
    { signal, stage, cached: [frameCache], refusals: [cropRefusal(config, "train")] },
  );
  const classTexts = await readClassTexts(config, { labels, signal });
  const { data: { batch_size: batchSize, num_sample: clipsPerVideo } } = config;
  const isShort = set.loopClips < batchSize, { lastBatch } = loopBatches(config, set);
  const { session: opened } = await openSession(
    createModel(trainingSpec(config)),
    sessionOptions(config, { lastBatch: isShort ? lastBatch : 0, largestFrame: frame }),
    {
      clipsPerVideo,
      halves: halvesNeed(config, { stored: features !== null }),
      choices: options.choices,
      early: options.early,
      stage,
      signal,
    },
  );
  await using session = opened;
  if (!features) requireHostMemory(config, frame, session.frameRoom);
  options.onOpened?.(session);
  stage?.({ what: "loading the weights" });
  await prepareWeights(session, { config, storedFeatures: features !== null, classTexts, note, signal });
  const encode = await taskOfRecipe(config).encoder(config, set), optimizer = optimizerOf(config);
  await using feed = features?.feed("train") ??
    trainingFeed(config, set.clips, { frameCache, room: session.frameRoom, note });
  const sweep = new Sweep(options.steps);
  stage?.({ what: "waiting for the first step" });
  for (let epoch = 0; !sweep.isOver; epoch++) {
    let batch = 0;
    for await (const { clips } of feed.epoch(set.order(epoch, 0), batchSize)) {
      if (!isShort && clips.length < batchSize * clipsPerVideo) continue; // a short batch has another noise
      signal?.throwIfAborted();
      const encoded = encode({ clips, epoch, batch: batch++ });
      const views = clips.map(({ views: [view] }) => view);
      const done = await session.step({ clips: views, ...encoded }, ratesOf(optimizer, sweep.rate));
      if (!done) continue;
      const losses = await session.readLosses(), step = sweep.add(losses);
      if (sweep.done === 0) {
        throw new NonFiniteError(
          `Cannot sweep the learning rate: the loss must be finite at the first step, current value is ${
            losses.join(", ")
          }; the weights or the data are at fault`,
        );
      }
      if (step) options.onStep?.(step, sweep.done);
      if (sweep.isOver) break;
    }
  }
  return sweep.result();
}

/** A sweep under way. */
export class Sweep {
  readonly #most: number;
  readonly #steps: SweptRate[] = [];
  #sum = 0;
  #weight = 0;
  #least = Infinity;
  #ranAway = false;

  constructor(steps: number) {
    this.#most = steps;
  }

  /** The rate of the next step. */
  get rate(): number {
    return sweptRate(this.done, this.#most);
  }

  /** Steps done. */
  get done(): number {
    return this.#steps.length;
  }

  get isOver(): boolean {
    return this.#ranAway || this.done >= this.#most;
  }

  /** Takes the losses of a step's batches. @returns The step; null: it has run away. */
  add(losses: readonly number[]): SweptRate | null {
    const loss = losses.reduce((a, b) => a + b, 0) / losses.length;
    this.#sum = SMOOTHING * this.#sum + (1 - SMOOTHING) * loss;
    this.#weight = SMOOTHING * this.#weight + (1 - SMOOTHING);
    const smoothed = this.#sum / this.#weight;
    this.#ranAway = !(smoothed <= RUNAWAY * this.#least) && this.done > 0 || !Number.isFinite(loss);
    if (!Number.isFinite(loss)) return null;
    this.#least = Math.min(this.#least, smoothed);
    const step = { rate: this.rate, loss, smoothed };
    this.#steps.push(step);
    return step;
  }

  /** What was found so far, when a step has been done. */
  result(): RateSweep {
    const steps = this.#steps;
    const lowest = steps.reduce((best, step, i) => step.smoothed < steps[best].smoothed ? i : best, 0);
    return {
      steps,
      suggested: steepest(steps.slice(0, lowest + 1), this.#most),
      lowest: steps[lowest].rate,
      ranAway: this.#ranAway,
    };
  }
}

/** The rate about which the smoothed loss falls fastest by the logarithm of the rate; null: it does not fall. */
function steepest(steps: readonly SweptRate[], all: number): number | null {
  const span = Math.max(LEAST_SLOPE_STEPS, Math.round(SLOPE_SHARE * all));
  if (
    steps.length < span ||
    steps[0].smoothed - steps.at(-1)!.smoothed < LEAST_FALL * Math.abs(steps[0].smoothed)
  ) {
    return null;
  }
  let best = { slope: 0, rate: steps[0].rate };
  for (let first = 0; first + span <= steps.length; first++) {
    const own = steps.slice(first, first + span), slope = slopeOf(own.map(({ smoothed }) => smoothed));
    if (slope < best.slope) best = { slope, rate: own[Math.floor(span / 2)].rate };
  }
  return Number(best.rate.toPrecision(2));
}

/** Slope of the line that fits best through values a step apart. */
function slopeOf(values: readonly number[]): number {
  const middle = (values.length - 1) / 2;
  const [up, across] = values.reduce(
    ([up, across], value, i) => [up + (i - middle) * value, across + (i - middle) ** 2],
    [0, 0],
  );
  return up / across;
}
