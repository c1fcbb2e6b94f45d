/** How a run ended, or that it has not: from its lock, its summary and its last state. */

import { join } from "node:path";
import { lockStateOf } from "../../data/folder_lock.ts";
import { savedState } from "../files/checkpoint.ts";
import { textOfFileIfAny } from "../../data/files.ts";
import { parseSummary } from "../files/records.ts";
import { lastOfName, readMetrics, RUN_FILES } from "../files/run_folder.ts";

/**
 * "ended": all that its recipe asks for is done; "under way": a process is at it; "stopped": by a signal, with everything saved;
 * "failed": it was killed or met an error, and what it did after its last state is lost.
 */
export type Outcome = "ended" | "under way" | "stopped" | "failed";

/** An outcome, and the step of the state from which the run could go on; null where there is none. */
export interface RunEnd {
  readonly outcome: Outcome;
  readonly savedStep: number | null;
}

/**
 * Tells how a run ended.
 *
 * @param told.summary The step of its summary; null where it has none.
 * @param told.last The last step of its metrics, 0 where it has none.
 */
export async function runEnd(path: string, told: { summary: number | null; last: number }): Promise<RunEnd> {
  const lock = await lockStateOf(path);
  const savedStep = await savedState(join(path, RUN_FILES.state)).then(({ step }) => step, () => null);
  if (lock === "held") return { outcome: "under way", savedStep };
  // A run that was gone on with has its earlier summary until it ends again.
  if (told.summary !== null && told.summary >= Math.max(told.last, savedStep ?? 0)) {
    return { outcome: "ended", savedStep };
  }
  // Whoever stops a run has it save its state and give up its lock.
  const isSaved = savedStep !== null && savedStep >= told.last;
  return { outcome: lock !== "left" && isSaved ? "stopped" : "failed", savedStep };
}

/** A run that could be gone on with. */
export interface UnfinishedRun extends RunEnd {
  readonly path: string;
}

/** The last run of a name where it was stopped or failed; null where it has ended or is under way, or what lies there is no run. */
export async function unfinishedRun(root: string, name: string): Promise<UnfinishedRun | null> {
  const path = await lastOfName(root, name);
  if (path === null) return null;
  try {
    await Deno.stat(join(path, RUN_FILES.config));
    const file = join(path, RUN_FILES.summary), text = await textOfFileIfAny(file);
    const { steps, evals } = await readMetrics(path);
    const last = Math.max(steps.at(-1)?.step ?? 0, evals.at(-1)?.step ?? 0);
    const summary = text === null ? null : parseSummary(text, file).steps ?? null;
    const end = await runEnd(path, { summary, last });
    return end.outcome === "stopped" || end.outcome === "failed" ? { path, ...end } : null;
  } catch {
    return null; // what cannot be read is no reason against another run
  }
}
