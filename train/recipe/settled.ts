/** Recipes as checkpoints hold them: settled, in the recipe's own layout. Files, dialects and arguments are `config.ts`. */

import { settleConfig } from "./_resolve.ts";
import type { Config } from "./_settled.ts";
import { schemaError } from "./errors.ts";
import { recipeSchema } from "./schema.ts";
import type { Tree } from "./tree.ts";

export type { Config } from "./_settled.ts";

/**
 * Reads a settled recipe.
 *
 * @param source The file that holds it, for messages.
 * @throws {ConfigError} naming the key that is not as it must be.
 */
export function settledRecipe(value: unknown, source: string): Config {
  const { schema, names } = recipeSchema(), parsed = schema.safeParse(value);
  if (!parsed.success) {
    throw schemaError(parsed.error.issues, { source, tree: value as Tree, setBy: new Map(), known: names });
  }
  return settleConfig(parsed.data, { source, runName: "run" });
}
