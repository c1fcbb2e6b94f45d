/**
 * Which of a verb's arguments change its recipe: `key=value`, and `KEY VALUE` where a dialect of recipes has such keys. What they mean
 * is the recipe's to say.
 */
import { existsSync } from "node:fs";
import { argumentNames, isPairKey } from "../../train/recipe/config.ts";

/** Arguments of a recipe in their order, the values of pairs behind their keys, and the others. */
export interface SplitArguments {
  overrides: string[];
  others: string[];
}

/** What looks like a key of a section with its value. */
const SECTION_KEY = /^[a-z_]+(\.\w+)+=/i;

/**
 * Separates the arguments of a recipe from the others, which may be paths that hold a "=". What looks like a key of a section and is no
 * file is an override too, so that a slip in it is an error and not a missing path.
 */
export function splitOverrides(args: readonly string[]): SplitArguments {
  const keys = new Set(argumentNames());
  return split(args, (arg) => {
    const [key] = arg.split("=", 1);
    return arg !== key && keys.has(key) || (SECTION_KEY.test(arg) || isPairKey(key)) && !existsSync(arg);
  });
}

/** The same where no other argument holds a "=". */
export function splitAssignments(args: readonly string[]): SplitArguments {
  return split(args, (arg) => arg.includes("="));
}

/** @param isAssignment Whether an argument that belongs to no pair is `key=value`. */
function split(args: readonly string[], isAssignment: (arg: string) => boolean): SplitArguments {
  const overrides: string[] = [], others: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i];
    if (isPairKey(arg) && !existsSync(arg)) {
      overrides.push(arg);
      const value = args[i + 1];
      // A key without a value stays alone, which the recipe refuses.
      if (value === undefined || isPairKey(value)) continue;
      overrides.push(value);
      i++;
    } else (isAssignment(arg) ? overrides : others).push(arg);
  }
  return { overrides, others };
}
