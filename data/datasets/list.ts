/**
 * Annotation lists: one clip a line. Frame folders: `<folder> <number of frames> <label>`; video files: `<file> <label>`. Labels
 * count from 0.
 *
 * Fields are separated by spaces, as in the originals, by tabs, commas or semicolons; a path may be quoted as in JSON or CSV, and
 * then hold anything: `"my clips/a b.mp4" 3`. A table with a header has a column for the path and one for the label.
 */
import { DataError } from "../../lib/errors.ts";
import { LineError, type LineRecord, parseLine } from "./_list_line.ts";
import { parseTable } from "./_list_table.ts";
import { boundedLines, MOST_PATH, quoted } from "./text.ts";

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
  /** Sentences that describe it, of a list of pairs. */
  readonly captions?: readonly string[];
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
   * What a line names. Default "frames". A line has two fields or three, as the first one; with "either" whatever the others
   * have.
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
  const clips: ClipRecord[] = [], repairedLines: number[] = [];
  let dropped = 0;
  for (const { records, line } of recordsOf(text, { file, mixed: modality === "either" })) {
    if (records.length > 1) repairedLines.push(line);
    for (const { path, frames, label: labelText } of records) {
      const fail = (what: string): never => {
        throw new DataError(`Cannot read "${file}" line ${line}: ${what}`);
      };
      if (path === "") fail("the path must not be empty");
      if (path.length > MOST_PATH) {
        fail(`the path must have at most ${MOST_PATH} characters, current count is ${path.length}`);
      }
      const stated = frames === null ? null : parseCount(frames);
      if (Number.isNaN(stated)) {
        fail(`the number of frames must be an integer from 0, current value is ${quoted(frames!)}`);
      }
      const label = parseCount(labelText);
      if (!(label < (classes ?? Infinity))) {
        const range = classes === undefined ? "from 0" : `in 0 … ${classes - 1}`;
        const fromOne = label === classes && clips.every((clip) => clip.label > 0);
        const hint = fromOne ? "; labels must count from 0, those of the list may count from 1" : "";
        fail(`the label must be an integer ${range}, current value is ${quoted(labelText)}${hint}`);
      }
      if (stated !== null && stated < (dropShorterThan ?? 0)) dropped++;
      else clips.push({ path, label, frames: stated, line });
    }
  }
  if (clips.length === 0) {
    throw new DataError(
      `Cannot read "${file}": a list must have at least one clip, current count is 0` +
        (dropped > 0
          ? ` (${dropped} of fewer than ${dropShorterThan} frames are left out: data.min_frames)`
          : ""),
    );
  }
  return { clips, dropped, repairedLines };
}

/** The records of a list, line by line. @param options.mixed lines may have different numbers of fields */
function* recordsOf(
  text: string,
  { file, mixed }: { file: string; mixed: boolean },
): Generator<{ records: LineRecord[]; line: number }> {
  const content = text.replace(/^\uFEFF/, ""), table = parseTable(content, file);
  if (table !== null) {
    for (const record of table) yield { records: [record], line: record.line };
    return;
  }
  let fieldsPerLine: 0 | 2 | 3 = 0;
  for (const [index, row] of boundedLines(content, file).entries()) {
    const whole = row.trim(), line = index + 1;
    if (whole === "") continue;
    let records: LineRecord[];
    try {
      records = parseLine(whole, fieldsPerLine);
    } catch (error) {
      if (!(error instanceof LineError)) throw error;
      throw new DataError(`Cannot read "${file}" line ${line}: ${error.message}`);
    }
    const fields = records[0].frames === null ? 2 : 3;
    if (!mixed) fieldsPerLine ||= fields;
    if (!mixed && fields !== fieldsPerLine) {
      const form = fieldsPerLine === 2 ? "path label" : "path frames label";
      throw new DataError(
        `Cannot read "${file}" line ${line}: a line must have ${fieldsPerLine} fields (${form}), as the lines before it, ` +
          `current count is ${fields}`,
      );
    }
    yield { records, line };
  }
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

/** A byte order mark, which a reader takes away, counts as a space; a comma before one separates. */
function needsQuotes(path: string): boolean {
  return path === "" || path.startsWith('"') || /\s|[,;]$/.test(path);
}
