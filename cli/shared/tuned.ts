/** Where measured kernel choices are kept: `$XDG_CACHE_HOME/sidenet/tuned.json`, or under `~/.cache`. */
import { join } from "node:path";
import { readChoices, type TunedChoices } from "../../train/runtime/device/tuned.ts";

/** Path of the file; null where no home is known. */
export function tunedFile(): string | null {
  const home = Deno.env.get("HOME") ?? Deno.env.get("USERPROFILE");
  const cache = Deno.env.get("XDG_CACHE_HOME") ?? (home ? join(home, ".cache") : undefined);
  return cache ? join(cache, "sidenet", "tuned.json") : null;
}

/** The choices measured so far on this machine. */
export async function tunedChoices(): Promise<TunedChoices> {
  const path = tunedFile();
  return path === null ? new Map() : await readChoices(path);
}
