/**
 * Learning-rate schedules of Side4Video (and TDS-CLIP): a linear warm-up from 0, then a cosine to 0 or steps of 0.1,
 * on a fractional epoch. Pure functions of (epoch, batch), so that a resumed run needs no schedule state.
 */
import { ConfigError } from "../lib/errors.ts";

/**
 * When the rate is brought up to date: before every batch, or by the rule of the published code, which advances its
 * scheduler at batch 0 and then before every tenth batch (9, 19, 29, …) and holds the rate in between. Under that rule
 * the first nine updates of a run with warm-up have rate 0.
 */
export type RefreshRule = "every_step" | "published";

/** What a schedule needs to know. */
export interface ScheduleOptions {
  type: "cosine" | "multistep";
  /** Rate at the end of the warm-up. */
  baseLr: number;
  /** Epoch at which the cosine reaches 0. */
  epochs: number;
  /** Length of the linear warm-up, in epochs; may be fractional. */
  warmupEpochs: number;
  /** Batches in one epoch of this process. */
  batchesPerEpoch: number;
  refresh: RefreshRule;
  /** `multistep`: the epochs at which the rate is multiplied by 0.1, or one period in epochs. */
  decayEpochs?: number | readonly number[] | null;
}

/** Batches between two refreshes of the published rule. */
const PUBLISHED_REFRESH_BATCHES = 10;
const STEP_FACTOR = 0.1;

/** The rate at a fractional epoch. */
export function learningRateAt(fractionalEpoch: number, options: ScheduleOptions): number {
  const { baseLr, warmupEpochs, epochs } = options;
  if (fractionalEpoch < warmupEpochs) return baseLr * (fractionalEpoch / warmupEpochs);
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
 * @returns `(epoch, batch) => rate`, both counted from 0
 * @example
 * ```ts
 * const rate = createSchedule({ type: "cosine", baseLr: 1e-3, epochs: 40, warmupEpochs: 4, batchesPerEpoch: 100,
 *   refresh: "every_step" });
 * rate(22, 0); // 5e-4
 * ```
 */
export function createSchedule(options: ScheduleOptions): (epoch: number, batch: number) => number {
  checkSchedule(options);
  return (epoch, batch) => {
    const at = options.refresh === "published" ? lastPublishedRefresh(batch) : batch;
    return learningRateAt(epoch + at / options.batchesPerEpoch, options);
  };
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
  if (!(options.batchesPerEpoch >= 1)) {
    throw new ConfigError(
      `Cannot create the schedule: an epoch must have at least 1 batch, current value is ${options.batchesPerEpoch}`,
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
