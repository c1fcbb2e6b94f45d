/**
 * What a run leaves on the disk while it goes on: states and weights, which are written only when all that is in them is known to be
 * finite. It looks at the GPU, which is where losses and counts of skipped updates come from.
 */

import { isDeepStrictEqual } from "node:util";
import { formatCount } from "../../lib/text.ts";
import { DataError, NonFiniteError } from "../../lib/errors.ts";
import { encodeState, encodeWeights, firstNonFinite, savedState } from "../files/checkpoint.ts";
import { keepEpoch } from "../files/kept_epochs.ts";
import type { CheckpointInfo, RunState } from "../files/run_state.ts";
import { type Best, RUN_FILES, type RunFolder } from "../files/run_folder.ts";
import { systemOf } from "../../models/registry.ts";
import type { World } from "../../mpi/world.ts";
import type { Config } from "../recipe/config.ts";
import type { Session } from "../runtime/session.ts";
import { LOSS_LOG_SIZE } from "../runtime/loss_log.ts";

/** The first state of a run is written after this step: its loss shows that an update has been made and was none to regret. */
const FIRST_STATE_STEP = 2;
const MINUTE_MS = 60_000;

/** What a keeper keeps. */
export interface Kept {
  config: Config;
  folder: RunFolder;
  session: Session;
  /** The run's own; losses and skipped updates are added to it. */
  state: RunState;
  /** What is written beside the tensors. */
  info: () => CheckpointInfo;
  /** Takes a warning. */
  note?: (text: string) => void;
  /** Takes the step of a state that has been written. */
  saved?: (step: number) => void;
  /** Step of the state that is in the folder already; null: none is. */
  savedStep: number | null;
  /** The ranks of the run: all call the same, the first one writes. */
  world: World;
}

/** The evaluation that weights kept as the best are of; null where there are none that can be read. */
async function bestOf(file: string): Promise<Best | null> {
  try {
    return (await savedState(file)).best;
  } catch (error) {
    if (error instanceof DataError) return null;
    throw error;
  }
}

/** Keeps a run. */
export class Keeper {
  readonly #run: Kept;
  /** Losses that wait on the GPU. */
  #unreadLosses = 0;
  #savedStep: number | null;
  #savedAt = performance.now();

  constructor(run: Kept) {
    this.#run = run;
    this.#savedStep = run.savedStep;
  }

