/** A short name for what a recipe asks for: equal for runs with equal settings, wherever their files lie. */

import { createHash } from "node:crypto";
import type { Config } from "./config.ts";
import { isFolder } from "./frame_cache.ts";

/** Keys that say where things lie, what they are called and what is shown of them, and change nothing that is computed. */
const PLACES: readonly string[] = [
  "name",
  "run_root",
  "started_in",
  "resume",
  "logging",
  "data.root",
  "data.train_root",
  "data.val_root",
  "data.train_list",
  "data.val_list",
  "data.label_list",
  "data.workers",
  "data.cache_mb",
  "data.features",
  "network.weights",
];
/** It matters how frames are kept, because those that are have shrunk, and not in which folder. */
const FRAME_CACHE = "data.frame_cache";
const DIGITS = 12;

/** The first digits of the SHA-256 of a recipe's settings, without the keys that only say where things lie. */
export function recipeHash(config: Config): string {
  const lines: string[] = [];
  collect(config, "", lines);
  return createHash("sha256").update(lines.sort().join("\n")).digest("hex").slice(0, DIGITS);
}

/** Every setting as `key: value`, in a form that does not depend on the order of keys. */
function collect(value: unknown, key: string, lines: string[]): void {
  if (PLACES.includes(key)) return;
  if (key === FRAME_CACHE && isFolder(value as string | null)) return void lines.push(`${key}: a folder`);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    lines.push(`${key}: ${JSON.stringify(value) ?? "null"}`);
    return;
  }
  for (const [name, own] of Object.entries(value)) collect(own, key === "" ? name : `${key}.${name}`, lines);
}
