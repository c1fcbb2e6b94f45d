/** Measured kernel choices on disk: one JSON object, key to variant name (`gpu/tuning/family.ts`). */

import { textOfFileIfAny, writeFileWhole } from "../../../data/files.ts";
import { DataError } from "../../../lib/errors.ts";

/** Choices by key. */
export type ChoicesByKey = ReadonlyMap<string, string>;

/** What a measurement of kernels found. */
export interface Measured {
  /** The new choices; of launches for which the time did not suffice their defaults, so that they are not tried in every run. */
  readonly choices: ChoicesByKey;
  /** Launches that were measured, and those of them that will not run their default. */
  readonly measured: number;
  readonly changed: number;
  readonly seconds: number;
  /** Launches that were left to their defaults, because the time was up. */
  readonly left: number;
  /** What was wrong with kernels that will not run, a line each. */
  readonly wrong: readonly string[];
}

/** The choices of this machine, and what becomes of new ones. */
export interface TunedChoices {
  readonly known: ChoicesByKey;
  /** Keeps further ones. Without it nothing is measured. */
  keep?(measured: Measured): Promise<void>;
}

/** Reads the file; none gives no choices. */
export async function readChoices(path: string): Promise<ChoicesByKey> {
  const text = await textOfFileIfAny(path);
  if (text === null) return new Map();
  try {
    const entries = Object.entries(JSON.parse(text) as Record<string, unknown>);
    return new Map(entries.filter((entry): entry is [string, string] => typeof entry[1] === "string"));
  } catch {
    throw new DataError(
      `Cannot read "${path}": it must be a JSON object of kernel choices; delete it and run \`sidenet bench tune\``,
    );
  }
}

/** Adds choices to the file, and makes it and its folder when they are missing. Another process may have added some meanwhile. */
export async function addChoices(path: string, choices: ChoicesByKey): Promise<void> {
  const all = new Map([...await readChoices(path), ...choices]);
  await writeFileWhole(path, JSON.stringify(Object.fromEntries([...all].sort()), null, 1) + "\n");
}
