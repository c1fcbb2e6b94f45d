/** The charts of a training run: losses, the task's metrics, learning rate and speed. */

import type * as Plot from "@observablehq/plot";
import { type EvalRecord, metricOf, type StepRecord } from "../train/files/run_folder.ts";
import { formatMetric } from "../train/tasks/metric_text.ts";
import type { MetricColumn } from "../train/tasks/task.ts";
import { averaged, type Chart, dots, draw, level, line, type Point } from "./_plot.ts";
import type { LossText, ShareChart } from "./parts/parts.ts";

/** Steps over which the bold training-loss curve is averaged, as a share of the series. */
const SMOOTHING_SHARE = 0.03;
/** The metric that is drawn beside the training loss. */
const LOSS = "loss";

/** Colours of curves after those two that the sheet names (Okabe and Ito's, which most people can tell apart). */
const MORE_COLOURS = ["#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
const COLOURS = ["--series-1", "--series-2", ...MORE_COLOURS.map((_, i) => `--series-${i + 3}`)];

/** What the charts show of a task. */
export interface ChartedMetrics {
  /** In the order of the task. */
  columns: readonly MetricColumn[];
  /** Key of the metric that is told of in words, where it is a share. */
  best: string;
  /** Title and levels of the chart of shares; the title is made from the columns by default. */
  shareChart?: ShareChart;
  /** How the training loss and that of the evaluations compare; nothing is said without it. */
  lossText?: LossText;
}

/** The charts; "" when there was no training. */
export function renderCharts(
  steps: readonly StepRecord[],
  evals: readonly EvalRecord[],
  { columns, best, shareChart, lossText }: ChartedMetrics,
): string {
  if (steps.length === 0) return "";
  const lastStep = Math.max(steps[steps.length - 1].step, evals.at(-1)?.step ?? 0);
  const shares = columns.filter(({ format }) => format === "share");
  const values = columns.filter(({ format, key }) => format !== "share" && key !== LOSS);
  const wide = [
    lossChart(steps, columns.some(({ key }) => key === LOSS) ? pointsOf(evals, LOSS) : [], lossText),
    ...(shares.length > 0 ? [sharesChart(evals, { shares, best, ...shareChart })] : []),
    ...values.map((column) => valueChart(evals, column)),
  ].map((one) => draw(one, lastStep)).join("");
  const small = [
    smallChart(["Learning rate", "as scheduled"], steps, (record) => record.lr, { tickFormat: "~g" }),
    smallChart(["Clips per second", "in training"], steps, (record) => record.clips_per_second, {
      tickFormat: "~s",
    }),
    smallChart(["Waiting for data", "share of the time"], steps, (record) => record.data_wait, {
      tickFormat: ".0%",
      domain: [0, 1],
    }),
  ].map((one) => draw(one, lastStep)).join("");
  return `<div class="figures">${wide}</div><div class="figures small">${small}</div>`;
}

/** Style of the colours that the charts of these metrics need besides the sheet's own. */
export function chartStyle(columns: readonly MetricColumn[]): string {
  const shares = columns.filter(({ format }) => format === "share").length;
  const more = MORE_COLOURS.slice(0, Math.max(0, shares - 2)).map((colour, i) =>
    `${COLOURS[i + 2]}:${colour}`
  );
  return more.length === 0 ? "" : `:root{${more.join(";")}}`;
}

/** A metric over steps, without the evaluations that lack it. */
function pointsOf(evals: readonly EvalRecord[], key: string): Point[] {
  return evals.filter((record) => key in record).map((record) => ({
    step: record.step,
    value: metricOf(record, key),
  }));
}

function lossChart(steps: readonly StepRecord[], evaluated: readonly Point[], text?: LossText): Chart {
  const raw = steps.filter(({ loss }) => Number.isFinite(loss)).map(({ step, loss }) => ({
    step,
    value: loss,
  }));
  const last = raw.at(-1);
  return {
    title: "Loss",
    description: last
      ? `Training loss falls from ${raw[0].value.toFixed(3)} to ${last.value.toFixed(3)}`
      : "No loss",
    keys: [
      { name: "training, running mean", colour: "--series-1" },
      { name: "each logged value", colour: "--series-1", line: "thin" },
      ...(evaluated.length > 0 ? [{ name: "validation", colour: "--series-2" }] : []),
      ...(text?.levels ?? []).map(({ name }) => ({ name, colour: "--soft", line: "dashed" as const })),
    ],
    note: evaluated.length > 0 ? text?.note : undefined,
    marks: [
      ...(text?.levels ?? []).map(({ value }) => level(value)),
      line(averaged(raw), "--series-1", { strokeOpacity: 0.4, strokeWidth: 1 }),
      line(averaged(smoothed(raw)), "--series-1"),
      line(evaluated, "--series-2"),
      dots(evaluated, "--series-2"),
    ],
    y: { zero: true, nice: true },
  };
}

function sharesChart(
  evals: readonly EvalRecord[],
  { shares, best, title = titleOf(shares), levels = [] }: Partial<ShareChart> & {
    shares: readonly MetricColumn[];
    best: string;
  },
): Chart {
  const colourOf = (i: number) => COLOURS[i % COLOURS.length];
  const curves = shares.map(({ key }, i) => {
    const points = pointsOf(evals, key);
    return [line(points, colourOf(i)), dots(points, colourOf(i))];
  });
  return {
    title,
    description: describeBest(evals, shares.find(({ key }) => key === best) ?? shares[0]),
    keys: [
      ...shares.map(({ name }, i) => ({ name, colour: colourOf(i) })),
      ...levels.map(({ name }) => ({ name, colour: "--soft", line: "dashed" as const })),
    ],
    marks: [
      ...levels.map(({ value }) => level(value)),
      ...curves.toReversed().flat(), // the first lies on top
    ],
    y: { domain: [0, 1], tickFormat: ".0%" },
  };
}

function valueChart(evals: readonly EvalRecord[], column: MetricColumn): Chart {
  const points = pointsOf(evals, column.key);
  return {
    title: titleOf([column]),
    description: describeBest(evals, column),
    keys: [{ name: column.name, colour: "--series-1" }],
    marks: [line(points, "--series-1"), dots(points, "--series-1")],
    y: { zero: true, nice: true },
  };
}

function titleOf(columns: readonly MetricColumn[]): string {
  return `Validation: ${columns.map(({ title }) => title).join(", ")}`;
}

function describeBest(evals: readonly EvalRecord[], column: MetricColumn): string {
  const values = pointsOf(evals, column.key).map(({ value }) => value);
  if (values.length === 0) return "No evaluation was made";
  return `Best ${column.name} ${
    formatMetric(column, column.better === "more" ? most(values) : least(values))
  }`;
}

function smallChart(
  [title, key]: readonly [title: string, key: string],
  steps: readonly StepRecord[],
  value: (record: StepRecord) => number,
  y: Plot.ScaleOptions,
): Chart {
  const points = steps.map((record) => ({ step: record.step, value: value(record) }));
  const values = points.map((point) => point.value);
  return {
    title,
    description: `From ${least(values).toPrecision(3)} to ${most(values).toPrecision(3)}`,
    keys: [{ name: key, colour: "--series-1" }],
    marks: [line(averaged(points), "--series-1")],
    y: { zero: true, nice: true, ...y },
    small: true,
  };
}

// A long run has more records than a function call can take arguments, so no Math.min(...values).
const least = (values: readonly number[]) => values.reduce((a, b) => Math.min(a, b), Infinity);
const most = (values: readonly number[]) => values.reduce((a, b) => Math.max(a, b), -Infinity);

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