  /** Takes note of a batch, and reads losses before there are more of them than the GPU keeps. */
  async batchDone(): Promise<void> {
    if (++this.#unreadLosses === LOSS_LOG_SIZE) await this.look();
  }

  /**
   * Whether a state is to be written after the step that the run is at. Time decides when, never what is computed.
   *
   * @param ahead After so many more steps.
   */
  isStateDue(ahead = 0): boolean {
    const { state, config: { logging } } = this.#run, step = state.step + ahead;
    const { checkpoint_every: every, checkpoint_minutes: minutes } = logging;
    if (every !== null && step % every === 0) return true;
    if (minutes === null) return false;
    if (this.#savedStep === null && step >= FIRST_STATE_STEP) return true;
    return performance.now() - this.#savedAt >= minutes * MINUTE_MS;
  }

  /** Writes the state; and the weights, where no evaluation of this step has written them. */
  async saveState(): Promise<void> {
    const { folder, session, state, info } = this.#run;
    await session.collectGradients();
    await this.look({ check: true });
    if (this.#writes) {
      await folder.flushMetrics();
      await folder.write("state", await encodeState(session, info()));
    }
    this.#savedStep = state.step;
    this.#savedAt = performance.now();
    if (!this.#writes) return;
    this.#run.saved?.(state.step);
    if (!state.evaluated) await folder.write("last", await this.#weights());
  }

  /** Keeps what has just been written as that of an epoch, where the recipe says so. */
  async keepEpoch(epoch: number): Promise<void> {
    const { folder, config: { logging } } = this.#run, { keep } = logging;
    if (keep !== null && this.#writes) await keepEpoch(folder, epoch, { most: keep });
  }

  get #writes(): boolean {
    return this.#run.world.rank === 0;
  }

  /** The file of weights now. */
  #weights(): Promise<Uint8Array[]> {
    const { session, info, config } = this.#run;
    return encodeWeights(session, info(), systemOf(config.system).files);
  }

  /** Writes the weights. @param options.best Also as the best ones. */
  async saveWeights({ best }: { best: boolean }): Promise<void> {
    const { folder } = this.#run;
    await this.look({ check: true });
    if (!this.#writes) return;
    const weights = await this.#weights();
    await folder.write("last", weights);
    if (best) await folder.write("best", weights);
  }

  /**
   * Sees to it that the best weights are those of the evaluation that a resumed state calls the best. They are written before the state,
   * so a kill or a full disk in between leaves others; and people move files.
   */
  async settleBest(): Promise<void> {
    const { state, world } = this.#run;
    if (this.#writes) await this.#settleBest();
    state.best = await world.share(state.best, "the best evaluation");
  }

  async #settleBest(): Promise<void> {
    const { folder, state, note } = this.#run, file = folder.file("best"), { best } = state;
    const found = await bestOf(file);
    if (found === null && best === null || isDeepStrictEqual(found, best)) return;
    const what = found === null
      ? `there is no ${RUN_FILES.best} that can be read`
      : `${RUN_FILES.best} is of step ${found.step ?? "unknown"}`;
    const than = best === null
      ? "the state knows of no evaluation yet"
      : `the best evaluation that the state knows is that of step ${best.step ?? "unknown"}`;
    const isHere = state.evaluated && best?.step === state.step;
    note?.(
      `${what}, and ${than}: ${
        isHere ? "it is written from the state" : "the best starts anew with the evaluations to come"
      }`,
    );
    if (isHere) await folder.write("best", await this.#weights());
    else state.best = null;
  }

  /**
   * Reads what waits on the GPU into the state.
   *
   * @param options.check Also looks whether all that a checkpoint would hold is finite.
   * @throws {NonFiniteError} where something is not, and is not to be skipped.
   */
  async look(options: { check?: boolean } = {}): Promise<void> {
    const { session, state } = this.#run;
    this.#unreadLosses = 0;
    // Losses that wait for their line of metrics are part of the state: a resumed run writes the same line.
    const { losses, skipped, nonFinite } = await session.look(options);
    this.#takeLosses(losses);
    if (session.skips) this.#takeSkipped(skipped);
    if (nonFinite.length > 0) {
      const tensor = await firstNonFinite(session, state);
      throw this.failure(
        `Cannot go on: ${tensor ?? `${nonFinite.join(", ")} must be finite`} at step ${state.step}`,
      );
    }
  }

  /**
   * The error of a run that cannot go on, with what there is to go on from.
   *
   * @param options.before No update had been made before it.
   */
  failure(message: string, options: { before?: boolean } = {}): NonFiniteError {
    const { folder } = this.#run, instead = "a lower solver.lr or with solver.clip_grad_norm";
    const advice = options.before
      ? "no update had been made before: the weights or the data are at fault"
      : this.#savedStep === null
      ? `no state has been saved yet: begin again with ${instead}`
      : `the state of step ${this.#savedStep} is kept: go on from it with ${instead} (--resume ${folder.path}), or begin again where the loss is not finite there either`;
    return new NonFiniteError(`${message}; ${advice}`);
  }

  #takeLosses(losses: readonly number[]): void {
    const { session, state } = this.#run;
    losses.forEach((loss, i) => {
      if (Number.isFinite(loss)) state.pendingLosses.push(loss);
      else if (!session.skips) {
        const step = this.#stepOf(losses.length - 1 - i), message = "Cannot go on: the loss must be finite";
        throw this.failure(`${message}, current value is ${loss} at step ${step}`, { before: step === 1 });
      }
    });
  }

  /** The step that a micro-batch belongs to. @param ago Micro-batches that came after it. */
  #stepOf(ago: number): number {
    const { state: { step, accumulated }, config: { solver } } = this.#run;
    return ago < accumulated
      ? step + 1
      : step - Math.floor((ago - accumulated) / solver.grad_accumulation_steps);
  }

  #takeSkipped(skipped: RunState["skipped"]): void {
    const { state, note, config: { solver } } = this.#run, more = skipped.total - state.skipped.total;
    state.skipped = skipped;
    if (more > 0) {
      note?.(
        `${formatCount(more)} ${
          more === 1 ? "update was" : "updates were"
        } skipped up to step ${state.step}, because a gradient or ` +
          `the loss was not finite (${formatCount(skipped.total)} of ${formatCount(state.step)} in all)`,
      );
    }
    const most = solver.skip_nonfinite!;
    if (skipped.inARow >= most) {
      throw this.failure(
        `Cannot go on: fewer than ${most} updates in a row must be skipped (solver.skip_nonfinite), current count is ${skipped.inARow} at step ${state.step}`,
      );
    }
  }
}
