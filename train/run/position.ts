/**
 * Where a run stands in its epochs, counted in clips: what is still to come follows from the config as it is now, so that a run
 * keeps its place with another batch size, another accumulation or another limit.
 */

import { formatCount } from "../../lib/text.ts";
import { ConfigError, DataError } from "../../lib/errors.ts";
import { loopBatches, type TrainingSet } from "../feed/training_set.ts";
import type { RunState, SavedState, StateRecipe } from "../files/run_state.ts";
import type { Config } from "../recipe/config.ts";

type Place = Pick<RunState, "epoch" | "clipsInEpoch" | "step" | "accumulated">;
type Epochs = Pick<TrainingSet, "loopClips">;

/** The epoch, from 0, that the next clip belongs to; at the end of a loop its last one. */
export function currentEpoch(
  { solver: { folds } }: Pick<Config, "solver">,
  { loopClips }: Epochs,
  { epoch, clipsInEpoch }: Pick<Place, "epoch" | "clipsInEpoch">,
): number {
  return epoch + Math.max(0, Math.min(folds - 1, Math.floor(folds * clipsInEpoch / (loopClips || 1))));
}

/** Whether an evaluation is due at the end of the loop that begins with an epoch: where one of its epochs is one that asks for it. */
export function isEvaluationDue({ solver: { folds }, logging }: Config, epoch: number): boolean {
  const { eval_freq: every, skip_epoch: skipped } = logging;
  return Math.floor((epoch + folds) / every) > Math.floor(epoch / every) &&
    !skipped.includes(epoch + folds - 1);
}

/** Optimiser steps of the whole run, for a run that stands at a place. */
export function totalSteps(config: Config, set: Epochs, place: Place): number {
  const { epochs, max_steps: most, grad_accumulation_steps: group, folds } = config.solver;
  const whole = Math.max(0, (epochs - place.epoch) / folds - 1);
  const inLoop = place.epoch < epochs ? loopBatches(config, set, place.clipsInEpoch).batches : 0;
  const batches = inLoop + whole * loopBatches(config, set).batches;
  const all = place.step + Math.floor((place.accumulated + batches) / group);
  return Math.min(all, most ?? all);
}

/** Evaluations that a run at a place has still to make: those due at the ends of loops, and the one at its end. */
export function evaluationsToCome(config: Config, set: Epochs, place: Place): number {
  const { epochs, folds, grad_accumulation_steps: group } = config.solver;
  const last = totalSteps(config, set, place);
  let count = 0, batches = 0;
  for (let epoch = place.epoch; epoch < epochs; epoch += folds) {
    batches += loopBatches(config, set, epoch === place.epoch ? place.clipsInEpoch : 0).batches;
    const steps = place.step + Math.floor((place.accumulated + batches) / group);
    const ends = epoch + folds >= epochs || steps >= last;
    if (ends || isEvaluationDue(config, epoch)) count++;
    if (ends) break;
  }
  return count;
}

/** Batches of this size, and parts of one, that have gone by in the loop: what the learning rate follows. */
export function batchesDone(
  { data }: Pick<Config, "data">,
  { clipsInEpoch }: Pick<Place, "clipsInEpoch">,
): number {
  return clipsInEpoch / data.batch_size;
}

/** Whether a run that goes on from a state does so with the clips, batches, copies and sums that it has had since it began. */
export function isSteady(
  { data, solver }: Config,
  set: Pick<TrainingSet, "id">,
  { state, recipe: written }: SavedState,
): boolean {
  return state.steady === true && state.set === set.id && data.batch_size === written.data.batch_size &&
    data.num_sample === written.data.num_sample && solver.start_epoch === written.solver.start_epoch &&
    solver.folds === written.solver.folds &&
    solver.grad_accumulation_steps === written.solver.grad_accumulation_steps;
}

/**
 * Checks that what a state counts follows from where it says that the run stands. Only of a steady run with these clips can that be said.
 *
 * @param file For messages: the state's.
 * @throws {DataError} where it cannot be.
 */
