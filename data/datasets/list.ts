/**
 * The originals' annotation lists: one clip a line, fields separated by spaces, no header.
 *
 * Frame folders: `<folder> <number of frames> <label>`; video files: `<file> <label>`. The path is the first field and
 * the label the last, as the published loaders read them; labels count from 0. Beyond the originals, a path may be quoted
 * as in JSON, and then hold spaces: `"my clips/a b.mp4" 3`.
 */
import { DataError } from "../../lib/errors.ts";

/** What a list names. "either": each path is what is found there. */
export type ClipModality = "frames" | "video" | "either";

/** One clip of a list. */
export interface ClipRecord {
  /** Folder or file, relative to the data set's root. */
  readonly path: string;
  readonly label: number;
  /** The number of frames the list states; null where it states none. The folder itself decides when it is read. */
  readonly frames: number | null;
  /** Line in the list, from 1. */
  readonly line: number;
  /** Only these frames, from 1, as if they were the whole clip. */
  readonly range?: FrameRange;
}

/** Neighbouring frames of a clip. */
export interface FrameRange {
  /** The first, from 1. */
  readonly first: number;
  readonly count: number;
}

export interface ClipListOptions {
  /** Name of the file, for messages. */
  file: string;
  /** Number of classes: labels must be 0 … classes − 1. Absent: any label from 0. */
  classes?: number;
  /**
   * What a line names. Default "frames", three fields; "video": two or three, as in the first line; "either": two or
   * three, whatever the other lines have.
   */
  modality?: ClipModality;
  /**
   * Published rule of training and of the validation inside training: lines that state fewer frames than this (8 in the
   * originals) are dropped. Absent: nothing is dropped.
   */
  dropShorterThan?: number;
}

export interface ClipList {
  readonly clips: ClipRecord[];
  /** How many clips `dropShorterThan` took away. */
  readonly dropped: number;
  /** Lines that held two records with the newline between them lost, and were split (the published K400 lists have one). */
  readonly repairedLines: number[];
}

/** Parses an annotation list; a bad line is an error that names file and line. */
export function parseClipList(text: string, options: ClipListOptions): ClipList {
  const { file, classes, modality = "frames", dropShorterThan } = options;
  const allowedFields = modality === "frames" ? [3] : [2, 3];
  let fieldsPerLine = 0;
  const clips: ClipRecord[] = [], repairedLines: number[] = [];
  let dropped = 0;
  text.replace(/^\uFEFF/, "").split("\n").forEach((content, index) => {
    const line = index + 1;
    if (content.trim() === "") return;
    const fail = (what: string): never => {
      throw new DataError(`Cannot read "${file}" line ${line}: ${what}`);
    };
    const fields = splitFields(content.trim()) ??
      fail('a path in quotes must be text as in JSON, such as "a b.mp4"');
    if (modality === "either") fieldsPerLine = fieldsOfEither(fields);
    else if (fieldsPerLine === 0 && allowedFields.includes(fields.length)) fieldsPerLine = fields.length;
    const records = splitGlued(fields, fieldsPerLine);
    if (records.length > 1) repairedLines.push(line);
    for (const record of records) {
      if (record.length !== fieldsPerLine) {
        const form = modality === "frames" ? "path frames label" : "path label";
        const expected = fieldsPerLine || allowedFields.join(" or ");
        fail(
          `a line must have ${expected} fields (${form}; a path with spaces is quoted), current count is ${record.length}`,
        );
      }
      const stated = record.length === 3 ? parseCount(record[1]) : null;
      if (Number.isNaN(stated)) {
        fail(`the number of frames must be an integer from 0, current value is "${record[1]}"`);
      }
      const label = parseCount(record.at(-1)!);
      if (!(label < (classes ?? Infinity))) {
        const range = classes === undefined ? "from 0" : `in 0 … ${classes - 1}`;
        fail(`the label must be an integer ${range}, current value is "${record.at(-1)}"`);
      }
      if (stated !== null && stated < (dropShorterThan ?? 0)) dropped++;
      else clips.push({ path: record[0], label, frames: stated, line });
    }
  });
  if (clips.length === 0) {
    throw new DataError(
      `Cannot read "${file}": a list must have at least one clip, current count is 0` +
        (dropped > 0 ? ` (${dropped} shorter than ${dropShorterThan} frames were dropped)` : ""),
    );
  }
  return { clips, dropped, repairedLines };
}

