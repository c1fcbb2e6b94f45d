/** Measured kernel choices on disk: one JSON object, key to variant name (`gpu/tuning/family.ts`). */

import { textOfFileIfAny, writeFileWhole } from "../../../data/files.ts";
import { DataError } from "../../../lib/errors.ts";

/** Choices by key. */
export type TunedChoices = ReadonlyMap<string, string>;

/** Reads the file; none gives no choices. */
export async function readChoices(path: string): Promise<TunedChoices> {
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

/** Writes the file, and its folder when that is missing. */
export async function writeChoices(path: string, choices: TunedChoices): Promise<void> {
  await writeFileWhole(path, JSON.stringify(Object.fromEntries([...choices].sort()), null, 1) + "\n");
}
