/** The page of a comparison: one self-contained HTML file with curves, bars and the table of figures. */

import { metricOf } from "../train/files/run_folder.ts";
import css from "./_style.css" with { type: "text" };
import type { ComparedRun, RunFigures } from "../train/run/compare.ts";
import { comparisonTable, remarksOn, shortNames } from "../train/run/compare.ts";
import { formatMetric } from "../train/tasks/metric_text.ts";
import { bestColumn, type MetricColumn } from "../train/tasks/task.ts";
import { type Chart, dots, draw, line } from "./_plot.ts";
import { escapeHtml, section, shareBar } from "./html.ts";
import { formatBytes, formatCount } from "../lib/text.ts";

/** Colours of the runs, one after the other (Okabe and Ito's, which most people can tell apart). */
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7d6b00", "#666666"];

/** Renders the page. */
export function renderComparison(runs: readonly ComparedRun[]): string {
  const names = runs.map(({ figures }) => figures.run), remarks = remarksOn(runs);
  const colours = names.map((_, i) => `--run-${i}:${COLOURS[i % COLOURS.length]}`).join(";");
  const title = runs.length === 1 ? "1 run" : `${runs.length} runs side by side`;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${title} · sidenet</title>
<style>${css}:root{${colours}}</style></head>
<body><main><header><h1>${title}</h1>${
    runs.length > MOST_NAMED ? "" : `<p>${escapeHtml(names.join(" · "))}</p>`
  }${
    remarks.map((remark) => `<p class="wrap"><strong>${escapeHtml(capital(remark))}.</strong></p>`).join("")
  }</header>${
    [
      section("Training", "", curves(runs)),
      section(
        "At a glance",
        "Bars are shares of the largest value.",
        bars(runs),
      ),
      section(
        "Figures",
        "The best value of a figure is bold; settings that differ stand behind the figures.",
        table(runs),
      ),
    ].join("")
  }<footer>Written by sidenet. This page is self-contained: it loads nothing.</footer></main></body></html>
`;
}

/** More runs are named in the table alone. */
const MOST_NAMED = 6;
const DASHES = [undefined, "6 3", "2 3"] as const;
const DASH_WORDS = { "6 3": "dashed", "2 3": "dotted" } as const;

const capital = (text: string) => text[0].toUpperCase() + text.slice(1);

function curves(runs: readonly ComparedRun[]): string {
  const names = shortNames(runs.map(({ figures }) => figures.run));
  // Colours come again after eight runs, with lines that are broken otherwise.
  const styles = runs.map((_, i) => ({
    strokeDasharray: DASHES[Math.floor(i / COLOURS.length) % DASHES.length],
  }));
  const keys = names.map((name, i) => ({
    name: styles[i].strokeDasharray === undefined
      ? name
      : `${name} (${DASH_WORDS[styles[i].strokeDasharray]})`,
    colour: `--run-${i}`,
  }));
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
      return [line(points, `--run-${i}`, styles[i]), dots(points, `--run-${i}`)];
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
        styles[i],
      )
    ),
    y: { zero: true, nice: true },
  };
  return `<div class="figures">${draw(accuracy, lastStep)}${draw(loss, lastStep)}</div>`;
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
    return runs.map((run, i) => {
      const value = of(run);
      const bar = value === null || largest === 0 ? "" : shareBar(value / largest, `run-${i}`);
      return `<tr><td>${i === 0 ? escapeHtml(name) : ""}</td><td>${
        escapeHtml(names[i])
      }</td><td class="wide">${bar}</td>` +
        `<td class="number">${value === null ? "–" : escapeHtml(format(value))}</td></tr>`;
    });
  });
  return `<table><tbody>${rows.join("")}</tbody></table>`;
}

function table(runs: readonly ComparedRun[]): string {
  const laid = comparisonTable(runs);
  const cell = (value: string, isBest: boolean) => {
    const text = escapeHtml(value);
    return `<td>${isBest ? `<strong>${text}</strong>` : text}</td>`;
  };
  const head = (texts: readonly string[]) => texts.map((text) => `<th>${escapeHtml(text)}</th>`).join("");
  const line = (name: string, cells: string) => `<tr><th scope="row">${escapeHtml(name)}</th>${cells}</tr>`;
  const whole = (heads: readonly string[], lines: readonly string[]) =>
    `<div class="scroll"><table><thead><tr><th></th>${head(heads)}</tr></thead><tbody>${
      lines.join("")
    }</tbody></table></div>`;
  if (!laid.byRun) {
    return whole(
      laid.runs,
      laid.rows.map(({ name, values, best }) =>
        line(name, values.map((value, i) => cell(value, best.includes(i))).join(""))
      ),
    );
  }
  const same = laid.shared.map(({ name, value }) => `${name} ${value}`).join(" · ");
  return (same === "" ? "" : `<p class="wrap">The same in all: ${escapeHtml(same)}</p>`) + whole(
    laid.rows.map(({ name }) => name),
    laid.runs.map((name, i) =>
      line(name, laid.rows.map(({ values, best }) => cell(values[i], best.includes(i))).join(""))
    ),
  );
}
