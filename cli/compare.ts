/** `sidenet compare`: runs side by side, as text, as JSON, as CSV and as a page with pictures. */
import { stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { readError, writeFileWhole } from "../data/files.ts";
import { DataError } from "../lib/errors.ts";
import { renderComparison } from "../pages/comparison_page.ts";
import { comparisonTable, isRun, readRun, remarksOn } from "../train/run/compare.ts";
import { defineCommand, parseArguments } from "./shared/args.ts";
import { comparisonCsv, comparisonLines, metricsCsv, metricsPath } from "./text/comparison.ts";
import type { Io } from "./shared/output.ts";

/** The page's name, beside the folder of the first run. */
const PAGE = "comparison.html";
/** Columns of text where there is no terminal to ask. */
const WIDE = 160;

export const command = defineCommand({
  name: "compare",
  summary: "Put runs side by side: accuracy, memory, speed, parameters, settings",
  usage: "RUN…",
  positionals: { min: 1 },
  details:
    `RUN is a run folder: ended, under way, stopped (by a signal, with everything saved) or failed (killed, or ended by an error).
What is no run folder is left out with a note. The best value of a row is marked with a star; settings that differ are rows. More than
six runs are a line each. A page with the same figures, curves and bars is written beside the first run's folder.`,
  examples: [
    ["sidenet compare runs/demo runs/demo-2", "two runs of the demo"],
    ["sidenet compare runs/* --out comparison.html", "all of them"],
    ["sidenet compare runs/* --csv runs.csv", "also as a table for other programs"],
  ],
  options: {
    out: {
      type: "string",
      placeholder: "FILE",
      help: `where the page goes, ${PAGE} beside the runs by default`,
    },
    csv: {
      type: "string",
      placeholder: "FILE",
      help:
        "also write the figures as CSV, a line a run, and beside it FILE.metrics.csv, a line of metrics.jsonl each",
    },
  },
});

export async function run(args: string[], io: Io): Promise<number> {
  const { values, positionals } = parseArguments(command, args);
  const { paths, leftOut } = await runsAmong(positionals);
  if (leftOut.length > 0) io.note(`left out, no run folders: ${leftOut.join(", ")}`);
  const runs = [];
  for (const path of paths) runs.push(await readRun(path));
  const figures = runs.map((run) => run.figures), remarks = remarksOn(runs);
  const page = values.out ?? join(dirname(figures[0].run), PAGE);
  await writeFileWhole(page, renderComparison(runs, { command: io.command }));
  if (values.csv !== undefined) {
    await writeFileWhole(values.csv, comparisonCsv(runs));
    await writeFileWhole(metricsPath(values.csv), metricsCsv(runs));
  }
  for (const remark of remarks) io.note(`warning: ${remark}`);
  const columns = io.isTerminal ? io.columns : WIDE;
  for (const line of comparisonLines(comparisonTable(runs), columns)) io.print(line);
  io.print(`page: ${page}`);
  if (values.csv !== undefined) io.print(`CSV: ${values.csv}, ${metricsPath(values.csv)}`);
  io.printJson({
    runs: figures,
    page,
    ...values.csv !== undefined && { csv: values.csv },
    left_out: leftOut,
    remarks,
  });
  return 0;
}

/** The run folders among paths, as a shell's `runs/*` gives them. A path with nothing there is an error. */
async function runsAmong(given: readonly string[]): Promise<{ paths: string[]; leftOut: string[] }> {
  const paths: string[] = [], leftOut: string[] = [];
  for (const path of given) {
    await stat(path).catch((error) => {
      throw readError(path, error);
    });
    (await isRun(path) ? paths : leftOut).push(path);
  }
  if (paths.length > 0) return { paths, leftOut };
  throw new DataError(
    `Cannot compare "${given[0]}"${given.length > 1 ? ` and ${given.length - 1} more` : ""}: ` +
      "it must be a run folder, there is no config.yaml in it",
  );
}
