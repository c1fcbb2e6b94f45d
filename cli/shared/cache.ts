/** The folder that this tool keeps things in for all of a user's projects. */
import { join } from "node:path";

/** `$XDG_CACHE_HOME/sidenet`, or `~/.cache/sidenet`; null where no home is known. */
export function userCache(): string | null {
  const home = Deno.env.get("HOME") || Deno.env.get("USERPROFILE");
  const cache = Deno.env.get("XDG_CACHE_HOME") || (home ? join(home, ".cache") : undefined);
  return cache ? join(cache, "sidenet") : null;
}
