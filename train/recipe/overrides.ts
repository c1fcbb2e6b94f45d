/** `key=value` arguments: keys of the recipe with dots, values in YAML. */

import { ConfigError } from "../../lib/errors.ts";
import { describeUnknownKey, shortened } from "./errors.ts";
import { parseYaml, setLeaf, type Tree } from "./tree.ts";

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
      throw new ConfigError(`${whatFails(override)}: it must have the form key=value`);
    }
    if (!options.known.includes(key)) {
      throw new ConfigError(
        `${whatFails(override)}: ${describeUnknownKey(key, options.known)}`,
      );
    }
    setLeaf(tree, key, argumentValue(override.slice(equals + 1), whatFails(override)));
    applied.set(key, override);
  }
  return applied;
}

/** A `key=value` argument that reads back as this value. */
export function overrideOf(key: string, value: string | number | null): string {
  const text = String(value);
  return `${key}=${typeof value !== "string" || isPlain(text) ? text : JSON.stringify(text)}`;
}

/** The beginning of an error. */
export function whatFails(override: string): string {
  return `Cannot use argument "${shortened(override)}"`;
}

/**
 * The value of an argument, in YAML; text where it is none.
 *
 * @param what The beginning of an error.
 * @throws {ConfigError} where it is too much of it
 */
export function argumentValue(text: string, what: string): unknown {
  try {
    return parseYaml(text, what);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return text; // a shell takes the quotes of image_tmpl="{:05d}.jpg" away; the schema refuses what is no text
  }
}

/** Whether YAML reads a text as that text. */
function isPlain(text: string): boolean {
  try {
    return parseYaml(text, "") === text;
  } catch {
    return false;
  }
}
