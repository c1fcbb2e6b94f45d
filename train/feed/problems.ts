/** What was wrong with the data of a run: each problem told once, a limited number kept, all counted. */

import { z } from "zod";
import type { Substitution } from "../../data/frames/decoded_clip.ts";
import type { LoadedClip } from "../../data/loader.ts";
import { formatCount } from "../../lib/text.ts";

const DATA_PROBLEM = z.object({
  path: z.string(),
  /** What was wrong, and what was done instead. */
  problem: z.string(),
});

/** A frame or clip that could not be used as it is. */
export type DataProblem = z.infer<typeof DATA_PROBLEM>;

/** Problems told, and kept for the summary and the report; more are only counted. */
const MAX_PROBLEMS_KEPT = 1000;

/** The end of a problem that names the clip shown instead, which is another one in every epoch. */
const STAND_IN = /; ".*" of its class is used instead$/s;

/** What a state keeps of the problems of its run. */
export const SAVED_PROBLEMS = z.object({
  /** Number met, repetitions included. */
  count: z.int().nonnegative(),
  /** The different ones, oldest first. */
  list: z.array(DATA_PROBLEM),
});

/** The problems of a run so far, as its state keeps them. */
export type SavedProblems = z.infer<typeof SAVED_PROBLEMS>;

/** Collects the problems of a run. */
export class ProblemLog {
  readonly #kept = new Map<string, DataProblem>();
  readonly #tell?: (text: string) => void;
  #count = 0;
  #full = false;

  /** @param tell Called with every problem that was not met before. */
  constructor(tell?: (text: string) => void) {
    this.#tell = tell;
  }

  /** Number of problems met, repetitions included. */
  get count(): number {
    return this.#count;
  }

  /** Number of different problems; of very many, those that are kept. */
  get different(): number {
    return this.#kept.size;
  }

  /** The different problems, oldest first. */
  get list(): DataProblem[] {
    return [...this.#kept.values()];
  }

  /** What a state keeps. */
  get saved(): SavedProblems {
    return { count: this.#count, list: this.list };
  }

  /** Goes on from those of the part of a run before an interruption, which are not told again. */
  restore({ count, list }: SavedProblems): void {
    this.#count = count;
    for (const problem of list) this.#kept.set(keyOf(problem), problem);
  }

  add(problem: DataProblem): void {
    const key = keyOf(problem);
    this.#count++;
    if (this.#kept.has(key) || this.#full) return;
    if (this.#kept.size === MAX_PROBLEMS_KEPT) {
      this.#full = true;
      this.#tell?.(
        `more than ${
          formatCount(MAX_PROBLEMS_KEPT)
        } frames or clips cannot be used: the others are only counted`,
      );
      return;
    }
    this.#kept.set(key, problem);
    this.#tell?.(`${problem.path}: ${problem.problem}`);
  }
}

function keyOf({ path, problem }: DataProblem): string {
  return `${path}\n${problem.replace(STAND_IN, "")}`;
}

/** How many problems there were, in words. */
export function describeProblems(count: number): string {
  return count === 1
    ? "1 frame or clip could not be used as it is"
    : `${formatCount(count)} frames or clips could not be used as they are`;
}

function describeUsed(used: Substitution["used"]): string {
  if (typeof used === "number") return `frame ${used} is used instead`;
  if (typeof used === "object") return `"${used.clip}" of its class is used instead`;
  return used === "its own count" ? "its own count is used" : used;
}

/** What had to be replaced in a clip, in words. */
export function problemsOf(clip: LoadedClip): DataProblem[] {
  const problems = clip.substitutions.map(({ path, frame, reason, used }) => ({
    path,
    problem: `${frame === 0 ? "clip" : `frame ${frame}`}: ${reason}; ${describeUsed(used)}`,
  }));
  if (clip.bad && problems.length === 0) {
    problems.push({ path: clip.path, problem: "nothing could be read; shown black" });
  }
  return problems;
}
