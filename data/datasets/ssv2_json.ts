/**
 * Something-Something V2's own files. Labels: an object from label text to its id, as text. Splits: a list of objects with
 * `id` and `template`; the template is the label text with its placeholders in brackets, in its place there may be the number of
 * the label, `label_idx`. The test split has ids only.
 */
import { DataError } from "../../lib/errors.ts";
import { shorten } from "../../lib/text.ts";
import type { Entry, Split } from "./entries.ts";
import { MOST_PATH } from "./text.ts";

/** The label file: class names by id. */
export function parseSsv2Labels(text: string, file: string): string[] {
  const value = parseJson(text, file);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new DataError(
      `Cannot read "${file}": it must be an object from label to id, current value is ${kindOf(value)}`,
    );
  }
  const names: string[] = [];
  for (const [name, id] of Object.entries(value)) {
    if (!/^\d{1,6}$/.test(String(id)) || names[Number(id)] !== undefined) {
      throw new DataError(
        `Cannot read "${file}": the id of "${name}" must be a whole number that no other label has, current value is ${
          shorten(JSON.stringify(id))
        }`,
      );
    }
    names[Number(id)] = name;
  }
  const missing = Array.from(names).indexOf(undefined as unknown as string);
  if (names.length === 0 || missing >= 0) {
    throw new DataError(
      `Cannot read "${file}": the ids must be 0 … ${Math.max(0, names.length - 1)} without gaps, id ${
        Math.max(0, missing)
      } is missing`,
    );
  }
  return names;
}

/** A split file: each clip's folder or video and its label. Clips of the test split have the dummy label 0 of the published list. */
export function parseSsv2Split(
  text: string,
  options: { file: string; split: Split; classes: readonly string[] },
): Entry[] {
  const { file, split, classes } = options;
  const value = parseJson(text, file);
  if (!Array.isArray(value)) {
    throw new DataError(
      `Cannot read "${file}": it must be a list of clips, current value is ${kindOf(value)}`,
    );
  }
  const labels = new Map(classes.map((name, label) => [name, label]));
  return value.map((clip, index) => {
    const { id, template, label_idx: number } = (clip ?? {}) as Record<string, unknown>;
    if (!isClipId(id)) {
      throw new DataError(
        `Cannot read "${file}": clip ${index + 1} must have an id, current value is ${
          shorten(JSON.stringify(id ?? null))
        }`,
      );
    }
    const label = template === undefined && isIndexOf(classes, number)
      ? number
      : split === "test" && template === undefined
      ? 0
      : labels.get(String(template ?? "").replace(/[[\]]/g, ""));
    if (label === undefined) {
      throw new DataError(
        `Cannot read "${file}": the template of clip "${id}" must be one of the ${classes.length} labels, current value is ${
          shorten(JSON.stringify(template ?? null))
        }`,
      );
    }
    return { split, label, paths: [String(id)] };
  });
}

function isIndexOf(classes: readonly string[], number: unknown): number is number {
  return Number.isInteger(number) && classes[number as number] !== undefined;
}

/** Whether a file of the data set is the one of the labels. */
export function isSsv2Labels(text: string): boolean {
  return text.trimStart().startsWith("{");
}

/** Whether a value names a clip, as a number or as a path below the root or an absolute one. */
export function isClipId(id: unknown): id is string | number {
  if (typeof id !== "string") return Number.isInteger(id);
  // deno-lint-ignore no-control-regex
  return id.length <= MOST_PATH && /^[^\x00-\x1f\x7f]+$/.test(id);
}

/** Parses JSON, with or without a byte order mark. @throws {DataError} where it is none */
export function parseJson(text: string, file: string): unknown {
  try {
    return JSON.parse(text.replace(/^\uFEFF/, ""));
  } catch (error) {
    throw new DataError(`Cannot read "${file}": it must be JSON, ${(error as Error).message}`);
  }
}

function kindOf(value: unknown): string {
  return Array.isArray(value)
    ? "a list"
    : value === null
    ? "null"
    : typeof value === "object"
    ? "an object"
    : `a ${typeof value}`;
}
