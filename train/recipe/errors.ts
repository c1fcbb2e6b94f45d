/** Words for what is wrong with a recipe: one clause an issue, with the full dotted key and the current value. */
import type { z } from "zod";
import { requirementOf, textOfValue, valueAt } from "../../data/schema.ts";
import { ConfigError } from "../../lib/errors.ts";
import { nearestName } from "../../lib/nearest_name.ts";
import type { Requirement } from "../../models/system.ts";

/** Characters of a value that a message shows. */
const MOST_SHOWN = 120;

/** A value for a message, of which a file may hold any amount, on one line. */
export function shortened(text: string): string {
  const shown = text.length <= MOST_SHOWN ? text : `${text.slice(0, MOST_SHOWN)}…`;
  return shown.replaceAll(
    /[\p{Cc}\u2028\u2029]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** The recipe that something is wrong with. */
export interface Blamed {
  /** File name. */
  source: string;
  /** What its values were parsed from. */
  tree: unknown;
  /** Keys that arguments have set, each with its argument. */
  setBy: ReadonlyMap<string, string>;
  /** Known keys and sections, dotted. */
  known: readonly string[];
}

/** The error for values of the wrong kind: the first of them, and how many more there are. */
export function schemaError(issues: readonly z.core.$ZodIssue[], blamed: Blamed): ConfigError {
  const [issue] = issues;
  // The argument may have set the key, or a section around it.
  const override = issue.path.map((_, i) => blamed.setBy.get(issue.path.slice(0, i + 1).join(".")))
    .findLast((argument) => argument !== undefined);
  const what = override === undefined
    ? `Cannot read config "${blamed.source}"`
    : `Cannot use argument "${shortened(override)}"`;
  const more = issues.length > 1 ? ` (and ${issues.length - 1} more)` : "";
  return new ConfigError(`${what}: ${describeIssue(issue, blamed)}${more}`);
}

/**
 * Checks what must hold of a recipe.
 *
 * @param setBy Keys that arguments have set, each with its argument.
 * @throws {ConfigError} for the first requirement that does not hold.
 */
export function requireAll(
  requirements: readonly Requirement[],
  source: string,
  setBy: ReadonlyMap<string, string> = new Map(),
): void {
  for (const [holds, key, must, value] of requirements) {
    if (holds) continue;
    const argument = setBy.get(key);
    const what = argument === undefined ? `config "${source}"` : `argument "${shortened(argument)}"`;
    throw new ConfigError(
      `Cannot use ${what}: ${key} must ${must}, current value is ${shortened(textOfValue(value))}`,
    );
  }
}

/** Words of other programs for keys. */
const OTHER_WORDS: Readonly<Record<string, string>> = {
  base_lr: "solver.lr",
  learning_rate: "solver.lr",
  wd: "solver.weight_decay",
  warmup_epochs: "solver.lr_warmup_step",
  label_smoothing: "solver.smoothing",
  frames: "data.num_segments",
  num_frames: "data.num_segments",
  batch: "data.batch_size",
  classes: "data.num_classes",
  num_workers: "data.workers",
  checkpoint: "pretrain",
};

/** "key … is not known", with the nearest of the known keys when there is a likely one. */
export function describeUnknownKey(key: string, known: readonly string[]): string {
  if (key.length > MOST_SHOWN) return `key "${shortened(key)}" is not known`;
  const leaf = (name: string) => name.slice(name.lastIndexOf(".") + 1);
  const section = key.slice(0, key.lastIndexOf(".") + 1);
  const siblings = known.filter((name) => name === section + leaf(name));
  const nearest = known.find((name) => leaf(name) === leaf(key)) ??
    known.find((name) => name === OTHER_WORDS[leaf(key).toLowerCase()]) ??
    prefixed(section, nearestName(leaf(key), siblings.map(leaf))) ??
    nearestName(key, known) ??
    known.find((name) => leaf(name) === nearestName(leaf(key), known.map(leaf)));
  return `key "${key}" is not known` +
    (nearest === undefined ? "" : `; the nearest known key is "${nearest}"`);
}

function prefixed(prefix: string, name: string | undefined): string | undefined {
  return name === undefined ? undefined : prefix + name;
}

/** What must hold for the value that an issue is about, and what the value is. */
function describeIssue(issue: z.core.$ZodIssue, { tree, known }: Blamed): string {
  const key = issue.path.join(".");
  if (issue.code === "unrecognized_keys") {
    return describeUnknownKey([...issue.path, issue.keys[0]].join("."), known);
  }
  const value = valueAt(tree, issue.path);
  const current = value === undefined ? "missing" : shortened(textOfValue(value));
  return `${key === "" ? "the config" : key} ${requirementOf(issue)}, current value is ${current}`;
}
