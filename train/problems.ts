/** What was wrong with the data of a run: each problem told once, a limited number kept, all counted. */

import type { DataProblem } from "./report.ts";

/** Problems kept for the summary and the report; more are only counted. */
const MAX_PROBLEMS_KEPT = 1000;

/** Collects the problems of a run. */
export class ProblemLog {
  readonly #kept = new Map<string, DataProblem>();
  readonly #tell?: (text: string) => void;
  #count = 0;

  /** @param tell Called with every problem that was not met before. */
  constructor(tell?: (text: string) => void) {
    this.#tell = tell;
  }

  /** Number of problems met, repetitions included. */
  get count(): number {
    return this.#count;
  }

  /** The different problems, oldest first. */
  get list(): DataProblem[] {
    return [...this.#kept.values()];
  }

  add(problem: DataProblem): void {
    const key = `${problem.path}\n${problem.problem}`;
    this.#count++;
    if (this.#kept.has(key)) return;
    if (this.#kept.size < MAX_PROBLEMS_KEPT) this.#kept.set(key, problem);
    this.#tell?.(`${problem.path}: ${problem.problem}`);
  }
}
