/**
 * The interface of a dialect: a shape in which recipes are published. A dialect knows its files when it sees them and rewrites
 * them into the recipe's own layout; what it gives is then checked and settled like any recipe.
 */

import type { Tree } from "../tree.ts";

/** A published shape of recipes. */
export interface Dialect {
  /** Its name, for messages. */
  readonly id: string;
  /** Keys that its files have beside the recipe's own, dotted: to suggest where one is misspelt. */
  readonly keys?: readonly string[];
  /** The recipe's keys that have another name in its files, dotted, with what they follow from there. */
  readonly publishedNames?: ReadonlyMap<string, readonly string[]>;
  /**
   * Whether an argument is a key that stands in front of its value (`KEY VALUE`), whether there is such a key or it is misspelt; none
   * is when absent.
   */
  readonly isPairKey?: (argument: string) => boolean;
  /** Whether a file is written in it. `tree` is the file as it stands, without the files that it names. */
  recognises(tree: Tree): boolean;
  /**
   * Brings in the files that a file names (its parents). Left out where every file stands alone; recipes of a dialect that
   * has it cannot be read from text alone.
   */
  assemble?(tree: Tree, file: RecipeFile): Promise<Tree>;
  /**
   * Rewrites a recipe into the recipe's own layout.
   *
   * @param tree May be changed.
   * @throws {ConfigError} where something is wrong that the recipe's own keys do not show.
   */
  read(tree: Tree, options: ReadOptions): Reading;
}

/** The file that a recipe was read from, and the way to others. */
export interface RecipeFile {
  /** As the user named it: relative to the working folder, or absolute. */
  readonly path: string;
  /**
   * Reads another YAML file.
   *
   * @param options.namedBy The file that names it, for messages.
   * @throws {ConfigError} where that cannot be read or is no mapping.
   */
  readTree(path: string, options?: { namedBy?: string }): Promise<Tree>;
}

/** What goes with a tree. */
export interface ReadOptions {
  /** File name for messages. */
  readonly source: string;
  /** Arguments on top of the file, in their order and whatever their form. */
  readonly args: readonly string[];
}

/** A recipe in its own layout. */
export interface Reading {
  tree: Tree;
  /** Arguments that the dialect leaves to the recipe: `key=value` in the recipe's own keys, on top of the tree. */
  rest: readonly string[];
  /** The recipe's keys that the dialect has set from arguments, each with its argument: a bad value is blamed on that. */
  setBy: ReadonlyMap<string, string>;
  /** Keys that were given and have no effect, neither there nor here. */
  keysWithoutEffect: readonly string[];
  /** Keys that were given, which the published code reads and which say nothing here. */
  keysUnread?: readonly string[];
  /** Remarks for the user, one line each. */
  remarks: readonly string[];
}
