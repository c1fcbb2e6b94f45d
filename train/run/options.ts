/** What a run is given, what it tells while it goes on, and what comes of it. */

import type { TellStage } from "../../lib/stage.ts";
import type { World } from "../../mpi/world.ts";
import type { DataProblem } from "../feed/problems.ts";
import type { EvalRecord, RunFolder, StepRecord, Summary } from "../files/run_folder.ts";
import type { Config } from "../recipe/config.ts";
import type { TunedChoices } from "../runtime/device/tuned.ts";
import type { EarlyDevice } from "../runtime/open_session.ts";
import type { Session } from "../runtime/session.ts";
import type { Evaluation } from "../tasks/task.ts";
import type { TimeLeft } from "./pace.ts";

/** What is known once the session is open. */
export type OpenedSession = Pick<Session, "adapter" | "memory" | "allocatedBytes" | "launches">;

/** The whole of a run, and the time that is left of it. */
export interface Totals extends TimeLeft {
  steps: number;
  epochs: number;
}

/** Where a run stands between two lines of metrics. */
export interface Moved extends Totals {
  step: number;
  /** Whether the GPU has done all steps up to this one; otherwise it was handed them. */
  isDone: boolean;
}

/** What a run tells while it goes on. */
export interface TrainEvents {
  opened?: (session: OpenedSession, run: { steps: number; trainable: number; frozen: number }) => void;
  /** What is being done until the first step. */
  stage?: TellStage;
  /** A batch has been handed to the GPU, or what was handed to it is done. */
  moved?: (at: Moved) => void;
  /** A line of metrics. */
  step?: (record: StepRecord, totals: Totals) => void;
  evaluating?: (done: number, total: number) => void;
  evaluated?: (record: EvalRecord, options: { best: boolean }) => void;
  /** The state of a step has been written. */
  saved?: (step: number) => void;
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
  /** The ranks that the run is shared by; one alone by default. All have the same config, rank 0 alone writes. */
  world?: World;
  /** A device that was opened ahead; the run's from now on. */
  early?: EarlyDevice;
}

/** What a finished run gives. */
export interface TrainResult {
  summary: Summary;
  /** The last evaluation; null when none was made. */
  evaluation: Evaluation | null;
  labels: string[];
  problems: DataProblem[];
}
