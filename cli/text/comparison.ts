/** A comparison of runs as text and as CSV. */

import { stringify } from "csv-stringify/sync";
import { neutralText } from "../../lib/neutral.ts";
import { type ComparedRun, type ComparisonTable, settingsOf } from "../../train/run/compare.ts";

/** The lines of a comparison; of many runs in blocks of columns that are no wider than `columns`. */
export function comparisonLines({ byRun, runs, rows, shared }: ComparisonTable, columns: number): string[] {
  const marked = rows.map(({ name, values, best }) => [
    name,
    ...values.map((value, i) => `${value}${best.includes(i) ? " *" : ""}`),
  ]);
  if (!byRun) return aligned([["", ...runs], ...marked]);
  const same = shared.map(({ name, value }) => `${name} ${value}`).join(" · ");
  const widths = marked.map(longest), first = longest(runs);
  const blocks: string[][][] = [];
  let width = Infinity;
  marked.forEach((column, i) => {
    if (width + widths[i] + GAP > columns) {
      blocks.push([["", ...runs]]);
      width = first;
    }
    blocks.at(-1)!.push(column);
    width += widths[i] + GAP;
  });
  return [
    ...same === "" ? [] : [`the same in all: ${same}`, ""],
    ...blocks.flatMap((block, i) => [...i === 0 ? [] : [""], ...aligned(transposed(block))]),
  ];
}

const GAP = 2;

const longest = (texts: readonly string[]) => texts.reduce((most, text) => Math.max(most, text.length), 0);

const transposed = (columns: readonly (readonly string[])[]) =>
  columns[0].map((_, row) => columns.map((column) => column[row]));

function aligned(cells: readonly (readonly string[])[]): string[] {
  const widths = cells[0].map((_, column) => longest(cells.map((row) => row[column])));
  return cells.map((row) =>
    row.map((cell, column) => cell.padEnd(widths[column])).join(" ".repeat(GAP)).trimEnd()
  );
}

/** A line a run: its figures under their names in `summary.json`, and the settings that differ, as texts. */
export function comparisonCsv(compared: readonly ComparedRun[]): string {
  const figures = compared.map((run) => run.figures), settings = settingsOf(compared);
  const names = [...new Set(figures.flatMap((run) => Object.keys(run)))];
  const lines = figures.map((run, i) => [
    ...names.map((name) => cellOf(run[name])),
    ...settings.map(({ values }) => cellOf(values[i])),
  ]);
  return stringify([[...names, ...settings.map(({ key }) => key)], ...lines], { escape_formulas: true });
}

/** A line of `metrics.jsonl` a line, of all runs, in the order of their steps. */
export function metricsCsv(compared: readonly ComparedRun[]): string {
  const records = compared.flatMap(({ figures: { run }, steps, evals }) =>
    [...steps, ...evals].sort((a, b) => a.step - b.step).map((record) => ({ run, ...record }))
  ) as Record<string, unknown>[];
  const names = [...new Set(["run", "kind", "epoch", "step", ...records.flatMap((one) => Object.keys(one))])];
  const lines = records.map((record) => names.map((name) => cellOf(record[name])));
  return stringify([names, ...lines], { escape_formulas: true });
}

/** Where the metrics stand beside the figures: `runs.csv` and `runs.metrics.csv`. */
export function metricsPath(csv: string): string {
  return csv.replace(/(\.csv)?$/i, ".metrics.csv");
}

function cellOf(value: unknown): string {
  return value === null || value === undefined || value === "–" ? "" : neutralText(String(value));
}
