/** Annotation lists that are tables with a header, whose columns are found by their names. */
import { DataError } from "../../lib/errors.ts";
import type { LineRecord } from "./_list_line.ts";
import { parseCsv } from "./csv.ts";
import { MOST_LINE, quoted } from "./text.ts";

/** Names of a column of paths, in lower case, the likeliest first. */
export const PATH_COLUMNS: readonly string[] = [
  "path",
  "video_path",
  "clip_path",
  "file_path",
  "filepath",
  "video",
  "file",
  "filename",
  "file_name",
  "clip",
  "name",
];

/** Names of columns, in lower case, the likeliest first. */
const COLUMNS = {
  path: PATH_COLUMNS,
  frames: ["frames", "num_frames", "n_frames", "total_frames", "frame_count"],
  label: ["label", "label_id", "label_idx", "class_id", "class_idx", "class_index", "target", "class"],
};

/** The clips of a table with their lines; null where the first line is no header. @throws {DataError} where it is Kinetics' own, or lacks a column */
export function parseTable(text: string, file: string): (LineRecord & { line: number })[] | null {
  const first = /[^\r\n]*/.exec(text.trimStart())![0];
  if (first.length > MOST_LINE) return null;
  const delimiter = [",", ";", "\t"].find((one) => first.includes(one));
  if (delimiter === undefined) return null;
  const names = first.split(delimiter).map((name) => name.trim().replace(/^"(.*)"$/, "$1").toLowerCase());
  if (names.includes("youtube_id")) {
    throw new DataError(
      `Cannot read "${file}": it must list paths and labels, it is a CSV of Kinetics, which names neither; ` +
        "sidenet prepare makes lists of it",
    );
  }
  const find = (known: readonly string[]) => known.map((name) => names.indexOf(name)).find((at) => at >= 0);
  const path = find(COLUMNS.path), label = find(COLUMNS.label), frames = find(COLUMNS.frames);
  if (path === undefined && label === undefined) return null;
  if (path === undefined || label === undefined) {
    if (/^\d+$/.test(names.at(-1)!)) return null; // a clip that is named like a column
    throw new DataError(
      `Cannot read "${file}" line 1: a header must name a column of paths (${
        COLUMNS.path.join(", ")
      }) and one of labels (${COLUMNS.label.join(", ")}), current columns are ${names.join(", ")}`,
    );
  }
  const [, ...rows] = parseCsv(text, file, { delimiter });
  return rows.map(({ fields, line }) => {
    if (fields[path] === undefined || fields[label] === undefined) {
      throw new DataError(
        `Cannot read "${file}" line ${line}: a row must have ${names.length} fields, as its header ${
          quoted(first)
        } has, current count is ${fields.length}`,
      );
    }
    const stated = frames === undefined ? "" : (fields[frames] ?? "").trim();
    return {
      path: fields[path].trim(),
      frames: stated === "" ? null : stated,
      label: fields[label].trim(),
      line,
    };
  });
}
