/** A recorded reference case, wherever its description and its tensors come from. */

import { DataError } from "../../lib/errors.ts";
import type { WeightSource } from "../../models/params.ts";
import type { CaseDescription, ReferenceCase } from "./case.ts";

/**
 * Refuses what is no description of a case.
 *
 * @throws {DataError}
 */
export function requireDescription(description: CaseDescription, path: string): void {
  const isWithoutNetwork = Array.isArray(description?.strings) || Array.isArray(description?.cases);
  if (
    typeof description?.system !== "string" || (typeof description.config !== "object" && !isWithoutNetwork)
  ) {
    throw new DataError(
      `Cannot read case "${path}": it must have "system" and "config", or "strings" or "cases", as in a recorded reference case`,
    );
  }
}

/** A case whose tensors are those of an open file, which is the case's from now on. */
export function referenceCase(
  source: WeightSource & Partial<AsyncDisposable>,
  description: CaseDescription,
): ReferenceCase {
  const all = [...source.names()];
  return {
    description,
    has: (name) => source.shapeOf(name) !== undefined,
    names: (prefix) => all.filter((name) => name.startsWith(prefix)),
    shapeOf: (name) => source.shapeOf(name)!,
    read: (name) => source.readF32(name),
    [Symbol.asyncDispose]: async () => await source[Symbol.asyncDispose]?.(),
  };
}
