/** Measured rates on disk: one JSON object, adapter to what was measured on it. */

import { z } from "zod";
import { textOfFileIfAny, writeFileWhole } from "../../data/files.ts";
import { ADAPTER_RATES, type AdapterRates } from "./rates.ts";

/** Rates by `ratesKey`. */
export type RatesByAdapter = ReadonlyMap<string, AdapterRates>;

/** Reads the file. None gives no rates, and so does one that cannot be read: what was measured can be measured again. */
export async function readRates(path: string): Promise<RatesByAdapter> {
  try {
    const rates = JSON.parse(await textOfFileIfAny(path) ?? "{}");
    return new Map(Object.entries(z.record(z.string(), ADAPTER_RATES).parse(rates)));
  } catch {
    return new Map();
  }
}

/** Writes the file, and its folder when that is missing. */
export async function writeRates(path: string, rates: RatesByAdapter): Promise<void> {
  await writeFileWhole(path, JSON.stringify(Object.fromEntries([...rates].sort())) + "\n");
}
