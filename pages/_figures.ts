/** A run's figures: the tiles at the head of the page, and the table of everything that the summary holds. */

import { formatBytes, formatCount, formatDuration, formatValue } from "../lib/text.ts";
import { metricOf, type Summary } from "../train/files/run_folder.ts";
import { formatMetric } from "../train/tasks/metric_text.ts";
import { bestColumn, type MetricColumn, type Task } from "../train/tasks/task.ts";
import { escapeHtml } from "./html.ts";
import { type Fact, factsTable } from "./page.ts";
import type { TileText } from "./parts/parts.ts";

type Columns = Pick<Task, "metrics" | "figures">;
type Measures = Columns & Pick<Task, "id" | "best">;

/** Text that begins with a capital letter. */
export function capitalised(text: string): string {
  return text.replace(/^./, (first) => first.toUpperCase());
}

/** The tiles: the task's metrics and figures, shares first, then what the run took. */
export function headlineTiles(
  summary: Partial<Summary>,
  { task, hidden, texts, own }: {
    task: Measures;
    /** Keys without a tile. */
    hidden: readonly string[];
    texts: Readonly<Record<string, TileText>>;
    /** Figures that stand for those of the summary, or beside them. */
    own: Readonly<Record<string, number>>;
  },
): string {
  const columns = [...task.metrics, ...task.figures ?? []].filter(({ key, detail }) =>
    !detail && !hidden.includes(key)
  );
  const isShare = ({ format }: MetricColumn) => format === "share";
  const ordered = [...columns.filter(isShare), ...columns.filter((column) => !isShare(column))];
  const tiles: [name: string, value: string | undefined, note: string][] = [
    ...ordered.map((column): [string, string | undefined, string] => {
      const value = own[column.key] ?? summary[column.key];
      const { name = capitalised(column.title), note = "" } = texts[column.key] ?? {};
      return [name, typeof value === "number" ? formatMetric(column, value) : undefined, note];
    }),
    bestTile(summary, task),
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
      `<dl class="tile"><dt>${escapeHtml(name)}</dt><dd>${escapeHtml(value)}<small>${
        escapeHtml(note)
      }</small></dd></dl>`,
    ]
  );
  return `<div class="tiles">${shown.join("")}</div>`;
}

/** The tile of the best evaluation, beside those of the last. */
function bestTile({ best, steps }: Partial<Summary>, task: Measures): [string, string | undefined, string] {
  const column = bestColumn(task), value = best?.[column.key];
  const others = best &&
    task.metrics.filter(({ key, format, detail }) => key !== column.key && format !== "share" && !detail)
      .map((other) => `${other.title} ${formatMetric(other, metricOf(best, other.key))}`);
  const note = [
    best?.step === steps ? "the last evaluation" : `after epoch ${(best?.epoch ?? 0) + 1}`,
    ...others ?? [],
  ];
  return [
    `Best ${column.title}`,
    value === undefined ? undefined : formatMetric(column, value),
    note.join(", "),
  ];
}

function given<T>(value: T | undefined, format: (value: T) => string): string | undefined {
  return value === undefined ? undefined : format(value);
}

function compactCount(count: number): string {
  return new Intl.NumberFormat("en-US", { notation: "compact", maximumSignificantDigits: 3 }).format(count);
}

type Figure = readonly [name: string, format: (value: number) => string];

/** Names and forms of figures that every run has; others are shown as they are. */
const FIGURES: Readonly<Record<string, Figure>> = {
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

/** Names of evaluations that a summary holds whole. */
const EVALUATIONS: Readonly<Record<string, string>> = {
  best: "Best evaluation",
  baseline: "Before training",
};
/** What a section of its own tells. */
const TOLD_ELSEWHERE = ["broken"];

/** The table of a summary's figures; "" when there are none. */
export function figuresTable(summary: Partial<Summary>, { metrics, figures }: Columns): string {
  const columns = [...metrics, ...figures ?? []].map((column): [string, Figure] => [
    column.key,
    [
      capitalised(column.title),
      (value) => formatMetric(column, value, { digits: 2 }),
    ],
  ]);
  const known: Readonly<Record<string, Figure>> = { ...FIGURES, ...Object.fromEntries(columns) };
  const rows = Object.entries(summary).flatMap(([key, value]): Fact[] => {
    if (TOLD_ELSEWHERE.includes(key)) return [];
    const name = known[key]?.[0] ?? EVALUATIONS[key] ?? capitalised(key.replaceAll("_", " "));
    return [[name, textOf(value, known[key]?.[1], known)]];
  });
  return factsTable(rows);
}

/** A figure in words. Of what holds several, each is named; undefined: there is nothing to tell. */
function textOf(
  value: unknown,
  format: ((value: number) => string) | undefined,
  known: Readonly<Record<string, Figure>>,
): string | undefined {
  if (typeof value === "number") {
    return format?.(value) ?? (Number.isInteger(value) ? formatCount(value) : formatValue(value));
  }
  if (typeof value === "string") return value;
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value !== "object" || value === null) return undefined;
  if (Array.isArray(value)) return value.map((one) => textOf(one, format, known)).filter(Boolean).join(", ");
  const { epoch, step, ...others } = value as Record<string, unknown>;
  const place = [
    typeof epoch === "number"
      ? (epoch < 0 ? "before the first epoch" : `after epoch ${formatCount(epoch + 1)}`)
      : "",
    typeof step === "number" ? `step ${formatCount(step)}` : "",
  ].filter(Boolean).join(", ");
  const parts = Object.entries(others).flatMap(([key, own]) => {
    const text = textOf(own, known[key]?.[1], known), name = known[key]?.[0] ?? key.replaceAll("_", " ");
    return text === undefined ? [] : [`${uncapitalised(name)} ${text}`];
  });
  return [place, parts.join(", ")].filter(Boolean).join(": ");
}

function uncapitalised(text: string): string {
  return text.replace(/^./, (first) => first.toLowerCase());
}
