/** `sidenet compare`: runs side by side, as text, as JSON and as a page with pictures. */
import { dirname, join } from "node:path";
import { writeFileWhole } from "../data/files.ts";
import { renderComparison } from "../pages/comparison_page.ts";
import { figureRows, readRun } from "../train/run/compare.ts";
import { defineCommand, parseArguments } from "./shared/args.ts";
import type { Io } from "./shared/output.ts";

/** The page's name, beside the folder of the first run. */
const PAGE = "comparison.html";

export const command = defineCommand({
  name: "compare",
  summary: "Put two or more runs side by side: accuracy, memory, speed, parameters",
  usage: "RUN RUN…",
  positionals: { min: 2 },
  details:
    `RUN is a run folder, finished or under way. The best value of a row is marked with a star. A page with the same
figures, curves and bars is written beside the first run's folder.`,
  examples: [
    ["sidenet compare runs/demo runs/demo-2", "two runs of the demo"],
    ["sidenet compare runs/* --out comparison.html", "all of them"],
  ],
  options: {
    out: {
      type: "string",
      placeholder: "FILE",
      help: `where the page goes, ${PAGE} beside the runs by default`,
    },
  },
});

export async function run(args: string[], io: Io): Promise<number> {
  const { values, positionals } = parseArguments(command, args);
  const runs = [];
  for (const path of positionals) runs.push(await readRun(path));
  const figures = runs.map((run) => run.figures);
  const page = values.out ?? join(dirname(figures[0].run), PAGE);
  await writeFileWhole(page, renderComparison(runs, { command: io.command }));
  for (const line of textTable(figures.map(({ run }) => run), figureRows(runs))) io.print(line);
  io.print(`page: ${page}`);
  io.printJson({ runs: figures, page });
  return 0;
}

/** Columns of text, one a run. */
function textTable(names: readonly string[], rows: ReturnType<typeof figureRows>): string[] {
  const cells = [
    ["", ...names],
    ...rows.map(({ name, values, best }) => [
      name,
      ...values.map((value, i) => `${value}${best.includes(i) ? " *" : ""}`),
    ]),
  ];
  const widths = cells[0].map((_, column) => Math.max(...cells.map((row) => row[column].length)));
  return cells.map((row) => row.map((cell, column) => cell.padEnd(widths[column])).join("  ").trimEnd());
}
