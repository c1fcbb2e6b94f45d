/**
 * Lists of pairs, a clip and a sentence that describes it, for retrieval. Two forms:
 *
 * - CSV with a header, of whose columns one names paths and one captions (`path,caption`); commas, semicolons or tabs between fields,
 *   which may be quoted;
 * - JSON lines, `{"path": "a.mp4", "caption": "a red car"}`, with one caption or a list of them.
 *
 * A path may come more than once. Paths are relative to the data set's root, or absolute. Other columns and keys are ignored, but not
 * those that seem to name a part of a video, which would be read whole.
 */
import { DataError } from "../../lib/errors.ts";
import { nearestName } from "../../lib/nearest_name.ts";
import { oneSpelling } from "../clip_path.ts";
import { PATH_COLUMNS } from "./_list_table.ts";
import { parseCsv } from "./csv.ts";
import type { ClipRecord } from "./list.ts";
import { MOST_LINE, MOST_PATH, quoted, splitLines } from "./text.ts";

/** A clip and one of its sentences. */
export interface Pair {
  /** Folder or file, relative to the data set's root, or absolute; spelt in one way, so that equal paths are one clip. */
  readonly path: string;
  readonly caption: string;
  /** Line in the list, from 1. */
  readonly line: number;
}

/** Names of a column of captions, in lower case, the likeliest first. */
const CAPTION_COLUMNS: readonly string[] = ["caption", "captions", "sentence", "text"];
/** The beginning of a JSON list around pairs. */
const LISTED_PAIR = new RegExp(`^\\s*\\[\\s*\\{[^{}]*"(${CAPTION_COLUMNS.join("|")})"\\s*:`);
/** Columns that seem to say where in a video a clip begins and ends, in lower case. */
const TIME_COLUMN =
  /^(t_?)?(start|begin|end|stop|from|to)([_ -]?(time|sec|secs|seconds?|s|ms|frame))?$|^timestamps?$/;
/** Characters of a line of JSON, which may hold all captions of a clip; those of MSVD have some eighty short ones. */
const MOST_JSON_LINE = 2 ** 20;
/** What ends a field of a table and tells a table from the rest. */
const DELIMITERS = [",", ";", "\t"] as const;

/**
 * Parses a list of pairs.
 *
 * @throws {DataError} with the line, where a pair has no path, or a caption without any text
 */
export function parsePairs(text: string, { file }: { file: string }): { pairs: Pair[] } {
  const content = text.replace(/^\uFEFF/, "");
  const pairs = isJsonLines(content) ? pairsOfJsonLines(content, file) : pairsOfTable(content, file);
  if (pairs.length > 0) return { pairs };
  throw new DataError(`Cannot read "${file}": a list must have at least one pair, current count is 0`);
}

/**
 * Whether a text is a list of pairs rather than one of labelled clips: it is JSON lines, or a JSON list of pairs, which {@link parsePairs}
 * refuses, or its header names captions and no labels.
 */
export function isPairsList(text: string): boolean {
  const content = text.replace(/^\uFEFF/, "");
  if (isJsonLines(content) || LISTED_PAIR.test(content)) return true;
  const { names } = headerOf(content);
  return names.length > 1 && columnAmong(names, CAPTION_COLUMNS) >= 0 && !names.includes("label");
}

/** The clips to train on: one a pair. */
export function trainingPairs(pairs: readonly Pair[]): ClipRecord[] {
  return pairs.map(({ path, caption, line }) => ({
    path,
    label: 0,
    frames: null,
    line,
    captions: [caption],
  }));
}

/** The clips to search among: one a path, in order of first appearance, each with all its captions in order. */
export function groupedPairs(pairs: readonly Pair[]): ClipRecord[] {
  return [...Map.groupBy(pairs, ({ path }) => path)].map(([path, own]) => ({
    path,
    label: 0,
    frames: null,
    line: own[0].line,
    captions: own.map(({ caption }) => caption),
  }));
}

