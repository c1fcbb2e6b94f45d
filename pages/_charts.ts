/** Curves of a run as static SVG, drawn by Observable Plot. Colours are CSS variables, so that they follow the theme. */
import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import type { EvalRecord, StepRecord } from "../train/files/run_folder.ts";
import { formatCount, formatShare } from "../lib/text.ts";
import { escapeHtml } from "./_html.ts";

/** Points drawn at most; longer series are averaged in buckets. */
const MAX_POINTS = 400;
/** Steps over which the bold training-loss curve is averaged, as a share of the series. */
const SMOOTHING_SHARE = 0.03;

const WIDE = { width: 540, height: 280 };
const SMALL = { width: 380, height: 200 };

interface Point {
  step: number;
  value: number;
}

/** A series' name and colour, for the key above a chart. */
interface Key {
  name: string;
  colour: string;
}

/** The charts of a training run. */
export function renderCharts(
  steps: readonly StepRecord[],
  evals: readonly EvalRecord[],
  classes: number,
): string {
  if (steps.length === 0) return "";
  const lastStep = Math.max(steps[steps.length - 1].step, evals.at(-1)?.step ?? 0);
  const wide = [lossChart(steps, evals), accuracyChart(evals, classes)].map((one) => draw(one, lastStep))
    .join("");
  const small = [
    smallChart("Learning rate", steps, (record) => record.lr, { tickFormat: "~g" }),
    smallChart("Clips per second", steps, (record) => record.clips_per_second, { tickFormat: "~s" }),
    smallChart("Time waiting for data", steps, (record) => record.data_wait, {
      tickFormat: ".0%",
      domain: [0, 1],
    }),
  ].map((one) => draw(one, lastStep)).join("");
  return `<div class="figures">${wide}</div><div class="figures small">${small}</div>`;
}

function lossChart(steps: readonly StepRecord[], evals: readonly EvalRecord[]): Chart {
  const raw = steps.filter(({ loss }) => Number.isFinite(loss)).map(({ step, loss }) => ({
    step,
    value: loss,
  }));
  const evaluated = evals.map(({ step, loss }) => ({ step, value: loss }));
  const last = raw.at(-1);
  return {
    title: "Loss",
    description: last
      ? `Training loss falls from ${raw[0].value.toFixed(3)} to ${last.value.toFixed(3)}`
      : "No loss",
    keys: [
      { name: "training", colour: "--series-1" },
      ...(evaluated.length > 0 ? [{ name: "validation", colour: "--series-2" }] : []),
    ],
    marks: [
      line(averaged(raw), "--series-1", { strokeOpacity: 0.3, strokeWidth: 1 }),
      line(averaged(smoothed(raw)), "--series-1"),
      line(evaluated, "--series-2"),
      dots(evaluated, "--series-2"),
    ],
    y: { zero: true, nice: true },
  };
}

function accuracyChart(evals: readonly EvalRecord[], classes: number): Chart {
  const of = (key: "top1" | "top5") => evals.map((record) => ({ step: record.step, value: record[key] }));
  const showsFive = classes > 5;
  return {
    title: "Validation accuracy",
    description: evals.length > 0
      ? `Best top-1 ${formatShare(most(evals.map(({ top1 }) => top1)))}`
      : "No evaluation was made",
    keys: [
      { name: "top-1", colour: "--series-1" },
      ...(showsFive ? [{ name: "top-5", colour: "--series-2" }] : []),
      { name: `chance ${(100 / classes).toPrecision(2)} %`, colour: "--soft" },
    ],
    marks: [
      Plot.ruleY([1 / classes], { stroke: "var(--soft)", strokeDasharray: "4 4" }),
      ...(showsFive ? [line(of("top5"), "--series-2"), dots(of("top5"), "--series-2")] : []),
      line(of("top1"), "--series-1"),
      dots(of("top1"), "--series-1"),
    ],
    y: { domain: [0, 1], tickFormat: ".0%" },
  };
}

