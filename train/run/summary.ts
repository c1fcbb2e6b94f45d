/** The figures of a finished run, as `summary.json` holds them. */

import type { RunState } from "../files/run_state.ts";
import type { Config } from "../recipe/config.ts";
import type { ProblemLog } from "../feed/problems.ts";
import type { Summary } from "../files/run_folder.ts";
import type { Session } from "../runtime/session.ts";
import type { Evaluation, Task } from "../tasks/task.ts";
import { patienceFigures } from "./patience.ts";
import { currentEpoch } from "./position.ts";

/** Puts a run's summary together. */
export function summarise(run: {
  config: Config;
  task: Pick<Task, "metrics" | "best" | "id">;
  session: Pick<Session, "memory" | "allocatedBytes" | "adapter">;
  state: RunState;
  /** The last evaluation; null when none was made. */
  evaluation: Evaluation | null;
  /** Scalars that train. */
  trainable: number;
  /** Scalars that do not. */
  frozen: number;
  problems: ProblemLog;
  /** Clips that are trained on, and clips of a loop, repetitions included. */
  set: { clips: { length: number }; loopClips: number };
}): Summary {
  const { config, task, session, state, evaluation, trainable, frozen, problems, set } = run;
  return {
    system: config.system,
    backbone: config.network.arch,
    ...evaluation?.metrics ?? Object.fromEntries(task.metrics.map(({ key }) => [key, 0])),
    // An epoch that a limit of steps cut short counts.
    epochs: state.clipsInEpoch > 0 ? currentEpoch(config, set, state) + 1 : state.epoch,
    steps: state.step,
    clips: state.clips,
    training_clips: set.clips.length,
    epoch_clips: Math.floor(set.loopClips / config.solver.folds),
    seconds: round(state.seconds),
    clips_per_second: round(state.clips / Math.max(state.seconds, 1e-9)),
    gpu_bytes_planned: session.memory.total,
    gpu_bytes_allocated: session.allocatedBytes,
    trainable_parameters: trainable,
    frozen_parameters: frozen,
    adapter: session.adapter,
    best: state.best,
    ...state.baseline && { baseline: state.baseline },
    final_train_loss: state.lastLoss,
    ...config.solver.skip_nonfinite !== null && { skipped_updates: state.skipped.total },
    ...config.solver.ema !== null && { ema: config.solver.ema },
    ...patienceFigures(config, task, state),
    data_problems: problems.different,
    broken: problems.list,
  };
}

/** Three decimals, for figures that are read by people. */
export function round(x: number): number {
  return Math.round(x * 1000) / 1000;
}
