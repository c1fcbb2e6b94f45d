/** CSV with the lines that its rows start on. */
import { CsvError, parse } from "csv-parse/sync";
import { DataError } from "../../lib/errors.ts";
import { requireLine } from "./text.ts";

/** A row. */
export interface CsvRow {
  fields: string[];
  /** From 1. */
  line: number;
}

/** Rows of a CSV, empty ones left out; fields may be quoted and then hold delimiters, quotes and line breaks. */
export function parseCsv(text: string, file: string, options: { delimiter?: string } = {}): CsvRow[] {
  let line = 1;
  return readRecords(text, file, options.delimiter ?? ",").map((fields) => {
    const row = { fields, line };
    for (const { length } of fields) requireLine(length, file, line);
    line += fields.join("").split("\n").length; // counted here: the parser takes a quoted "\r\n" for two
    return row;
  }).filter(({ fields }) => fields.length > 1 || fields[0] !== "");
}

function readRecords(text: string, file: string, delimiter: string): string[][] {
  try {
    return parse(text, {
      bom: true,
      delimiter,
      record_delimiter: ["\r\n", "\n", "\r"],
      relax_column_count: true,
      relax_quotes: true,
    });
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    throw new DataError(`Cannot read "${file}": it must be CSV, ${error.message}`);
  }
}
