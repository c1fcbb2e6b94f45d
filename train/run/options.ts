/** What a run is given, what it tells while it goes on, and what comes of it. */

import type { DataProblem } from "../feed/problems.ts";
import type { EvalRecord, RunFolder, StepRecord, Summary } from "../files/run_folder.ts";
import type { Config } from "../recipe/config.ts";
import type { TunedChoices } from "../runtime/device/tuned.ts";
import type { Session } from "../runtime/session.ts";
import type { Evaluation } from "../tasks/task.ts";

/** What is known once the session is open. */
export type OpenedSession = Pick<Session, "adapter" | "memory" | "allocatedBytes" | "launches">;

/** What a run tells while it goes on. */
export interface TrainEvents {
  opened?: (session: OpenedSession, run: { steps: number; trainable: number; frozen: number }) => void;
  step?: (record: StepRecord, totals: { steps: number; epochs: number; secondsPerStep: number }) => void;
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
}

/** What a finished run gives. */
export interface TrainResult {
  summary: Summary;
  /** The last evaluation; null when none was made. */
  evaluation: Evaluation | null;
  labels: string[];
  problems: DataProblem[];
}
