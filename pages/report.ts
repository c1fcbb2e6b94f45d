/**
 * `report.html`: one self-contained page about a run (no request leaves it), with the headline figures, curves,
 * confusion matrix, classes, example clips, problems with the data and the config.
 */
import css from "./_style.css" with { type: "text" };
import sortScript from "./_sort.js" with { type: "text" };
import { type Config, formatConfig } from "../train/recipe/config.ts";
import { renderCharts } from "./_charts.ts";
import { renderClassTable, renderConfusedPairs } from "./_classes.ts";
import { escapeHtml, pictureUri, section, shareBar } from "./_html.ts";
import { renderMatrix } from "./_matrix.ts";
import { type DataProblem, describeProblems } from "../train/feed/problems.ts";
import { formatBytes, formatCount, formatDuration, formatShare, formatValue } from "../lib/text.ts";
import type { EvalRecord, StepRecord, Summary } from "../train/files/run_folder.ts";
import { createClassificationMetrics } from "../train/tasks/class_metrics.ts";

/** A clip shown with its prediction. */
export interface ExampleClip {
  path: string;
  /** Name of the true class. */
  label: string;
  /** Frames in order, as JPEG or PNG files. */
  frames: readonly Uint8Array[];
  /** Best classes, best first. */
  top: readonly { label: string; p: number }[];
}

/** What a report is made of. */
export interface ReportData {
  config: Config;
  summary: Partial<Summary>;
  /** Training progress; without any there are no curves. */
  steps: readonly StepRecord[];
  evals: readonly EvalRecord[];
  /** Counts, `[true class][predicted class]`. */
  confusion: readonly (readonly number[])[];
  /** Names of the classes. */
  labels: readonly string[];
  examples: readonly ExampleClip[];
  problems: readonly DataProblem[];
}

/** Pairs listed when the confusion matrix is too fine for names. */
const CONFUSED_PAIRS = 12;
/** Classes up to which the matrix names them itself. */
const NAMED_CLASSES = 30;
const PREDICTIONS_SHOWN = 3;
const PROBLEMS_SHOWN = 200;
/** Frames in one row of a strip; more go into a second row. */
const FRAMES_IN_ROW = 8;

