/** The page of a comparison: one self-contained HTML file with curves, bars and the table of figures. */

import { metricOf } from "../train/files/run_folder.ts";
import { recipeHash } from "../train/recipe/hash.ts";
import type { ComparedRun, FigureRow, RunFigures } from "../train/run/compare.ts";
import { comparisonTable, remarksOn, shortNames } from "../train/run/compare.ts";
import { formatMetric } from "../train/tasks/metric_text.ts";
import { bestColumn, type MetricColumn } from "../train/tasks/task.ts";
import { PageColours } from "../lib/colours.ts";
import { averaged, type Chart, dots, draw, line } from "./_plot.ts";
import { drawScatter } from "./_scatter.ts";
import { escapeHtml, section, shareBar } from "./html.ts";
import { type Fact, type PageOrigin, renderPage } from "./page.ts";
import { dataTable } from "./tables.ts";
import { formatBytes, formatCount } from "../lib/text.ts";

/** Renders the page. */
export function renderComparison(runs: readonly ComparedRun[], origin?: PageOrigin): string {
  const names = runs.map(({ figures }) => figures.run), palette = new PageColours();
  const colours = runs.map((_, i) => `--run-${i}:${palette.of(i)}`).join(";");
  const content = [
    ...remarksOn(runs).map((remark) =>
      `<p class="wrap"><strong>${escapeHtml(capital(remark))}.</strong></p>`
    ),
    section("Training", "", curves(runs)),
    costs(runs),
    section("At a glance", "Bars are shares of the largest value.", bars(runs)),
    section(
      "Figures",
      "The best value of a figure is bold; settings that differ stand behind the figures.",
      table(runs),
    ),
  ];
  return renderPage({
    title: runs.length === 1 ? "1 run" : `${runs.length} runs side by side`,
    about: runs.length > MOST_NAMED ? "" : names.join(" · "),
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

/** More runs are named in the table alone. */
const MOST_NAMED = 6;

const capital = (text: string) => text[0].toUpperCase() + text.slice(1);

function curves(runs: readonly ComparedRun[]): string {
  const names = shortNames(runs.map(({ figures }) => figures.run));
  const keys = names.map((name, i) => ({ name, colour: `--run-${i}` }));
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
  const names = shortNames(runs.map(({ figures }) => figures.run));
  const spots = (cost: (run: RunFigures) => number | null) =>
    runs.map(({ figures }, i) => ({
      name: names[i],
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
  const names = shortNames(runs.map(({ run }) => run));
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
      run: names[i],
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
  const { byRun, runs: names, rows, shared } = comparisonTable(runs);
  const value = ({ values, best }: FigureRow, i: number) => {
    const text = escapeHtml(values[i]);
    return best.includes(i) ? `<strong>${text}</strong>` : text;
  };
  const options = { label: "Figures of the runs", className: "whole" };
  if (!byRun) {
    return dataTable(rows, [
      { title: "Figure", kind: "heading", cell: ({ name }) => escapeHtml(name) },
      ...names.map((title, i) => ({ title, cell: (row: FigureRow) => value(row, i) })),
    ], options);
  }
  const same = shared.map(({ name, value }) => `${name} ${value}`).join(" · ");
  const table = dataTable(names.map((name, i) => ({ name, i })), [
    { title: "Run", kind: "heading", cell: ({ name }) => escapeHtml(name) },
    ...rows.map((row) => ({ title: row.name, cell: ({ i }: { name: string; i: number }) => value(row, i) })),
  ], options);
  return (same === "" ? "" : `<p class="wrap">The same in all: ${escapeHtml(same)}</p>`) + table;
}
