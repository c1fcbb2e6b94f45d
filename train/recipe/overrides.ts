/** `key=value` arguments: keys of the recipe with dots, values in YAML. */

import * as YAML from "yaml";
import { ConfigError } from "../../lib/errors.ts";
import { describeUnknownKey } from "./errors.ts";
import { setLeaf, type Tree } from "./tree.ts";

/**
 * Sets the keys of arguments in a tree, in their order.
 *
 * @param options.known Keys and sections that arguments may name.
 * @returns Each key that was set, with its last argument.
 * @throws {ConfigError} where an argument has another form or names another key.
 */
export function applyOverrides(
  tree: Tree,
  overrides: readonly string[],
  options: { known: readonly string[] },
): Map<string, string> {
  const applied = new Map<string, string>();
  for (const override of overrides) {
    const equals = override.indexOf("=");
    const key = override.slice(0, equals);
    if (equals < 1) {
      throw new ConfigError(`Cannot use argument "${override}": it must have the form key=value`);
    }
    if (!options.known.includes(key)) {
      throw new ConfigError(
        `Cannot use argument "${override}": ${describeUnknownKey(key, options.known)}`,
      );
    }
    setLeaf(tree, key, parseValue(override.slice(equals + 1)));
    applied.set(key, override);
  }
  return applied;
}

/** A `key=value` argument that reads back as this value. */
export function overrideOf(key: string, value: string | number | null): string {
  const text = String(value);
  return `${key}=${typeof value !== "string" || isPlain(text) ? text : JSON.stringify(text)}`;
}

function parseValue(text: string): unknown {
  try {
    return YAML.parse(text, { prettyErrors: false });
  } catch {
    return text; // a shell takes the quotes of image_tmpl="{:05d}.jpg" away; the schema refuses what is no text
  }
}

/** Whether YAML reads a text as that text. */
function isPlain(text: string): boolean {
  try {
    return YAML.parse(text, { prettyErrors: false }) === text;
  } catch {
    return false;
  }
}
