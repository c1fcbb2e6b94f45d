/** A run goes on with the network that it began with. */

import { isDeepStrictEqual } from "node:util";
import { systemOf } from "../../models/registry.ts";
import { shown, valueAt } from "../../data/schema.ts";
import { ConfigError } from "../../lib/errors.ts";
import type { Config } from "./config.ts";
import { recipeSchema } from "./schema.ts";

/**
 * Refuses keys that make another network of a run, whose weights would be read into it where the shapes happen to fit.
 *
 * @param written The recipe that the state was written with, as it lies in the file.
 * @throws {ConfigError} naming the first of them.
 */
export function requireSameModel(config: Config, written: unknown): void {
  const before = sizesOf(written);
  // A recipe of an earlier version, which lacks keys, says nothing; the shapes of the weights are checked in any case.
  if (before === null || isDeepStrictEqual(before, sizesOf(config))) return;
  for (const { name } of recipeSchema().keys) {
    const path = name.split("."), then = valueAt(written, path), now = valueAt(config, path);
    if (isDeepStrictEqual(then, now)) continue;
    if (isDeepStrictEqual(sizesOf(withValue(written, path, now)), before)) continue;
    throw new ConfigError(
      `Cannot go on: ${name} must be ${
        shown(then)
      }, because the run's network was made with it, current value is ${
        shown(now)
      }; a new run takes its weights with pretrain=RUN/best.safetensors`,
    );
  }
}

function sizesOf(recipe: unknown): unknown {
  try {
    // Settled and written by this program, or it fails.
    const config = recipe as Config;
    // As JSON, because the recipe of a state has been through it.
    return JSON.parse(JSON.stringify(systemOf(config.system).recipe.sizes(config)));
  } catch {
    return null;
  }
}

function withValue(recipe: unknown, [key, ...rest]: readonly string[], value: unknown): unknown {
  const own = rest.length === 0 ? value : withValue(valueAt(recipe, [key]), rest, value);
  return { ...recipe as Record<string, unknown>, [key]: own };
}