/** The fields of a line; null when it begins with a quoted path that is not JSON. */
function splitFields(line: string): string[] | null {
  const quoted = /^("(?:[^"\\]|\\.)*")\s+(\S.*)$/.exec(line);
  if (quoted === null) return line.split(/\s+/);
  try {
    return [JSON.parse(quoted[1]), ...quoted[2].split(/\s+/)];
  } catch {
    return null;
  }
}

/** Fields of a record where lines differ: two of two fields may be glued as well, `<path> <label><path> <label>`. */
function fieldsOfEither({ length, 1: second }: readonly string[]): number {
  if (length === 2 || length === 3 && /^\d+[^\d.]/.test(second)) return 2;
  return length === 3 || length === 5 ? 3 : 0;
}

/** Two records on one line share a field, `<label><path>`, which starts with digits and goes on otherwise. */
function splitGlued(fields: string[], fieldsPerLine: number): string[][] {
  const glued = fieldsPerLine > 0 && fields.length === 2 * fieldsPerLine - 1
    ? /^(\d+)(\D.*)$/.exec(fields[fieldsPerLine - 1])
    : null;
  if (!glued) return [fields];
  return [
    [...fields.slice(0, fieldsPerLine - 1), glued[1]],
    [glued[2], ...fields.slice(fieldsPerLine)],
  ];
}

/** A decimal integer from 0, or NaN. */
function parseCount(text: string): number {
  return /^\d{1,15}$/.test(text) ? Number(text) : NaN;
}

/** The text of an annotation list: `path frames label` a line, or `path label` for a clip whose frames are not counted. */
export function formatClipList(clips: readonly Pick<ClipRecord, "path" | "frames" | "label">[]): string {
  return clips.map(({ path, frames, label }) => {
    const fields = frames === null ? [label] : [frames, label];
    return `${[needsQuotes(path) ? JSON.stringify(path) : path, ...fields].join(" ")}\n`;
  }).join("");
}

/** A byte order mark, which a reader takes away, counts as a space. */
function needsQuotes(path: string): boolean {
  return path === "" || path.startsWith('"') || /\s/.test(path);
}

/**
 * Parses a label file: header `id,name`, then one class a line. Names may hold commas and may be quoted.
 *
 * @returns class names by label
 */
export function parseLabels(text: string, options: { file: string; classes?: number }): string[] {
  const { file, classes } = options;
  const names: string[] = [];
  const [header, ...rows] = text.replace(/^\uFEFF/, "").split("\n").map((row) => row.trim());
  if (header.replaceAll(" ", "") !== "id,name") {
    throw new DataError(
      `Cannot read "${file}" line 1: the header must be "id,name", current value is "${header}"`,
    );
  }
  rows.forEach((row, index) => {
    if (row === "") return;
    const match = /^(\d{1,9})\s*,\s*(.+)$/.exec(row);
    if (!match) {
      throw new DataError(
        `Cannot read "${file}" line ${index + 2}: a line must be "id,name", current value is "${row}"`,
      );
    }
    const id = Number(match[1]);
    if (id !== names.length) {
      throw new DataError(
        `Cannot read "${file}" line ${index + 2}: the id must be ${names.length}, current value is ${id}`,
      );
    }
    const name = match[2];
    names.push(/^".*"$/.test(name) ? name.slice(1, -1).replaceAll('""', '"') : name);
  });
  if (names.length === 0 || (classes !== undefined && names.length !== classes)) {
    throw new DataError(
      `Cannot read "${file}": it must name ${
        classes ?? "at least 1"
      } classes, current count is ${names.length}`,
    );
  }
  return names;
}
