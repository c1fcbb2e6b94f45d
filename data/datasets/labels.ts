/**
 * Files of class names: a CSV with the header `id,name`, as in the originals; names alone, one a line, as MMAction2's and Jester's;
 * numbered names, as UCF101's `classInd.txt`; JSON: an object from name to index, as DiST's and Something-Something V2's, or from index to
 * name, as Hugging Face's `id2label`, or a list of names.
 */
import { DataError } from "../../lib/errors.ts";
import { parseIndexedLabels } from "./indexed_json.ts";
import { parseJson } from "./ssv2_json.ts";
import { boundedLines, MOST_LINE, quoted } from "./text.ts";

/** What a first line is that heads a column: such a file is none of names alone. */
const HEADS = /^"?(id|index|names?|labels?|class(es)?)"?$/i;

interface Row {
  text: string;
  line: number;
}

/**
 * Parses a label file. Names may hold commas, and in the CSV may be quoted.
 *
 * @returns class names by label
 */
export function parseLabels(text: string, options: { file: string; classes?: number }): string[] {
  const { file, classes } = options;
  const isJson = /\.json$/i.test(file) || text.trimStart().startsWith("{"); // all of it may be one line
  const rows = (isJson ? [] : boundedLines(text.replace(/^\uFEFF/, ""), file)).map((row, index) => ({
    text: row.trim(),
    line: index + 1,
  }));
  const filled = rows.filter((row) => row.text !== "");
  const names = isJson
    ? parseJsonLabels(text, file)
    : filled.length === 0
    ? []
    : numberedNames(filled) ?? namesAlone(filled) ?? namesOfTable(rows, file);
  if (names.length === 0 || (classes !== undefined && names.length !== classes)) {
    throw new DataError(
      `Cannot read "${file}": it must name ${
        classes ?? "at least 1"
      } classes, current count is ${names.length}`,
    );
  }
  const tooLong = names.findIndex(({ length }) => length > MOST_LINE);
  if (tooLong >= 0) {
    throw new DataError(
      `Cannot read "${file}": the name of class ${tooLong} must have at most ${MOST_LINE} characters, ` +
        `current count is ${names[tooLong].length}`,
    );
  }
  return names;
}

function parseJsonLabels(text: string, file: string): string[] {
  const value = parseJson(text, file);
  const isNames = (names: readonly unknown[]): names is string[] =>
    names.every((name) => typeof name === "string" && name.trim() !== "");
  if (Array.isArray(value) && isNames(value)) return value.map((name) => name.trim());
  const byIndex = typeof value === "object" && value !== null && !Array.isArray(value)
    ? Object.entries(value)
    : [];
  const isInOrder = byIndex.length > 0 && byIndex.every(([key], i) => key === String(i));
  const names = byIndex.map(([, name]) => name);
  // Names that are numbers have numbers as their indices.
  return isInOrder && isNames(names) ? names.map((name) => name.trim()) : parseIndexedLabels(text, file);
}

/** Lines of a number, from 0 or 1, and a name; null where there are others. */
function numberedNames(rows: readonly Row[]): string[] | null {
  const parts = rows.map(({ text }) => /^(\d{1,9})\s+(\S.*)$/.exec(text));
  const first = Number(parts[0]?.[1]);
  const fits = first <= 1 && parts.every((part, i) => part !== null && Number(part[1]) === first + i);
  return fits ? parts.map((part) => part![2]) : null;
}

/**
 * Lines that are names, which may hold commas and stand in quotes; null where the first heads columns, or where there are numbers before
 * commas.
 */
function namesAlone(rows: readonly Row[]): string[] | null {
  if (rows.length === 0 || HEADS.test(rows[0].text.split(",", 1)[0].trim())) return null;
  return rows.some(({ text }) => /^\d+\s*,/.test(text)) ? null : rows.map(({ text }) => unquoted(text));
}

/** A field of a CSV without the quotes around it. */
function unquoted(text: string): string {
  return /^"(?:[^"]|"")*"$/.test(text) ? text.slice(1, -1).replaceAll('""', '"') : text;
}

function namesOfTable([header, ...rows]: readonly Row[], file: string): string[] {
  if (header.text.replaceAll(" ", "") !== "id,name") {
    throw new DataError(
      `Cannot read "${file}" line 1: the header must be "id,name", or each line a name, current value is ${
        quoted(header.text)
      }`,
    );
  }
  const names: string[] = [];
  for (const { text, line } of rows) {
    if (text === "") continue;
    const match = /^(\d{1,9})\s*,\s*(.+)$/.exec(text);
    if (!match) {
      throw new DataError(
        `Cannot read "${file}" line ${line}: a line must be "id,name", current value is ${quoted(text)}`,
      );
    }
    const id = Number(match[1]), name = match[2];
    if (id !== names.length) {
      throw new DataError(
        `Cannot read "${file}" line ${line}: the id must be ${names.length}, current value is ${id}`,
      );
    }
    names.push(unquoted(name));
  }
  return names;
}
