/** The dialects, and which one a recipe is written in. */

import { recipeSchema } from "../schema.ts";
import type { Tree } from "../tree.ts";
import type { Dialect } from "./dialect.ts";
import { dist } from "./dist.ts";
import { side4video } from "./side4video.ts";

const registered: Dialect[] = [dist];

/**
 * Makes a dialect known.
 *
 * @throws {RangeError} where its name is taken.
 */
export function registerDialect(dialect: Dialect): void {
  if (dialect.id === side4video.id || registered.some(({ id }) => id === dialect.id)) {
    throw new RangeError(
      `Cannot register a dialect: its id must be a new one, current value is "${dialect.id}"`,
    );
  }
  registered.push(dialect);
}

/** The dialect of a recipe: the first that knows it, else the one whose layout is the recipe's own. */
export function dialectOf(tree: Tree): Dialect {
  return registered.find((dialect) => dialect.recognises(tree)) ?? side4video;
}

/** Whether an argument is a key of some dialect that stands in front of its value. */
export function isPairKey(argument: string): boolean {
  return registered.some((dialect) => dialect.isPairKey?.(argument));
}

/** All dialects. */
export function dialects(): readonly Dialect[] {
  return [side4video, ...registered];
}

/** Keys and sections that `key=value` arguments may name on top of a recipe in its own layout. */
export function argumentNames(): string[] {
  return [...recipeSchema().names, ...side4video.keys ?? []];
}