export function requirePlace(
  { loopClips, id }: Epochs & Pick<TrainingSet, "id">,
  { state, recipe: { data, solver } }: SavedState,
  file: string,
): void {
  if (!state.steady || state.set !== id) return;
  const { batch_size: size, num_sample: copies } = data, { epoch, clipsInEpoch } = state;
  const loops = (epoch - solver.start_epoch) / solver.folds;
  const clips = (loops * loopClips + clipsInEpoch) * copies;
  const batches = loops * Math.ceil(loopClips / size) + Math.ceil(clipsInEpoch / size);
  const counted = state.step * solver.grad_accumulation_steps + state.accumulated;
  if (clipsInEpoch <= loopClips && clips === state.clips && batches === counted) return;
  throw new DataError(
    `Cannot resume from "${file}": sidenet.state: after ${formatCount(clipsInEpoch)} of ${
      formatCount(loopClips)
    } clips of ${
      nameOfLoop(epoch, solver.folds)
    } there must have been ${clips} clips in ${batches} batches, the current counts are ${state.clips} and ${counted}; the file has been damaged`,
  );
}

/**
 * Checks that a run can go on from a state with the config as it is now.
 *
 * @param written The recipe that the state was written with.
 * @returns What is different from now on, a line each.
 * @throws {ConfigError} where it cannot.
 */
export function resumeRemarks(
  config: Config,
  set: Epochs & Pick<TrainingSet, "id">,
  { state, recipe: written }: { state: RunState; recipe: StateRecipe },
): string[] {
  const { data, solver } = config, remarks: string[] = [];
  const group = solver.grad_accumulation_steps, groupThen = written.solver.grad_accumulation_steps;
  if (state.accumulated > 0 && group !== groupThen) {
    throw new ConfigError(
      `Cannot go on: solver.grad_accumulation_steps must be ${groupThen}, because the state holds the gradients of ${state.accumulated} of so many batches, current value is ${group}`,
    );
  }
  const { folds } = solver, { loopClips } = set, { clipsInEpoch } = state;
  requireFolds(config, { state, recipe: written });
  const loop = nameOfLoop(state.epoch, folds), several = folds > 1;
  const where = clipsInEpoch > 0
    ? `${loop} ${several ? "go" : "goes"} on after ${formatCount(clipsInEpoch)} of ${
      several ? "their" : "its"
    } ${formatCount(loopClips)} clips`
    : `${loop} ${several ? "begin" : "begins"} with it`;
  const changed = [
    ["data.batch_size", written.data.batch_size, data.batch_size],
    ["data.num_sample", written.data.num_sample, data.num_sample],
    ["solver.grad_accumulation_steps", groupThen, group],
    ["solver.folds", written.solver.folds, folds],
  ].filter(([, then, now]) => then !== now).map(([key, then, now]) => `${key} is ${now}, it was ${then}`);
  if (changed.length > 0) {
    const left = Math.max(0, totalSteps(config, set, state) - state.step);
    remarks.push(
      `${changed.join(", ")}: ${where}; ${
        formatCount(left)
      } steps are left, and the learning rate follows the share of the ${
        several ? "loop" : "epoch"
      } that is done`,
    );
  }
  if (state.set !== null && state.set !== set.id) {
    const lost = clipsInEpoch === 0
      ? where
      : clipsInEpoch >= loopClips
      ? `${loop} ${several ? "count" : "counts"} as done: ${
        formatCount(clipsInEpoch)
      } clips have been seen, ${several ? "they now have" : "it now has"} ${formatCount(loopClips)}`
      : `${where}, of which some come a second time in ${several ? "them" : "it"} and others not at all`;
    remarks.push(
      `the training clips or their order are others than when the state was saved (data.train_list, data.shots, data.balance${
        folds === written.solver.folds ? "" : ", solver.folds"
      } or seed): ${lost}`,
    );
  }
  return remarks;
}

/** The epochs of a loop in words. @param epoch Its first one, from 0. */
function nameOfLoop(epoch: number, folds: number): string {
  return folds === 1 ? `epoch ${epoch + 1}` : `epochs ${epoch + 1} to ${epoch + folds}`;
}

/**
 * Other loops begin where one of those before has ended, and end with the run.
 *
 * @throws {ConfigError} where they do not.
 */
function requireFolds(
  { solver: { folds, epochs } }: Config,
  { state, recipe: { solver: written } }: SavedState,
): void {
  if (folds === written.folds || state.clipsInEpoch === 0 && (epochs - state.epoch) % folds === 0) return;
  const why = state.clipsInEpoch > 0
    ? `the state is within ${nameOfLoop(state.epoch, written.folds)}, which are one loop`
    : `the ${epochs - state.epoch} epochs that are left are no whole number of loops of ${folds}`;
  throw new ConfigError(
    `Cannot go on: solver.folds must be ${written.folds}, because ${why}, current value is ${folds}`,
  );
}
