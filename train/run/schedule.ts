/**
 * Learning-rate schedules as pure functions of the position, so that a resumed run needs no schedule state. Side4Video and
 * TDS-CLIP: a linear warm-up from 0, then a cosine to 0 or steps of 0.1, on a fractional epoch. Side4Video's retrieval: BertAdam's
 * factors on the share of all steps. DiST: a warm-up from a small rate onto a cosine that has been running since epoch 0, on a
 * fractional epoch, where a loop over the clips counts for several epochs (`solver.folds`).
 */
import { ConfigError } from "../../lib/errors.ts";
import type { Config } from "../recipe/config.ts";

/**
 * When the rate is brought up to date: before every batch, or by the rule of the published code, which advances its
 * scheduler at batch 0 and then before every tenth batch (9, 19, 29, …) and holds the rate in between. Under that rule
 * the first nine updates of a run with warm-up have rate 0.
 */
export type RefreshRule = "every_step" | "published";

/** What a schedule needs to know. */
export interface ScheduleOptions {
  type: "cosine" | "multistep" | "running_cosine";
  /** Rate at the end of the warm-up. */
  baseLr: number;
  /** Epoch at which the cosine reaches 0. */
  epochs: number;
  /** Length of the linear warm-up, in epochs; may be fractional. */
  warmupEpochs: number;
  /** Rate at the start of the warm-up. Default 0. */
  warmupStartLr?: number;
  /** Epochs that a loop over the clips counts for. Default 1. */
  folds?: number;
  /** Batches in one loop of this process. */
  batchesPerLoop: number;
  refresh: RefreshRule;
  /** `multistep`: the epochs at which the rate is multiplied by 0.1, or one period in epochs. */
  decayEpochs?: number | readonly number[] | null;
}

/** Batches between two refreshes of the published rule. */
const PUBLISHED_REFRESH_BATCHES = 10;
const STEP_FACTOR = 0.1;

/** The rate at a fractional epoch. */
export function learningRateAt(fractionalEpoch: number, options: ScheduleOptions): number {
  const { baseLr, warmupEpochs, epochs, warmupStartLr = 0 } = options;
  if (options.type === "running_cosine") {
    return warmupOntoCosineAt(fractionalEpoch, { baseLr, maxEpoch: epochs, warmupEpochs, warmupStartLr });
  }
  if (fractionalEpoch < warmupEpochs) {
    return warmupStartLr + (baseLr - warmupStartLr) * (fractionalEpoch / warmupEpochs);
  }
  if (options.type === "multistep") {
    return baseLr * STEP_FACTOR ** decaysBefore(fractionalEpoch, options.decayEpochs);
  }
  const length = epochs - warmupEpochs;
  const progress = length > 0 ? Math.min(1, (fractionalEpoch - warmupEpochs) / length) : 1;
  return baseLr * (0.5 * (1 + Math.cos(Math.PI * progress)));
}

/**
 * Creates the function that gives the rate used by a batch.
 *
 * @returns `(epoch, batch) => rate`, both counted from 0: the first epoch of a loop, and the batch in that loop
 * @example
 * ```ts
 * const rate = createSchedule({ type: "cosine", baseLr: 1e-3, epochs: 40, warmupEpochs: 4, batchesPerLoop: 100,
 *   refresh: "every_step" });
 * rate(22, 0); // 5e-4
 * ```
 */
export function createSchedule(options: ScheduleOptions): (epoch: number, batch: number) => number {
  checkSchedule(options);
  const { folds = 1, batchesPerLoop } = options;
  return (epoch, batch) => {
    const at = options.refresh === "published" ? lastPublishedRefresh(batch) : batch;
    return learningRateAt(foldedEpoch(epoch, at, { folds, batchesPerLoop }), options);
  };
}

/** The rate of a recipe's schedule by the first epoch of a loop and the batch in it, both from 0. */
export function rateOf(
  { solver }: Pick<Config, "solver">,
  options: { batchesPerLoop: number },
): (epoch: number, batch: number) => number {
  const { type } = solver;
  if (type === "warmup_cosine" || type === "warmup_constant" || type === "warmup_linear") {
    return rateByShare(solver, { schedule: type, ...options });
  }
  if (solver.evaluate && options.batchesPerLoop === 0) return () => 0; // nothing is trained on
  return createSchedule({
    type,
    baseLr: solver.lr,
    epochs: solver.epochs,
    warmupEpochs: solver.lr_warmup_step,
    warmupStartLr: solver.lr_warmup_start,
    folds: solver.folds,
    batchesPerLoop: options.batchesPerLoop,
    refresh: solver.lr_refresh,
    decayEpochs: solver.lr_decay_step,
  });
}

/** The rate of a schedule that goes by the share of the run's steps: whole updates, those of a started loop included. */
function rateByShare(
  solver: Config["solver"],
  { schedule, batchesPerLoop }: { schedule: BertSchedule; batchesPerLoop: number },
): (epoch: number, batch: number) => number {
  const { lr, warmup_proportion: warmup, grad_accumulation_steps: group, epochs, folds } = solver;
  const totalSteps = Math.max(1, Math.floor(epochs / folds * batchesPerLoop / group));
  return (epoch, batch) => {
    const step = Math.min(totalSteps, Math.floor((epoch / folds * batchesPerLoop + batch) / group));
    return lr * bertFactor(step, { schedule, totalSteps, warmup });
  };
}