/** Renders the page. */
export function renderReport(data: ReportData): string {
  const { config, summary } = data;
  const subtitle = `${summary.system ?? config.system} on ${summary.backbone ?? config.network.arch} · ` +
    `${data.labels.length} classes · ${config.data.num_segments} frames a clip`;
  const content = [
    `<header><h1>${escapeHtml(config.name)}</h1><p>${escapeHtml(subtitle)}</p></header>`,
    headline(data),
    section("Training", "", renderCharts(data.steps, data.evals, data.labels.length)),
    section("Classes", classesIntro(data), classes(data)),
    section("Example clips", examplesIntro(data.examples), examples(data.examples)),
    section("Figures", "", figuresTable(summary)),
    section("Data problems", problemsIntro(data.problems), problems(data.problems)),
    section(
      "Config",
      "",
      `<details><summary>Resolved config</summary><pre>${escapeHtml(formatConfig(config))}</pre></details>`,
    ),
    "<footer>Written by sidenet. This page is self-contained: it loads nothing.</footer>",
  ].join("");
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>${escapeHtml(config.name)} · sidenet</title>
<style>${css}</style></head>
<body><main>${content}</main><script>${sortScript}</script></body></html>
`;
}

function headline({ summary, labels, confusion }: ReportData): string {
  const chance = labels.length > 0 ? `chance ${formatShare(1 / labels.length)}` : "";
  const counts = createClassificationMetrics(labels.length);
  confusion.forEach((row, truth) => row.forEach((count, k) => counts.confusion[truth][k] = count));
  const tiles: [name: string, value: string | undefined, note: string][] = [
    ["Top-1 accuracy", given(summary.top1, formatShare), chance],
    ["Top-5 accuracy", labels.length > 5 ? given(summary.top5, formatShare) : undefined, ""],
    ["Mean class accuracy", confusion.length > 0 ? formatShare(counts.meanClassAccuracy) : undefined, ""],
    ["Validation loss", given(summary.loss, formatValue), ""],
    [
      "Time",
      given(summary.seconds, formatDuration),
      given(summary.clips, (clips) => `${formatCount(clips)} clips`) ?? "",
    ],
    ["Speed", given(summary.clips_per_second, (speed) => speed.toPrecision(3)), "clips per second"],
    [
      "GPU memory",
      given(summary.gpu_bytes_allocated, formatBytes),
      given(summary.gpu_bytes_planned, (bytes) => `${formatBytes(bytes)} planned`) ?? "",
    ],
    [
      "Trainable parameters",
      given(summary.trainable_parameters, compactCount),
      given(summary.frozen_parameters, (count) => `${compactCount(count)} frozen`) ?? "",
    ],
  ];
  const shown = tiles.flatMap(([name, value, note]) =>
    value === undefined ? [] : [
      `<dl class="tile"><dt>${name}</dt><dd>${escapeHtml(value)}<small>${escapeHtml(note)}</small></dd></dl>`,
    ]
  );
  return `<div class="tiles">${shown.join("")}</div>`;
}

function given<T>(value: T | undefined, format: (value: T) => string): string | undefined {
  return value === undefined ? undefined : format(value);
}

function compactCount(count: number): string {
  return new Intl.NumberFormat("en-US", { notation: "compact", maximumSignificantDigits: 3 }).format(count);
}

function classesIntro({ confusion }: ReportData): string {
  const clips = confusion.flat().reduce((a, b) => a + b, 0);
  return `${
    formatCount(clips)
  } validation clips. A row of the matrix is a true class and a column a prediction: right answers lie on the diagonal.`;
}

function classes({ confusion, labels }: ReportData): string {
  if (confusion.length === 0) return "";
  const table = renderClassTable(confusion, labels);
  const matrix = renderMatrix(confusion, labels);
  if (labels.length <= NAMED_CLASSES) return `<div class="matrix">${matrix}${table}</div>`;
  const pairs = renderConfusedPairs(confusion, labels, CONFUSED_PAIRS);
  return `<div class="matrix fine">${matrix}${pairs}</div><h3>Every class</h3>${table}`;
}

function isRight(clip: ExampleClip): boolean {
  return clip.top[0]?.label === clip.label;
}

function examplesIntro(clips: readonly ExampleClip[]): string {
  const right = clips.filter(isRight).length;
  return `Clips of the validation set: the frames that the network sees, before they are cropped. ${right} of these ${clips.length} are right.`;
}

function examples(clips: readonly ExampleClip[]): string {
  if (clips.length === 0) return "";
  return `<div class="clips">${clips.map(exampleCard).join("")}</div>`;
}

function exampleCard(clip: ExampleClip): string {
  const right = isRight(clip);
  const columns = Math.min(FRAMES_IN_ROW, clip.frames.length);
  const frames = clip.frames.map((bytes, i) =>
    `<img src="${pictureUri(bytes)}" alt="frame ${i + 1} of ${clip.frames.length}" loading="lazy">`
  ).join("");
  const predictions = clip.top.slice(0, PREDICTIONS_SHOWN).map(({ label, p }) => {
    const isTrue = label === clip.label;
    const tone = isTrue ? "good" : "soft";
    return `<li><span class="wrap${isTrue ? " true" : ""}">${escapeHtml(label)}</span><span>${
      formatShare(p)
    }</span>${shareBar(p, tone)}</li>`;
  }).join("");
  return `<article class="clip"><header><h3>${escapeHtml(clip.label)}</h3>` +
    `<span class="verdict ${right ? "right" : "wrong"}">${right ? "✓ right" : "✗ wrong"}</span></header>` +
    `<p class="path">${escapeHtml(clip.path)}</p>` +
    `<div class="strip" style="--frames:${columns}">${frames}</div>` +
    `<ol class="top" aria-label="predictions">${predictions}</ol></article>`;
}

/** Names and forms of the figures of `summary.json`; others are shown as they are. */
const FIGURES: Record<string, [name: string, format: (value: number) => string]> = {
  top1: ["Top-1", (value) => formatShare(value, 2)],
  top5: ["Top-5", (value) => formatShare(value, 2)],
  mean_class_accuracy: ["Mean class accuracy", (value) => formatShare(value, 2)],
  loss: ["Validation loss", formatValue],
  epochs: ["Epochs", formatCount],
  steps: ["Optimiser steps", formatCount],
  clips: ["Training clips seen", formatCount],
  training_clips: ["Training clips", formatCount],
  epoch_clips: ["Clips an epoch", formatCount],
  seconds: ["Time", formatDuration],
  clips_per_second: ["Clips per second", (value) => value.toPrecision(4)],
  gpu_bytes_planned: ["GPU memory planned", formatBytes],
  gpu_bytes_allocated: ["GPU memory allocated", formatBytes],
  trainable_parameters: ["Trainable parameters", formatCount],
  frozen_parameters: ["Frozen parameters", formatCount],
};

function figuresTable(summary: Partial<Summary>): string {
  const rows = Object.entries(summary).map(([key, value]) => {
    const known = FIGURES[key];
    const name = known?.[0] ?? key.replaceAll("_", " ").replace(/^./, (first) => first.toUpperCase());
    const text = known && typeof value === "number"
      ? known[1](value)
      : typeof value === "string"
      ? value
      : JSON.stringify(value) ?? "";
    return `<tr><th scope="row">${escapeHtml(name)}</th><td class="wrap">${escapeHtml(text)}</td></tr>`;
  });
  if (rows.length === 0) return "";
  return `<div class="scroll"><table class="plain"><tbody>${rows.join("")}</tbody></table></div>`;
}

function problemsIntro(list: readonly DataProblem[]): string {
  if (list.length === 0) return "";
  const shown = list.length > PROBLEMS_SHOWN ? `, of which the first ${PROBLEMS_SHOWN} are listed` : "";
  return `${describeProblems(list.length)}${shown}.`;
}

function problems(list: readonly DataProblem[]): string {
  if (list.length === 0) return "<p>None: every frame was read.</p>";
  const rows = list.slice(0, PROBLEMS_SHOWN).map(({ path, problem }) =>
    `<tr><td class="wrap">${escapeHtml(path)}</td><td class="wrap">${escapeHtml(problem)}</td></tr>`
  );
  return `<div class="scroll" tabindex="0" role="region" aria-label="Data problems"><table><thead><tr>` +
    `<th scope="col">File</th><th scope="col">Problem</th></tr></thead><tbody>${
      rows.join("")
    }</tbody></table></div>`;
}
