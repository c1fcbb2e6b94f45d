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
    const reason = error instanceof Deno.errors.NotFound ? "there is no such file" : (error as Error).message;
    throw new ConfigError(`Cannot read config "${path}": ${reason}`, { cause: error });
  }
  return parseTree(text, path);
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
