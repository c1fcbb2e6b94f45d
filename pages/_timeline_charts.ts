/** Charts of a timeline as static SVG, drawn by Observable Plot: which class is the best when, and how sure that is. */

import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import { escapeHtml } from "./html.ts";
import { topClasses } from "../train/tasks/class_metrics.ts";
import { formatCount, formatShare } from "../lib/text.ts";
import { inkOn, type PageColours } from "../lib/colours.ts";
import { formatClock, segmentsOf, spansOf, type WindowPrediction } from "../train/evaluation/timeline.ts";

/** A class and its colour. */
interface Tone {
  index: number;
  label: string;
  colour: string;
}

/** Curves drawn at most, and classes named in the key. */
const MOST_CURVES = 6, MOST_KEYS = 12;
/** How charts are drawn for windows of some width: the page holds all and shows one, so that letters have one size. */
interface ChartSize {
  className: string;
  width: number;
  /** Space beside the time axis; the thumbnails keep it too. */
  left: number;
  right: number;
  ribbon: number;
  curves: number;
  ticks: number;
  /** Windows drawn at most; more are averaged in buckets. */
  windows: number;
}

/** The sizes. */
export const CHART_SIZES = {
  wide: {
    className: "at-wide",
    width: 1080,
    left: 46,
    right: 14,
    ribbon: 40,
    curves: 230,
    ticks: 12,
    windows: 600,
  },
  middle: {
    className: "at-middle",
    width: 680,
    left: 46,
    right: 14,
    ribbon: 40,
    curves: 210,
    ticks: 8,
    windows: 350,
  },
  narrow: {
    className: "at-narrow",
    width: 350,
    left: 40,
    right: 12,
    ribbon: 40,
    curves: 190,
    ticks: 4,
    windows: 200,
  },
} as const satisfies Record<string, ChartSize>;
/** Width of a character in the ribbon, in pixels: names that do not fit are left out there. */
const CHARACTER_WIDTH = 7.5;

/** What the charts of a clip show. */
interface Charted {
  labels: readonly string[];
  /** By class, averaged over the windows. */
  probabilities: Float64Array;
  seconds: number;
  digits: number;
  /** Colours of classes on the page. */
  colours: PageColours;
}

/** The ribbon of best classes and the curves of their probabilities, over the same axis of time. */
export function timelineCharts(windows: readonly WindowPrediction[], options: Charted): string {
  const tones = tonesOf(windows, options), named = tones.slice(0, MOST_KEYS);
  const key = named.map(({ label, colour }) =>
    `<span><i style="--tone:${colour}"></i>${escapeHtml(label)}</span>`
  );
  if (tones.length > named.length) {
    key.push(`<span>and ${formatCount(tones.length - named.length)} more</span>`);
  }
  const charts = Object.values(CHART_SIZES).map((size) => chartsOf(windows, { ...options, size, tones }));
  return `<div class="key">${key.join("")}</div>${charts.join("")}`;
}

function chartsOf(
  windows: readonly WindowPrediction[],
  { labels, seconds, digits, colours, size, tones }: Charted & { size: ChartSize; tones: readonly Tone[] },
): string {
  const drawn = bucketed(windows, size.windows);
  const segments = segmentsOf(drawn).map((segment) => ({
    ...segment,
    colour: colours.of(segment.index),
    label: labels[segment.index],
  }));
  const ticks = clockTicks(seconds, size.ticks), tickDigits = ticks.every(Number.isInteger) ? 0 : 1;
  const x = { domain: [0, seconds], label: null, tickFormat: (at: number) => formatClock(at, tickDigits) };
  const inner = size.width - size.left - size.right;
  const named = segments.filter(({ from, to, label }) =>
    (to - from) / seconds * inner >= CHARACTER_WIDTH * [...label].length + 8
  );
  const ribbon = plot(
    {
      height: size.ribbon,
      marginTop: 2,
      marginBottom: 6,
      x: { ...x, axis: null },
      y: { axis: null, domain: [0, 1] },
      marks: [
        Plot.rect(segments, {
          x1: "from",
          x2: "to",
          y1: 0,
          y2: 1,
          fill: "colour",
          title: ({ from, to, label, p }) =>
            `${formatClock(from, digits)}–${formatClock(to, digits)} ${label}, ${formatShare(p)} on average`,
        }),
        Plot.text(named, {
          x: ({ from, to }) => (from + to) / 2,
          y: 0.5,
          text: "label",
          fill: ({ colour }) => inkOn(colour),
          fontWeight: 600,
        }),
      ],
    },
    size,
    `Best class over time: ${segments.slice(0, 20).map(({ label }) => label).join(", ")}`,
  );
  const curves = plot(
    {
      height: size.curves,
      marginTop: 12,
      marginBottom: 28,
      x: { ...x, ticks },
      y: { label: null, grid: true, ticks: 5, domain: [0, 1], tickFormat: ".0%" },
      marks: [
        Plot.ruleY([0], { strokeOpacity: 0.4 }),
        ...tones.slice(0, MOST_CURVES).map(({ index, colour }) =>
          Plot.lineY(curveOf(drawn, index), { x: "at", y: "p", stroke: colour, strokeWidth: 2 })
        ),
      ],
    },
    size,
    "Probabilities of these classes over time",
  );
  return `<div class="${size.className}">${ribbon}${curves}</div>`;
}

