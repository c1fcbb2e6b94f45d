/** Checking what is read from files against a schema, and words for what is wrong with it. */
import type { z } from "zod";

/** Longest value that a message shows. */
const SHOWN_CHARACTERS = 60;

/**
 * Reads JSON that must be as a schema says.
 *
 * @param fail Makes the error of what is wrong: "step must be at least 0, current value is -3".
 */
export function parseJson<S extends z.ZodType>(
  text: string,
  schema: S,
  fail: (what: string) => Error,
): z.output<S> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw fail("it must be JSON");
  }
  return parseValue(value, schema, fail);
}

/** The same for a value that has been read already. */
export function parseValue<S extends z.ZodType>(
  value: unknown,
  schema: S,
  fail: (what: string) => Error,
): z.output<S> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues, found = valueAt(value, issue.path);
  const name = issue.path.length === 0 ? "it" : issue.path.join(".");
  const current = found === undefined ? "missing" : shown(found);
  throw fail(`${name} ${requirementOf(issue)}, current value is ${current}`);
}

/** A value for a message, as JSON, which has no numbers that are not finite: those by their names. */
export function textOfValue(value: unknown): string {
  const isOdd = (one: unknown) => typeof one === "number" && !Number.isFinite(one);
  return isOdd(value) ? String(value) : JSON.stringify(value, (_, one) => isOdd(one) ? String(one) : one);
}

/** The same, cut where it is long. */
export function shown(value: unknown): string {
  const text = textOfValue(value);
  return text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text;
}

/** The value at a path inside another; undefined where there is none. */
export function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((at, part) => (at as Record<PropertyKey, unknown> | null)?.[part], value);
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

/** What must hold for the value that an issue is about: "must be at least 0". */
export function requirementOf(issue: z.core.$ZodIssue): string {
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
