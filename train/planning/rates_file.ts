/** Measured rates on disk: one JSON object, adapter to what was measured on it. */

import { z } from "zod";
import { textOfFileIfAny, writeFileWhole } from "../../data/files.ts";
import { DataError } from "../../lib/errors.ts";
import { ADAPTER_RATES, type AdapterRates } from "./rates.ts";

/** Rates by `ratesKey`. */
export type RatesByAdapter = ReadonlyMap<string, AdapterRates>;

/** Reads the file; none gives no rates. */
export async function readRates(path: string): Promise<RatesByAdapter> {
  const text = await textOfFileIfAny(path);
  if (text === null) return new Map();
  try {
    return new Map(Object.entries(z.record(z.string(), ADAPTER_RATES).parse(JSON.parse(text))));
  } catch {
    throw new DataError(
      `Cannot read "${path}": it must be a JSON object of measured rates; delete it and run \`sidenet bench peak\``,
    );
  }
}

/** Writes the file, and its folder when that is missing. */
export async function writeRates(path: string, rates: RatesByAdapter): Promise<void> {
  await writeFileWhole(path, JSON.stringify(Object.fromEntries([...rates].sort())) + "\n");
}
