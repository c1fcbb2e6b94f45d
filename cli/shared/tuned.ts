/** Where measured kernel choices are kept: `$XDG_CACHE_HOME/sidenet/tuned.json`, or under `~/.cache`. */
import { join } from "node:path";
import { readChoices, type TunedChoices } from "../../train/runtime/device/tuned.ts";
import { userCache } from "./cache.ts";

/** Path of the file; null where no home is known. */
export function tunedFile(): string | null {
  const cache = userCache();
  return cache === null ? null : join(cache, "tuned.json");
}

/** The choices measured so far on this machine. */
export async function tunedChoices(): Promise<TunedChoices> {
  const path = tunedFile();
  return path === null ? new Map() : await readChoices(path);
}
