/** Where measured peaks and rates are kept: `peaks.json` beside the choices of kernels. */
import { dirname, join } from "node:path";
import { requireWritableFolder } from "../../data/files.ts";
import type { AdapterIdentity } from "../../gpu/adapter.ts";
import { type AdapterRates, ratesKey } from "../../train/planning/rates.ts";
import { type RatesByAdapter, readRates, writeRates } from "../../train/planning/rates_file.ts";
import { userCache } from "../shared/cache.ts";
import type { Io } from "../shared/output.ts";

/** Path of the file; null where no home is known. */
export function ratesFile(): string | null {
  const cache = userCache();
  return cache === null ? null : join(cache, "peaks.json");
}

/** All that has been measured on this machine; a file that cannot be read is told of. */
export async function knownRates(io: Pick<Io, "note">): Promise<RatesByAdapter> {
  const path = ratesFile();
  return path === null ? new Map() : await readRates(path, io.note);
}

/** What has been measured on an adapter. */
export async function ratesOf(adapter: AdapterIdentity, io: Pick<Io, "note">): Promise<AdapterRates | null> {
  return (await knownRates(io)).get(ratesKey(adapter)) ?? null;
}

/** Refuses a cache that cannot be written to, before anything is measured. */
export async function requireRatesFolder(): Promise<void> {
  const path = ratesFile();
  if (path !== null) await requireWritableFolder(dirname(path));
}

/** Keeps what was measured on an adapter. @returns The file; null where no home is known. */
export async function keepRates(adapter: AdapterIdentity, rates: AdapterRates): Promise<string | null> {
  const path = ratesFile();
  if (path !== null) await writeRates(path, new Map([...await readRates(path), [ratesKey(adapter), rates]]));
  return path;
}
