/** Words for what is wrong with a recipe: one clause an issue, with the full dotted key and the current value. */
import type { z } from "zod";
import { nearestName } from "../../lib/nearest_name.ts";
import { CONFIG_KEYS, CONFIG_SECTIONS } from "./_schema.ts";

/** "key … is not known", with the nearest known key when there is a likely one. */
export function describeUnknownKey(key: string): string {
  const known = [...CONFIG_KEYS, ...CONFIG_SECTIONS];
  const leaf = (name: string) => name.slice(name.lastIndexOf(".") + 1);
  const section = key.slice(0, key.lastIndexOf(".") + 1);
  const siblings = known.filter((name) => name === section + leaf(name));
  const nearest = known.find((name) => leaf(name) === leaf(key)) ??
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
export function describeIssue(issue: z.core.$ZodIssue, tree: unknown): string {
  const key = issue.path.join(".");
  if (issue.code === "unrecognized_keys") return describeUnknownKey([...issue.path, issue.keys[0]].join("."));
  const value = issue.path.reduce<unknown>(
    (at, part) => (at as Record<PropertyKey, unknown> | null)?.[part],
    tree,
  );
  const current = value === undefined ? "missing" : JSON.stringify(value);
  return `${key === "" ? "the config" : key} ${requirement(issue)}, current value is ${current}`;
}

const KINDS: Record<string, string> = {
  int: "a whole number",
  number: "a number",
  boolean: "true or false",
  string: "text",
  array: "a list",
  tuple: "a list",
  object: "a mapping of keys",
};

function requirement(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case "invalid_type":
      return `must be ${KINDS[issue.expected] ?? issue.expected}`;
    case "invalid_value":
      return `must be one of ${issue.values.map((value) => JSON.stringify(value)).join(", ")}`;
    case "too_small":
      return `must ${bound(issue.origin, issue.inclusive ? "at least" : "more than", issue.minimum)}`;
    case "too_big":
      return `must ${bound(issue.origin, issue.inclusive ? "at most" : "less than", issue.maximum)}`;
    default:
      return issue.message;
  }
}

function bound(origin: string, relation: string, limit: number | bigint): string {
  if (origin === "string") return `have ${relation} ${limit} characters`;
  if (origin === "array") return `have ${relation} ${limit} entries`;
  return `be ${relation} ${limit}`;
}