function smallChart(
  title: string,
  steps: readonly StepRecord[],
  value: (record: StepRecord) => number,
  y: Plot.ScaleOptions,
): Chart {
  const points = steps.map((record) => ({ step: record.step, value: value(record) }));
  const values = points.map((point) => point.value);
  return {
    title,
    description: `From ${least(values).toPrecision(3)} to ${most(values).toPrecision(3)}`,
    keys: [],
    marks: [line(averaged(points), "--series-1")],
    y: { zero: true, nice: true, ...y },
    small: true,
  };
}

// A long run has more records than a function call can take arguments, so no Math.min(...values).
const least = (values: readonly number[]) => values.reduce((a, b) => Math.min(a, b), Infinity);
const most = (values: readonly number[]) => values.reduce((a, b) => Math.max(a, b), -Infinity);

/** A curve over steps. */
export function line(
  points: readonly Point[],
  colour: string,
  options: Plot.LineYOptions = {},
): Plot.Markish {
  return Plot.lineY(points, { x: "step", y: "value", stroke: `var(${colour})`, strokeWidth: 2, ...options });
}

/** The points of a curve. */
export function dots(points: readonly Point[], colour: string): Plot.Markish {
  // A dot an evaluation; with very many they would hide the line.
  return Plot.dot(points.length <= 60 ? points : [], { x: "step", y: "value", r: 3, fill: `var(${colour})` });
}

/** A chart over steps. */
export interface Chart {
  title: string;
  description: string;
  keys: Key[];
  marks: Plot.Markish[];
  y: Plot.ScaleOptions;
  small?: boolean;
}

/** Draws a chart as a figure with its key. */
export function draw({ title, description, keys, marks, y, small }: Chart, lastStep: number): string {
  // No DOM types are loaded in this project; Plot asks for nothing but a document that can create elements.
  const { document } = parseHTML("<!doctype html><html><body></body></html>") as unknown as {
    document: never;
  };
  const drawn = Plot.plot({
    document,
    ...(small ? SMALL : WIDE),
    marginLeft: 54,
    marginRight: 12,
    marginTop: 14,
    marginBottom: 38,
    style: { fontSize: "13px", background: "transparent" },
    x: {
      label: "step",
      domain: [0, lastStep],
      ticks: small ? 4 : 6,
      tickFormat: lastStep < 10_000 ? formatCount : "~s",
      labelAnchor: "right",
    },
    y: { label: null, grid: true, ticks: small ? 4 : 5, ...y },
    marks: [Plot.ruleY([0], { strokeOpacity: 0.4 }), ...marks],
  });
  drawn.setAttribute("role", "img");
  drawn.setAttribute("aria-label", `${title}. ${description}`);
  const key = keys.map(({ name, colour }) =>
    `<span><i style="background:var(${colour})"></i>${escapeHtml(name)}</span>`
  );
  return `<figure><figcaption>${escapeHtml(title)}<span class="key">${key.join("")}</span></figcaption>` +
    `${drawn.outerHTML}</figure>`;
}

/** Means of consecutive buckets, so that no more than `MAX_POINTS` are left. */
function averaged(points: readonly Point[]): Point[] {
  const size = Math.ceil(points.length / MAX_POINTS);
  if (size <= 1) return [...points];
  return Array.from({ length: Math.ceil(points.length / size) }, (_, i) => {
    const bucket = points.slice(i * size, (i + 1) * size);
    const mean = (of: (point: Point) => number) =>
      bucket.reduce((sum, point) => sum + of(point), 0) / bucket.length;
    return { step: mean((point) => point.step), value: mean((point) => point.value) };
  });
}

/** Exponential mean, corrected for its start as Adam's moments are. */
function smoothed(points: readonly Point[]): Point[] {
  const decay = Math.exp(-1 / Math.max(1, points.length * SMOOTHING_SHARE));
  let sum = 0, weight = 0;
  return points.map(({ step, value }) => {
    sum = decay * sum + (1 - decay) * value;
    weight = decay * weight + (1 - decay);
    return { step, value: sum / weight };
  });
}
