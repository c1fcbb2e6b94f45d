/** The tasks that networks can be trained for, by name. */

import { CLASSIFICATION } from "./classification.ts";
import { RETRIEVAL } from "./retrieval.ts";
import type { Task } from "./task.ts";

const TASKS = new Map<string, Task>([CLASSIFICATION, RETRIEVAL].map((task) => [task.id, task]));

/** Adds a task, or replaces the one of its name. */
export function registerTask(task: Task): void {
  TASKS.set(task.id, task);
}

/**
 * The task of a name.
 *
 * @throws {RangeError} naming those there are.
 */
export function taskOf(id: string): Task {
  const task = TASKS.get(id);
  if (task) return task;
  throw new RangeError(`Cannot use task "${id}": it must be one of ${[...TASKS.keys()].join(", ")}`);
}
