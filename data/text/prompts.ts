/** Classes as sentences, for networks that compare what they see with text: names, and templates that they stand in. */
import { stat } from "node:fs/promises";
import { ConfigError, DataError } from "../../lib/errors.ts";
import { readLabels, readText } from "../datasets/read.ts";
import { boundedLines, quoted } from "../datasets/text.ts";

/** Where the class's name goes in a template. */
const NAME = "{}";

/** The template of networks that classify actions by text (Text4Vis). */
export const ACTION_TEMPLATES: readonly string[] = [`a video of a person ${NAME}.`];

/** The template of networks that compare clips with the names of classes alone. */
export const PLAIN_TEMPLATES: readonly string[] = [NAME];

/**
 * The sentences of every class: its name in every template.
 *
 * @returns sentences by class, by template
 * @example `classPrompts(["abseiling"], ACTION_TEMPLATES)` is `[["a video of a person abseiling."]]`
 */
export function classPrompts(names: readonly string[], templates: readonly string[]): string[][] {
  return names.map((name) => templates.map((template) => template.replaceAll(NAME, () => name)));
}

/**
 * Class names that a user gives: a file of them, as `readLabels` reads it, or the names themselves with commas between.
 *
 * @example `await readClassNames("waves, walks, sits down")` is `["waves", "walks", "sits down"]`
 * @throws {ConfigError} where it is neither
 * @throws {DataError} where the file cannot be read
 */
export async function readClassNames(value: string): Promise<string[]> {
  const isFile = await exists(value);
  const names = isFile ? await readLabels(value) : value.split(",").map((name) => name.trim());
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (isFile) {
    const problem = names.length < 2
      ? `it must name two classes or more, current count is ${names.length}`
      : twice !== undefined
      ? `no class may be there twice, current value is ${quoted(twice)}`
      : null;
    if (problem === null) return names;
    throw new DataError(`Cannot read "${value}": ${problem}`);
  }
  if (names.length >= 2 && twice === undefined && !names.includes("")) return names;
  const reason = names.length < 2
    ? "there is no such file"
    : names.includes("")
    ? "a name is empty"
    : `"${twice}" is there twice`;
  throw new ConfigError(
    `Cannot read classes: they must be a file of names, or two names or more with commas between, current value is ${
      quoted(value)
    }: ${reason}`,
  );
}

/**
 * Templates that a user gives: one, with `{}` for the class's name, or a file with one on each line.
 *
 * @throws {DataError} where the file cannot be read or a line is no template
 */
export async function readTemplates(value: string): Promise<string[]> {
  return value.includes(NAME) ? [value] : parseTemplates(await readText(value), { file: value });
}

/** Parses templates, one a line; empty lines are passed over. @throws {DataError} where one has no place for the name, by line */
export function parseTemplates(text: string, { file }: { file: string }): string[] {
  const lines = boundedLines(text, file).map((line) => line.trim());
  const wrong = lines.findIndex((line) => line !== "" && !line.includes(NAME));
  if (wrong >= 0) {
    throw new DataError(
      `Cannot read "${file}" line ${
        wrong + 1
      }: a template must have ${NAME} where the class's name goes, current value is ${quoted(lines[wrong])}`,
    );
  }
  const templates = lines.filter((line) => line !== "");
  if (templates.length > 0) return templates;
  throw new DataError(`Cannot read "${file}": it must have a template on a line or more, it has none`);
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(() => true, () => false);
}