/** What to say of a run whose every update has rate 0, as in a warm-up longer than it; nothing of others. */
export function idleRateRemarks(
  { solver }: Pick<Config, "solver">,
  options: { batchesPerLoop: number },
): string[] {
  const rate = rateOf({ solver }, options), { grad_accumulation_steps: group, folds } = solver;
  const { batchesPerLoop } = options, batches = (solver.epochs - solver.start_epoch) / folds * batchesPerLoop;
  const updates = Math.min(Math.floor(batches / group), solver.max_steps ?? Infinity);
  if (solver.evaluate || solver.lr === 0 || updates === 0) return [];
  for (let update = 1; update <= updates; update++) {
    const batch = update * group - 1, loop = Math.floor(batch / batchesPerLoop);
    if (rate(solver.start_epoch + loop * folds, batch % batchesPerLoop) > 0) return [];
  }
  return [
    `${
      updates === 1 ? "the only update" : `each of the ${updates} updates`
    } of the run has learning rate 0, with which the warm-up ` +
    `begins: nothing is trained; use more steps, or ${
      solver.type.startsWith("warmup_")
        ? "solver.warmup_proportion=0"
        : "solver.lr_warmup_step=0 with solver.lr_refresh=every_step"
    }`,
  ];
}

/** Shape of a schedule of BertAdam, under its published name. */
export type BertSchedule = "warmup_cosine" | "warmup_constant" | "warmup_linear";

/**
 * Factor on the rate of a BertAdam step, Side4Video retrieval's optimiser.
 *
 * The cosine does not start where the warm-up ends, as in the published code: with a warm-up of 0.1 the factor falls from 1 to
 * 0.976 there.
 *
 * @param step Optimiser steps done before, from 0: the first step of a warm-up has factor 0.
 * @param options.totalSteps Steps of the run; -1: the rate is constant.
 * @param options.warmup Share of them that is warm-up, 0 … 1.
 */
export function bertFactor(
  step: number,
  options: { schedule: BertSchedule; totalSteps: number; warmup: number },
): number {
  const { schedule, totalSteps, warmup } = options;
  if (totalSteps === -1) return 1;
  const done = step / totalSteps;
  if (done < warmup) return done / warmup;
  switch (schedule) {
    case "warmup_cosine":
      return 0.5 * (1 + Math.cos(Math.PI * done));
    case "warmup_constant":
      return 1;
    case "warmup_linear":
      return Math.max((done - 1) / (warmup - 1), 0);
  }
}

/** What a warm-up onto a running cosine needs to know. */
export interface WarmupOntoCosineOptions {
  /** Rate at the top of the cosine. Groups of new layers multiply the result (by 10 in the published recipes). */
  baseLr: number;
  /** Epoch at which the cosine reaches 0. */
  maxEpoch: number;
  /** Length of the linear warm-up, in epochs. */
  warmupEpochs: number;
  /** Rate at the start of the warm-up. */
  warmupStartLr: number;
}

/** The rate at a fractional epoch of a warm-up that ends on a cosine which has been running since epoch 0 (DiST). */
export function warmupOntoCosineAt(fractionalEpoch: number, options: WarmupOntoCosineOptions): number {
  const { baseLr, maxEpoch, warmupEpochs, warmupStartLr } = options;
  const cosine = (epoch: number) => baseLr * (0.5 * (1 + Math.cos(Math.PI * Math.min(1, epoch / maxEpoch))));
  if (fractionalEpoch >= warmupEpochs) return cosine(fractionalEpoch);
  return warmupStartLr + (cosine(warmupEpochs) - warmupStartLr) * (fractionalEpoch / warmupEpochs);
}

/**
 * Fractional epoch of a batch where a loop goes over the clips several times ("folds") and counts for as many epochs (DiST).
 *
 * @param epoch The first of its loop, from 0.
 * @param batch In its loop, from 0.
 */
export function foldedEpoch(
  epoch: number,
  batch: number,
  options: { folds: number; batchesPerLoop: number },
): number {
  const { folds, batchesPerLoop } = options;
  return epoch + folds * batch / batchesPerLoop;
}

/** The newest batch, up to and including this one, before which the published code advances its scheduler. */
function lastPublishedRefresh(batch: number): number {
  return Math.max(0, Math.floor((batch + 1) / PUBLISHED_REFRESH_BATCHES) * PUBLISHED_REFRESH_BATCHES - 1);
}

function decaysBefore(fractionalEpoch: number, decayEpochs: ScheduleOptions["decayEpochs"]): number {
  if (typeof decayEpochs === "number") return Math.floor(fractionalEpoch / decayEpochs);
  return (decayEpochs ?? []).filter((epoch) => epoch <= fractionalEpoch).length;
}

function checkSchedule(options: ScheduleOptions): void {
  if (!(options.batchesPerLoop >= 1)) {
    throw new ConfigError(
      `Cannot create the schedule: a loop over the clips must have at least 1 batch, current value is ${options.batchesPerLoop}`,
    );
  }
  if (options.type !== "multistep") return;
  const { decayEpochs } = options;
  const first = typeof decayEpochs === "number" ? decayEpochs : Math.min(...(decayEpochs ?? []));
  if (!Number.isFinite(first) || first <= options.warmupEpochs) {
    throw new ConfigError(
      "Cannot create the schedule: the first entry of solver.lr_decay_step must come after the warm-up " +
        `(${options.warmupEpochs} epochs), current value is ${JSON.stringify(decayEpochs ?? null)}`,
    );
  }
}
