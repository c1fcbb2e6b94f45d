/** The page parts of tasks, by the task's name. */

import { CLASSIFICATION } from "../../train/tasks/classification.ts";
import { CLASSIFICATION_PARTS } from "./classification.ts";
import { RETRIEVAL } from "../../train/tasks/retrieval.ts";
import type { PageParts } from "./parts.ts";
import { RETRIEVAL_PARTS } from "./retrieval.ts";

const PARTS = new Map<string, PageParts>([
  [CLASSIFICATION.id, CLASSIFICATION_PARTS],
  [RETRIEVAL.id, RETRIEVAL_PARTS],
]);

/** Adds the page parts of a task, or replaces those that it has. */
export function registerPageParts(taskId: string, parts: PageParts): void {
  PARTS.set(taskId, parts);
}

/** The page parts of a task; none of a task that has no record here. */
export function pagePartsOf(taskId: string): PageParts {
  return PARTS.get(taskId) ?? {};
}
