/** Stopping early (`solver.early_stop`): how long a run has waited for its task's best metric to become better, and what is said of it. */

import type { RunState } from "../files/run_state.ts";
import type { Config } from "../recipe/config.ts";
import { formatMetric } from "../tasks/metric_text.ts";
import { bestColumn, type Metrics, type Task } from "../tasks/task.ts";

type Patience = NonNullable<RunState["patience"]>;
type Limits = Pick<Config, "solver">;
type Judged = Pick<Task, "best" | "metrics" | "id">;

/** What a run has waited once more has been evaluated: not at all where it is better by more than `solver.early_stop_delta`. */
export function waitedAfter(
  { solver: { early_stop_delta: delta } }: Limits,
  evaluation: { task: Judged; metrics: Metrics; epoch: number },
  before: Patience | undefined,
): Patience {
  const { better, key } = bestColumn(evaluation.task), value = evaluation.metrics[key];
  const gain = before === undefined ? Infinity : (better === "more" ? 1 : -1) * (value - before.best);
  return before === undefined || gain > delta
    ? { best: value, epoch: evaluation.epoch, waited: 0 }
    : { ...before, waited: before.waited + 1 };
}

/** Whether a run has waited as long as its recipe allows. */
export function isOutOfPatience(
  { solver: { early_stop: most } }: Limits,
  { patience }: Pick<RunState, "patience">,
): boolean {
  return most !== null && patience !== undefined && patience.waited >= most;
}

/** Whether a run has ended because it was out of patience, and not because it was at its end. */
export function hasStoppedEarly(
  config: Limits,
  state: Pick<RunState, "patience" | "epoch" | "step" | "clipsInEpoch">,
): boolean {
  const { epochs, max_steps: most } = config.solver;
  return isOutOfPatience(config, state) && state.clipsInEpoch === 0 && state.epoch < epochs &&
    state.step < (most ?? Infinity);
}

/** Why a run that is out of patience has stopped, in words. */
export function whyStopped(
  { solver: { early_stop_delta: delta } }: Limits,
  task: Judged,
  waited: Patience,
): string {
  const column = bestColumn(task), { best, epoch, waited: count } = waited;
  const by = delta > 0 ? ` by more than ${delta}` : "";
  return `stopped early: ${column.name} ${formatMetric(column, best)} of epoch ${
    epoch + 1
  } has not been bettered${by} in ${count} ${
    count === 1 ? "evaluation" : "evaluations"
  }, where an equal one does not count`;
}

/** What `summary.json` says of it. */
export function patienceFigures(config: Limits, task: Judged, state: Parameters<typeof hasStoppedEarly>[1]) {
  const { early_stop: patience, early_stop_delta: delta } = config.solver;
  if (patience === null) return {};
  const stopped = hasStoppedEarly(config, state);
  return {
    early_stop: {
      stopped,
      reason: stopped ? whyStopped(config, task, state.patience!) : null,
      metric: task.best,
      patience,
      min_delta: delta,
      waited: state.patience?.waited ?? 0,
    },
  };
}
