/** A recipe's YAML as plain objects, before anything is known of its keys. */

import * as YAML from "yaml";
import { ConfigError } from "../../lib/errors.ts";

/** A mapping of keys. */
export type Tree = Record<string, unknown>;

/** Whether a value is a mapping of keys. */
export function isTree(value: unknown): value is Tree {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * Parses YAML text that must be a mapping; empty text is an empty one.
 *
 * @param source File name for messages.
 * @throws {ConfigError}
 */
export function parseTree(text: string, source: string): Tree {
  const document = YAML.parseDocument(text, { prettyErrors: true });
  if (document.errors.length > 0) {
    const [firstLine] = document.errors[0].message.split("\n");
    throw new ConfigError(`Cannot read config "${source}": ${firstLine.replace(/:$/, "")}`);
  }
  const value: unknown = document.toJS() ?? {};
  if (!isTree(value)) {
    const kind = Array.isArray(value) ? "a list" : `a ${typeof value}`;
    throw new ConfigError(
      `Cannot read config "${source}": it must be a mapping of keys, current value is ${kind}`,
    );
  }
  return value;
}

/**
 * Reads a YAML file that must be a mapping.
 *
 * @throws {ConfigError}
 */
export async function readTree(path: string): Promise<Tree> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    throw new ConfigError(`Cannot read config "${path}": ${reasonOf(error as Error)}`, { cause: error });
  }
  if (text.trim() === "") throw new ConfigError(`Cannot read config "${path}": the file is empty`);
  return parseTree(text, path);
}

function reasonOf(error: Error): string {
  if (error instanceof Deno.errors.NotFound) return "there is no such file";
  if (error instanceof Deno.errors.IsADirectory) {
    return "it must be a YAML file, this is a folder; the recipe of a run is its config.yaml";
  }
  return error.message;
}

/** Sets a dotted key, making the mappings around it. */
export function setLeaf(tree: Tree, key: string, value: unknown): void {
  const path = key.split(".");
  let at = tree;
  for (const part of path.slice(0, -1)) {
    if (!isTree(at[part])) at[part] = {};
    at = at[part] as Tree;
  }
  at[path[path.length - 1]] = value;
}
