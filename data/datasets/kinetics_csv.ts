/**
 * Kinetics' own files: CSV with the header `label,youtube_id,time_start,time_end,split` (order and further columns are no
 * matter; `split` may be absent, then the file's name tells it). The test files without labels cannot be used.
 *
 * The data set does not say what a clip is called. The names in use are tried: `<id>_<start>_<end>` with six digits each, or
 * `<id>` alone, for a folder of frames or with a video's extension; directly under the root, or in a folder named like the
 * class, with spaces or with "_"; all this also in a folder named like the split.
 */
import { DataError } from "../../lib/errors.ts";
import { parseCsv } from "./csv.ts";
import { type Entry, type Split, splitOfFile } from "./entries.ts";
import { quoted } from "./text.ts";
import { sortNames } from "./walk.ts";

/** A row of a Kinetics file. */
export interface KineticsRow {
  readonly label: string;
  readonly id: string;
  readonly start: number;
  readonly end: number;
  readonly split: Split;
}

/** Reads the rows of a file. */
export function parseKineticsCsv(text: string, file: string): KineticsRow[] {
  const [header, ...rows] = parseCsv(text, file);
  const column = (name: string) => header?.fields.indexOf(name) ?? -1;
  const columns = ["label", "youtube_id", "time_start", "time_end"].map((name) => {
    if (column(name) >= 0) return column(name);
    throw new DataError(
      `Cannot read "${file}": its header must hold "${name}", current value is ${
        quoted(header?.fields.join(",") ?? "")
      }`,
    );
  });
  const splitColumn = column("split");
  return rows.map(({ fields, line }) => {
    const [label, id, start, end] = columns.map((at) => (fields[at] ?? "").trim());
    const [startSeconds, endSeconds] = [start, end].map((time) => time === "" ? NaN : Number(time));
    if (label === "" || !/^[\w-]+$/.test(id) || !(startSeconds >= 0 && endSeconds >= startSeconds)) {
      throw new DataError(
        `Cannot read "${file}" line ${line}: a row must have a label, an id and two times, current value is ${
          quoted(fields.join(","))
        }`,
      );
    }
    const split = splitOf(splitColumn < 0 ? "" : fields[splitColumn], file);
    return { label, id, start: startSeconds, end: endSeconds, split };
  });
}

/** The classes of all rows in code-point order, and the clips with their labels. */
export function kineticsEntries(rows: readonly KineticsRow[]): { classes: string[]; entries: Entry[] } {
  const classes = sortNames(new Set(rows.map(({ label }) => label)));
  const labels = new Map(classes.map((name, label) => [name, label]));
  const entries = rows.map((row) => ({
    split: row.split,
    label: labels.get(row.label)!,
    paths: pathsOf(row),
  }));
  return { classes, entries };
}

function pathsOf({ label, id, start, end, split }: KineticsRow): string[] {
  const six = (seconds: number) => String(Math.trunc(seconds)).padStart(6, "0");
  const names = [`${id}_${six(start)}_${six(end)}`, id];
  const classes = [...new Set(["", `${label.replaceAll(" ", "_")}/`, `${label}/`])];
  return ["", `${split}/`].flatMap((base) =>
    classes.flatMap((folder) => names.map((name) => `${base}${folder}${name}`))
  );
}

function splitOf(text: string | undefined, file: string): Split {
  const known: Record<string, Split> = {
    train: "train",
    val: "val",
    validate: "val",
    validation: "val",
    test: "test",
  };
  return known[(text ?? "").trim().toLowerCase()] ?? splitOfFile(file);
}

/** Whether a CSV is one of Kinetics' own, by its header. */
export function isKineticsCsv(text: string): boolean {
  return /\byoutube_id\b/.test(/[^\r\n]*/.exec(text.trimStart())![0]);
}
