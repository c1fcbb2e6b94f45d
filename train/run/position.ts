/**
 * Where a run stands in its epochs, counted in clips: what is still to come follows from the config as it is now, so that a run
 * keeps its place with another batch size, another accumulation or another limit.
 */

import { formatCount } from "../../lib/text.ts";
import { ConfigError } from "../../lib/errors.ts";
import { epochBatches, type TrainingSet } from "../feed/training_set.ts";
import type { RunState, StateRecipe } from "../files/run_state.ts";
import type { Config } from "../recipe/config.ts";

type Place = Pick<RunState, "epoch" | "clipsInEpoch" | "step" | "accumulated">;
type Epochs = Pick<TrainingSet, "epochClips">;

/** Optimiser steps of the whole run, for a run that stands at a place. */
export function totalSteps(config: Config, set: Epochs, place: Place): number {
  const { epochs, max_steps: most, grad_accumulation_steps: group } = config.solver;
  const whole = Math.max(0, epochs - place.epoch - 1);
  const inEpoch = place.epoch < epochs ? epochBatches(config, set, place.clipsInEpoch).batches : 0;
  const batches = inEpoch + whole * epochBatches(config, set).batches;
  const all = place.step + Math.floor((place.accumulated + batches) / group);
  return Math.min(all, most ?? all);
}

/** Batches of this size, and parts of one, that have gone by in the epoch: what the learning rate follows. */
export function batchesDone(
  { data }: Pick<Config, "data">,
  { clipsInEpoch }: Pick<Place, "clipsInEpoch">,
): number {
  return clipsInEpoch / data.batch_size;
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
  const { epochClips } = set, { clipsInEpoch } = state;
  const where = clipsInEpoch > 0
    ? `epoch ${state.epoch + 1} goes on after ${formatCount(clipsInEpoch)} of its ${
      formatCount(epochClips)
    } clips`
    : `epoch ${state.epoch + 1} begins with it`;
  const changed = [
    ["data.batch_size", written.data.batch_size, data.batch_size],
    ["data.num_sample", written.data.num_sample, data.num_sample],
    ["solver.grad_accumulation_steps", groupThen, group],
  ].filter(([, then, now]) => then !== now).map(([key, then, now]) => `${key} is ${now}, it was ${then}`);
  if (changed.length > 0) {
    const left = Math.max(0, totalSteps(config, set, state) - state.step);
    remarks.push(
      `${changed.join(", ")}: ${where}; ${
        formatCount(left)
      } steps are left, and the learning rate follows the share of the epoch that is done`,
    );
  }
  if (state.set !== null && state.set !== set.id) {
    const lost = clipsInEpoch === 0
      ? where
      : clipsInEpoch >= epochClips
      ? `epoch ${state.epoch + 1} counts as done: ${
        formatCount(clipsInEpoch)
      } clips have been seen, it now has ${formatCount(epochClips)}`
      : `${where}, of which some come a second time in it and others not at all`;
    remarks.push(
      `the training clips or their order are others than when the state was saved (data.train_list, data.shots, data.balance or seed): ${lost}`,
    );
  }
  return remarks;
}