/** The text of a list of pairs, as JSON lines: a line a record, or several where one would be too long to be read. */
export function formatPairs(records: readonly Pick<ClipRecord, "path" | "captions">[]): string {
  return records.flatMap(({ path, captions = [] }) =>
    shortParts(captions).map((part) =>
      `${JSON.stringify({ path, caption: part.length === 1 ? part[0] : part })}\n`
    )
  ).join("");
}

/** Captions in parts whose JSON leaves room for a path on a line. */
function shortParts(captions: readonly string[]): string[][] {
  const parts: string[][] = [];
  let length = Infinity;
  for (const caption of captions) {
    const own = JSON.stringify(caption).length + 1;
    if (length + own > MOST_JSON_LINE / 2) {
      parts.push([]);
      length = 0;
    }
    parts.at(-1)!.push(caption);
    length += own;
  }
  return parts;
}

function isJsonLines(content: string): boolean {
  return /^\s*\{/.test(content);
}

function pairsOfJsonLines(content: string, file: string): Pair[] {
  return splitLines(content).flatMap((row, index): Pair[] => {
    const line = index + 1;
    const fail = failureOf(file, line);
    if (row.length > MOST_JSON_LINE) {
      fail(`a line must have at most ${MOST_JSON_LINE} characters, current count is ${row.length}`);
    }
    if (row.trim() === "") return [];
    const value = parseObject(row, fail);
    requireClear(Object.keys(value), "key", fail);
    const path = fieldOf(value, { what: "path", known: PATH_COLUMNS, fail });
    const captions = fieldOf(value, { what: "caption", known: CAPTION_COLUMNS, fail });
    if (typeof path !== "string") {
      return fail(`the path must be text, current value is ${quoted(JSON.stringify(path))}`);
    }
    return [captions].flat().map((caption) => {
      if (typeof caption !== "string") {
        fail(`a caption must be text, current value is ${quoted(JSON.stringify(caption))}`);
      }
      return pairOf({ path, caption: caption as string, line }, fail);
    });
  });
}

function parseObject(row: string, fail: Failure): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(row);
  } catch (error) {
    return fail(`a line must be a JSON object, ${quoted((error as Error).message)}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return fail(`a line must be a JSON object, current value is ${quoted(row)}`);
  }
  return value as Record<string, unknown>;
}

/** The value of the first known name. A list of captions must not be empty. */
function fieldOf(
  value: Record<string, unknown>,
  { what, known, fail }: { what: string; known: readonly string[]; fail: Failure },
): unknown {
  const names = Object.keys(value), at = columnAmong(names, known);
  if (at < 0) {
    return fail(`an object must have a ${what} (${known.join(", ")}), ${currentNames("keys", names, known)}`);
  }
  const field = value[names[at]];
  if (Array.isArray(field) && field.length === 0) {
    return fail(`a clip must have at least one ${what}, current count is 0`);
  }
  return field;
}

function pairsOfTable(content: string, file: string): Pair[] {
  if (/^\s*\[/.test(content)) {
    throw new DataError(
      `Cannot read "${file}": a list of pairs must be JSON lines, one object a line, it is a JSON list; ` +
        "leave out its brackets and the commas between objects, and write each object on a line",
    );
  }
  const { first, delimiter, names } = headerOf(content);
  const path = columnAmong(names, PATH_COLUMNS), caption = columnAmong(names, CAPTION_COLUMNS);
  if (path < 0 || caption < 0) {
    const known = path < 0 ? PATH_COLUMNS : CAPTION_COLUMNS;
    throw new DataError(
      `Cannot read "${file}" line 1: a list of pairs must be JSON lines, or CSV whose header names a column of paths (${
        PATH_COLUMNS.join(", ")
      }) and one of captions (${CAPTION_COLUMNS.join(", ")}), ${currentNames("columns", names, known)}${
        names.includes("video_id") ? "; sidenet prepare makes lists of the files of data sets" : ""
      }`,
    );
  }
  requireClear(names, "column", failureOf(file, 1));
  const [, ...rows] = parseCsv(content, file, { delimiter });
  return rows.map(({ fields, line }) => {
    const fail = failureOf(file, line);
    if (fields.length !== names.length) {
      const isSplit = fields.length > names.length;
      fail(
        `a row must have ${names.length} fields, as its header ${
          quoted(first)
        } has, current count is ${fields.length}${
          isSplit ? `; put a caption that holds ${JSON.stringify(delimiter)} in double quotes` : ""
        }`,
      );
    }
    return pairOf({ path: fields[path].trim(), caption: fields[caption], line }, fail);
  });
}

/** The first line of a table and the names in it, in lower case. */
function headerOf(content: string): { first: string; delimiter: string; names: string[] } {
  const first = /[^\r\n]*/.exec(content.trimStart().slice(0, MOST_LINE))![0];
  const delimiter = DELIMITERS.find((one) => first.includes(one)) ?? ",";
  const names = first.split(delimiter).map((name) => name.trim().replace(/^"(.*)"$/, "$1").toLowerCase());
  return { first, delimiter, names };
}

/** Names must leave no doubt which captions are meant, and of what. */
function requireClear(names: readonly string[], what: "key" | "column", fail: Failure): void {
  const time = names.find((name) => TIME_COLUMN.test(name.toLowerCase()));
  if (time !== undefined) {
    fail(
      `a clip must be a whole video, windows of time are not read, current ${what} is ${quoted(time)}; ` +
        "cut the videos and leave it out",
    );
  }
  const captions = names.filter((name) => CAPTION_COLUMNS.includes(name));
  const paths = names.filter((name) => PATH_COLUMNS.includes(name));
  const repeated = paths.filter((name, i) => paths.indexOf(name) < i);
  for (
    const [kind, found] of [["captions", captions], ["paths", repeated.length > 0 ? paths : []]] as const
  ) {
    if (found.length > 1) {
      fail(
        `one ${what} of ${kind} must be there, current ${what}s are ${
          quoted(found.join(", "))
        }; leave the others out`,
      );
    }
  }
}

/** The place of the likeliest of the known names; −1 without any. */
function columnAmong(names: readonly string[], known: readonly string[]): number {
  return names.indexOf(known.find((name) => names.includes(name)) ?? "");
}

/** What the names are, and which of them is likely to be a slip for a known one. */
function currentNames(what: string, names: readonly string[], known: readonly string[]): string {
  const slips = names.flatMap((name) => {
    const nearest = nearestName(name, known);
    return nearest === undefined || name === ""
      ? []
      : [`; ${quoted(name)} may be meant for ${quoted(nearest)}`];
  });
  return `current ${what} are ${quoted(names.join(", "))}${slips[0] ?? ""}`;
}

/** A pair whose texts were looked at. */
function pairOf({ path, caption, line }: Pair, fail: Failure): Pair {
  const text = caption.trim();
  if (path === "") fail("the path must not be empty");
  if (path.length > MOST_PATH) {
    fail(`the path must have at most ${MOST_PATH} characters, current count is ${path.length}`);
  }
  // deno-lint-ignore no-control-regex
  if (/[\x00-\x1f\x7f]/.test(path)) {
    fail(`the path must not hold control characters, current value is ${quoted(path)}`);
  }
  if (text === "") fail(`the caption of ${quoted(path)} must not be empty`);
  if (text.length > MOST_LINE) {
    fail(`a caption must have at most ${MOST_LINE} characters, current count is ${text.length}`);
  }
  return { path: oneSpelling(path), caption: text, line };
}

/** Throws what is wrong with a line. */
type Failure = (what: string) => never;

function failureOf(file: string, line: number): Failure {
  return (what) => {
    throw new DataError(`Cannot read "${file}" line ${line}: ${what}`);
  };
}
