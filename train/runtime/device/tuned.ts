/** Measured kernel choices on disk: one JSON object, key to variant name (`gpu/tuning/family.ts`). */

import { cachedJson, writeFileWhole } from "../../../data/files.ts";

/** Choices by key. */
export type ChoicesByKey = ReadonlyMap<string, string>;

/** What a measurement of kernels found. */
export interface Measured {
  /** The new choices. */
  readonly choices: ChoicesByKey;
  /** Launches that were measured, and those of them that will not run their default. */
  readonly measured: number;
  readonly changed: number;
  readonly seconds: number;
  /** Launches that keep their defaults until the next run, because the time was up. */
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

/**
 * Reads the file. None gives no choices, and so does one that cannot be read: what was measured can be measured again.
 *
 * @param tell Told in a line what is wrong with the file.
 */
export async function readChoices(
  path: string,
  tell: (line: string) => void = () => {},
): Promise<ChoicesByKey> {
  const parse = (json: unknown) => Object.entries(json as Record<string, unknown>);
  const entries = await cachedJson(
    path,
    parse,
    (problem) => tell(`warning: ${problem}; kernels are as if none had been measured on this machine`),
  );
  return new Map(entries?.filter((entry): entry is [string, string] => typeof entry[1] === "string"));
}

/** Adds choices to the file, and makes it and its folder when they are missing. Another process may have added some meanwhile. */
export async function addChoices(path: string, choices: ChoicesByKey): Promise<void> {
  const all = new Map([...await readChoices(path), ...choices]);
  await writeFileWhole(path, JSON.stringify(Object.fromEntries([...all].sort()), null, 1) + "\n");
}
