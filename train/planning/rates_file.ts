/** Measured rates on disk: one JSON object, adapter to what was measured on it. */

import { z } from "zod";
import { cachedJson, writeFileWhole } from "../../data/files.ts";
import { ADAPTER_RATES, type AdapterRates } from "./rates.ts";

/** Rates by `ratesKey`. */
export type RatesByAdapter = ReadonlyMap<string, AdapterRates>;

/**
 * Reads the file. None gives no rates, and so does one that cannot be read: what was measured can be measured again.
 *
 * @param tell Told in a line what is wrong with the file.
 */
export async function readRates(
  path: string,
  tell: (line: string) => void = () => {},
): Promise<RatesByAdapter> {
  const parse = (json: unknown) => z.record(z.string(), ADAPTER_RATES).parse(json);
  const rates = await cachedJson(
    path,
    parse,
    (problem) =>
      tell(`warning: ${problem}; no rates of adapters are known until bench peak has written it anew`),
  );
  return new Map(Object.entries(rates ?? {}));
}

/** Writes the file, and its folder when that is missing. */
export async function writeRates(path: string, rates: RatesByAdapter): Promise<void> {
  await writeFileWhole(path, JSON.stringify(Object.fromEntries([...rates].sort())) + "\n");
}
