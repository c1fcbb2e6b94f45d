/** The page of a comparison: one self-contained HTML file with curves, bars and the table of figures. */

import { metricOf } from "../train/files/run_folder.ts";
import css from "./_style.css" with { type: "text" };
import type { ComparedRun, RunFigures } from "../train/run/compare.ts";
import { figureRows } from "../train/run/compare.ts";
import { formatMetric } from "../train/tasks/metric_text.ts";
import { bestColumn, type MetricColumn } from "../train/tasks/task.ts";
import { type Chart, dots, draw, line } from "./_plot.ts";
import { drawScatter } from "./_scatter.ts";
import { escapeHtml, section, shareBar } from "./html.ts";
import { formatBytes, formatCount } from "../lib/text.ts";

/** Colours of the runs, one after the other (Okabe and Ito's, which most people can tell apart). */
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7d6b00", "#666666"];

/** Renders the page. */
export function renderComparison(runs: readonly ComparedRun[]): string {
  const names = runs.map(({ figures }) => figures.run);
  const colours = names.map((_, i) => `--run-${i}:${COLOURS[i % COLOURS.length]}`).join(";");
  const title = `${runs.length} runs side by side`;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${title} · sidenet</title>
<style>${css}:root{${colours}}</style></head>
<body><main><header><h1>${title}</h1><p>${escapeHtml(names.join(" · "))}</p></header>${
    [
      section("Training", "", curves(runs)),
      costs(runs),
      section(
        "At a glance",
        "Bars are shares of the largest value.",
        bars(runs),
      ),
      section("Figures", "The best value of a row is bold.", table(runs)),
    ].join("")
  }<footer>Written by sidenet. This page is self-contained: it loads nothing.</footer></main></body></html>
`;
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
    marks: runs.map(({ steps }, i) =>
      line(
        steps.filter(({ loss }) => Number.isFinite(loss)).map(({ step, loss }) => ({ step, value: loss })),
        `--run-${i}`,
      )
    ),
    y: { zero: true, nice: true },
  };
  return `<div class="figures">${draw(accuracy, lastStep)}${draw(loss, lastStep)}</div>`;
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
    return runs.map((run, i) => {
      const value = of(run);
      const bar = value === null || largest === 0 ? "" : shareBar(value / largest, `run-${i}`);
      return `<tr><td>${i === 0 ? escapeHtml(name) : ""}</td><td>${
        escapeHtml(run.run)
      }</td><td class="wide">${bar}</td>` +
        `<td class="number">${value === null ? "–" : escapeHtml(format(value))}</td></tr>`;
    });
  });
  return `<table><tbody>${rows.join("")}</tbody></table>`;
}

function table(runs: readonly ComparedRun[]): string {
  const head = runs.map(({ figures: { run } }) => `<th>${escapeHtml(run)}</th>`).join("");
  const rows = figureRows(runs).map(({ name, values, best }) => {
    const cells = values.map((value, i) => {
      const text = escapeHtml(value);
      return `<td>${best.includes(i) ? `<strong>${text}</strong>` : text}</td>`;
    });
    return `<tr><th scope="row">${escapeHtml(name)}</th>${cells.join("")}</tr>`;
  });
  return `<table><thead><tr><th></th>${head}</tr></thead><tbody>${rows.join("")}</tbody></table>`;
}
