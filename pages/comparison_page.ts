/** The page of a comparison: one self-contained HTML file with curves, bars and the table of figures. */

import { metricOf } from "../train/files/run_folder.ts";
import { recipeHash } from "../train/recipe/hash.ts";
import type { ComparedRun, FigureRow, RunFigures } from "../train/run/compare.ts";
import { figureRows } from "../train/run/compare.ts";
import { formatMetric } from "../train/tasks/metric_text.ts";
import { bestColumn, type MetricColumn } from "../train/tasks/task.ts";
import { PageColours } from "./_colours.ts";
import { averaged, type Chart, dots, draw, line } from "./_plot.ts";
import { drawScatter } from "./_scatter.ts";
import { escapeHtml, section, shareBar } from "./html.ts";
import { type Fact, type PageOrigin, renderPage } from "./page.ts";
import { dataTable } from "./tables.ts";
import { formatBytes, formatCount } from "../lib/text.ts";

/** Renders the page. */
export function renderComparison(compared: readonly ComparedRun[], origin?: PageOrigin): string {
  const { folder, runs } = shortNames(compared);
  const palette = new PageColours();
  const colours = runs.map((_, i) => `--run-${i}:${palette.of(i)}`).join(";");
  const content = [
    section("Training", "", curves(runs)),
    costs(runs),
    section("At a glance", "Bars are shares of the largest value.", bars(runs)),
    section("Figures", "The best value of a row is bold.", table(runs)),
  ];
  return renderPage({
    title: `${runs.length} runs side by side`,
    about: `${runs.map(({ figures }) => figures.run).join(" · ")}${folder === "" ? "" : ` in ${folder}`}`,
    content: content.join(""),
    style: `:root{${colours}}`,
    origin,
    facts: runs.map(({ figures: { run }, config }): Fact => [
      run,
      `data set ${config.data.dataset}, validated on ${config.data.val_list ?? "nothing"}, recipe hash ${
        recipeHash(config)
      }`,
    ]),
  });
}

/** Runs are named without the folders that all of them lie in. */
function shortNames(compared: readonly ComparedRun[]): { folder: string; runs: readonly ComparedRun[] } {
  const paths = compared.map(({ figures: { run } }) => run.split(/[\\/]/));
  const shortest = Math.min(...paths.map((parts) => parts.length - 1));
  let shared = 0;
  while (shared < shortest && paths.every((parts) => parts[shared] === paths[0][shared])) shared++;
  const runs = compared.map((one, i) => ({
    ...one,
    figures: { ...one.figures, run: paths[i].slice(shared).join("/") },
  }));
  return { folder: paths[0].slice(0, shared).join("/"), runs };
}

function curves(runs: readonly ComparedRun[]): string {
  const keys = runs.map(({ figures }, i) => ({ name: figures.run, colour: `--run-${i}` }));
  const lastStep = runs.reduce((last, { figures }) => Math.max(last, figures.steps), 1);
  // Runs of one task have one metric; of several, a chart shows that of the first.
  const best = bestColumn(runs[0].task);
  const accuracy: Chart = {
    title: `Validation: ${best.title}`,
    description: runs.map(({ figures }) => `${figures.run}: ${text(best, figures[`best_${best.key}`])}`).join(
      ", ",
    ),
    keys,
    marks: runs.flatMap(({ evals }, i) => {
      const points = evals.filter((record) => best.key in record)
        .map((record) => ({ step: record.step, value: metricOf(record, best.key) }));
      return [line(points, `--run-${i}`), dots(points, `--run-${i}`)];
    }),
    y: best.format === "share" ? { domain: [0, 1], tickFormat: ".0%" } : { zero: true, nice: true },
  };
  const loss: Chart = {
    title: "Training loss",
    description: "Training loss over steps",
    keys,
    note: lossNote(runs),
    marks: runs.map(({ steps }, i) => {
      const points = steps.filter(({ loss }) => Number.isFinite(loss))
        .map(({ step, loss }) => ({ step, value: loss }));
      return line(averaged(points), `--run-${i}`);
    }),
    y: { zero: true, nice: true },
  };
  return `<div class="figures">${draw(accuracy, lastStep)}${draw(loss, lastStep)}</div>`;
}

