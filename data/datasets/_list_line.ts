/**
 * A line of an annotation list: a path, perhaps a number of frames, a label. What separates them is read off the end of the line,
 * where the numbers stand: white space (the originals, VideoMAE, MMAction2, SlowFast) or a comma or semicolon (CSV).
 *
 * A path in quotes, JSON's or CSV's, may hold anything. One without quotes may hold what separates, too, as the class folders of
 * Kinetics do, unless a part of it after the first looks like a number.
 */
import { extname } from "node:path";

/** A clip of a line, as it stands there. */
export interface LineRecord {
  path: string;
  /** null: the line states none. */
  frames: string | null;
  label: string;
}

/** What is wrong with a line, as a clause. */
export class LineError extends Error {}

/** Splits a line, whose ends are trimmed, into its clips: two where the newline between them was lost. */
export function parseLine(line: string, fieldsPerLine: 0 | 2 | 3): LineRecord[] {
  const start = quotedPath(line) ?? { path: null, rest: line };
  const parts = partsOf(start.rest), rest = parts.map(({ text }) => text);
  const fields = start.path === null ? rest : [start.path, ...rest];
  const glued = splitGlued(fields, fieldsPerLine);
  if (glued !== null) return glued;
  if (start.path !== null) {
    if (rest.length > 2) throw wrongCount(fields);
    return [{ path: start.path, frames: rest.length === 2 ? rest[0] : null, label: rest.at(-1)! }];
  }
  const label = rest.length - 1;
  if (label === 0) throw wrongCount(fields);
  const frames = label > 1 && looksLikeNumber(rest[label - 1]) ? label - 1 : null;
  const last = (frames ?? label) - 1; // of the path's parts
  if (last > 0 && looksLikeNumber(rest[last])) throw wrongCount(fields);
  const path = line.slice(0, parts[last].end).trimEnd();
  return [{ path, frames: frames === null ? null : rest[frames], label: rest[label] }];
}

/** The fields of a text and where they end in it. */
function partsOf(text: string): { text: string; end: number }[] {
  const separator = /[,;]\s*[^,;\s]*$/.test(text) ? /[,;]/g : /\s+/g;
  const parts: { text: string; end: number }[] = [];
  let start = 0;
  for (const { index, 0: between } of text.matchAll(separator)) {
    parts.push({ text: text.slice(start, index).trim(), end: index });
    start = index + between.length;
  }
  return [...parts, { text: text.slice(start).trim(), end: text.length }];
}

function wrongCount({ length }: readonly string[]): LineError {
  return new LineError(
    "a line must have 2 or 3 fields (path label, or path frames label; one label a clip; a path whose parts look like numbers " +
      `is quoted), current count is ${length}`,
  );
}

/** The path in quotes at the start of a line and what follows it; null where there is none. */
function quotedPath(line: string): { path: string; rest: string } | null {
  const csv = /^"((?:[^"]|"")*)"\s*[,;]\s*(\S.*)$/s.exec(line);
  if (csv !== null) return { path: csv[1].replaceAll('""', '"'), rest: csv[2] };
  const json = /^("(?:[^"\\]|\\.)*")(?:\s+|\s*[,;]\s*)(\S.*)$/s.exec(line);
  if (json === null) return null;
  try {
    return { path: JSON.parse(json[1]), rest: json[2] };
  } catch {
    throw new LineError('a path in quotes must be text as in JSON, such as "a b.mp4"');
  }
}

function looksLikeNumber(field: string): boolean {
  return /^[-+]?(\d+\.?\d*|\.\d+)$/.test(field);
}

/** Two records on one line share a field, `<label><path>`, which starts with digits and goes on otherwise. */
function splitGlued(fields: readonly string[], fieldsPerLine: 0 | 2 | 3): LineRecord[] | null {
  const isCount = (field: string) => /^\d+$/.test(field);
  if (fields.length === 5 && fieldsPerLine !== 2) {
    const [path, frames, shared, otherFrames, label] = fields, parts = /^(\d+)(\D.*)$/s.exec(shared);
    if (parts === null || ![frames, otherFrames, label].every(isCount)) return null;
    return [{ path, frames, label: parts[1] }, { path: parts[2], frames: otherFrames, label }];
  }
  if (fields.length === 3 && fieldsPerLine !== 3) {
    const [path, shared, label] = fields, parts = /^(\d+)([^\d.].*)$/s.exec(shared);
    // Of one record with a space in its path the first part would lack the ending.
    if (parts === null || !isCount(label) || extname(path) !== extname(parts[2])) return null;
    return [{ path, frames: null, label: parts[1] }, { path: parts[2], frames: null, label }];
  }
  return null;
}