/** The classes that are the best somewhere, those first that are it longest; then, where these are few, the most probable ones. */
function tonesOf(
  windows: readonly WindowPrediction[],
  { labels, probabilities, colours }: Charted,
): Tone[] {
  const time = new Map<number, number>();
  for (const { from, to, index } of segmentsOf(windows)) time.set(index, (time.get(index) ?? 0) + to - from);
  const best = [...time].sort(([a, left], [b, right]) => right - left || a - b).map(([index]) => index);
  const probable = topClasses(probabilities, MOST_CURVES).filter((index) => !best.includes(index));
  const shown = [...best, ...probable.slice(0, Math.max(0, MOST_CURVES - best.length))];
  return shown.map((index) => ({ index, label: labels[index], colour: colours.of(index) }));
}

/** A class's probability over time; a gap where nothing could be read. */
function curveOf(windows: readonly WindowPrediction[], index: number): { at: number; p: number }[] {
  const spans = spansOf(windows);
  return windows.flatMap(({ from, to, probabilities }, i) => {
    const p = probabilities?.[index] ?? NaN;
    const points = [{ at: (from + to) / 2, p }];
    // A window in the middle of its time alone would leave the clip's ends without a curve.
    if (i === 0) points.unshift({ at: spans[i][0], p });
    if (i === windows.length - 1) points.push({ at: spans[i][1], p });
    return points;
  });
}

/** Seconds between ticks, which make round times; hours are multiples of the last. */
const TICK_STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];

/** Ticks at round times, so many at most. */
function clockTicks(seconds: number, most: number): number[] {
  const step = TICK_STEPS.find((step) => seconds / step <= most) ?? 3600 * Math.ceil(seconds / 3600 / most);
  return Array.from({ length: Math.floor(seconds / step + 1e-9) + 1 }, (_, i) => i * step);
}

/** Means of neighbouring windows, so that no more than `most` are left. */
function bucketed(windows: readonly WindowPrediction[], most: number): readonly WindowPrediction[] {
  const size = Math.ceil(windows.length / most);
  if (size <= 1) return windows;
  return Array.from({ length: Math.ceil(windows.length / size) }, (_, i) => {
    const bucket = windows.slice(i * size, (i + 1) * size);
    const read = bucket.flatMap(({ probabilities }) => probabilities ? [probabilities] : []);
    const mean = read.length === 0 ? null : new Float64Array(read[0].length);
    for (const one of read) one.forEach((p, k) => mean![k] += p / read.length);
    return { ...bucket[0], to: bucket[bucket.length - 1].to, probabilities: mean };
  });
}

function plot(options: Plot.PlotOptions, size: ChartSize, description: string): string {
  // No DOM types are loaded in this project; Plot asks for nothing but a document that can create elements.
  const { document } = parseHTML("<!doctype html><html><body></body></html>") as unknown as {
    document: never;
  };
  const drawn = Plot.plot({
    document,
    width: size.width,
    marginLeft: size.left,
    marginRight: size.right,
    style: { fontSize: "13px", background: "transparent" },
    ...options,
  });
  const role = ` role="img" aria-label="${escapeHtml(description)}"`;
  const svg: string = drawn.outerHTML;
  return svg.replace(/^<svg/, (tag) => tag + role);
}