/** What keeps the runs' training losses from being compared; undefined where they can be. */
function lossNote(runs: readonly ComparedRun[]): string | undefined {
  const settings: [name: string, of: (run: ComparedRun) => unknown][] = [
    ["tasks", ({ task }) => task.id],
    ["numbers of classes", ({ config }) => config.data.num_classes],
    ["label smoothing", ({ config }) => config.solver.smoothing],
    ["mixup", ({ config }) => config.solver.mixup],
    ["weights of classes", ({ config }) => config.data.balance === "loss"],
  ];
  const differ = settings.filter(([, of]) => new Set(runs.map(of)).size > 1).map(([name]) => name);
  return differ.length === 0
    ? undefined
    : `Not on one scale: the runs differ in ${differ.join(", ")}. What the validation says can be compared.`;
}

const MIB = 2 ** 20, MINUTE = 60;

/** The best metric against memory and against time, as papers draw it; "" where too few runs have both. */
function costs(runs: readonly ComparedRun[]): string {
  const best = bestColumn(runs[0].task), y = best.format === "share" ? { tickFormat: ".1%" } : {};
  const spots = (cost: (run: RunFigures) => number | null) =>
    runs.map(({ figures }, i) => ({
      name: figures.run.split("/").at(-1)!,
      x: cost(figures) ?? NaN,
      y: Number(figures[`best_${best.key}`] ?? NaN),
      colour: `--run-${i}`,
    }));
  const charts = [
    drawScatter(
      { title: `${best.title} against memory`, x: "GPU memory (MiB) →", y },
      spots((run) => run.gpu_bytes && run.gpu_bytes / MIB),
    ),
    drawScatter(
      { title: `${best.title} against time`, x: "training (minutes) →", y },
      spots((run) => run.seconds && run.seconds / MINUTE),
    ),
  ].join("");
  return charts === "" ? "" : section("What it costs", "", `<div class="figures">${charts}</div>`);
}

const text = (
  column: MetricColumn,
  value: unknown,
) => (typeof value === "number" ? formatMetric(column, value) : "–");

function bars(compared: readonly ComparedRun[]): string {
  const runs = compared.map(({ figures }) => figures), best = bestColumn(compared[0].task);
  const groups: [string, (run: RunFigures) => number | null, (value: number) => string][] = [
    [
      `Best ${best.title}`,
      (run) => (run[`best_${best.key}`] ?? null) as number | null,
      (x) => formatMetric(best, x),
    ],
    ["GPU memory", (run) => run.gpu_bytes, formatBytes],
    ["Clips a second", (run) => run.clips_per_second, (x) => x.toPrecision(3)],
    ["Trainable parameters", (run) => run.trainable_parameters, formatCount],
  ];
  const rows = groups.flatMap(([name, of, format]) => {
    const largest = runs.reduce((most, run) => Math.max(most, of(run) ?? 0), 0);
    return runs.map((run, i) => ({
      name: i === 0 ? name : "",
      run: run.run,
      i,
      value: of(run),
      largest,
      format,
    }));
  });
  return dataTable(rows, [
    { title: "Figure", kind: "heading", cell: ({ name }) => escapeHtml(name) },
    { title: "Run", kind: "path", cell: ({ run }) => escapeHtml(run) },
    {
      title: "Value",
      kind: "wide",
      cell: ({ i, value, largest, format }) =>
        value === null
          ? "–"
          : escapeHtml(format(value)) + (largest === 0 ? "" : shareBar(value / largest, `run-${i}`)),
    },
  ], { label: "Figures as bars" });
}

function table(runs: readonly ComparedRun[]): string {
  return dataTable(figureRows(runs), [
    { title: "Figure", kind: "heading", cell: ({ name }) => escapeHtml(name) },
    ...runs.map(({ figures: { run } }, i) => ({
      title: run,
      cell: ({ values, best }: FigureRow) => {
        const value = escapeHtml(values[i]);
        return best.includes(i) ? `<strong>${value}</strong>` : value;
      },
    })),
  ], { label: "Figures of the runs", className: "whole" });
}
