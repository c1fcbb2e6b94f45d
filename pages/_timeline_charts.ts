/** Charts of a timeline as static SVG, drawn by Observable Plot: which class is the best when, and how sure that is. */

import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import { escapeHtml } from "./html.ts";
import { topClasses } from "../train/tasks/class_metrics.ts";
import { formatShare } from "../lib/text.ts";
import { formatClock, segmentsOf, spansOf, type WindowPrediction } from "../train/evaluation/timeline.ts";

/** A class and its colour in every chart of a clip. */
interface Tone {
  index: number;
  label: string;
  colour: string;
}

/** Colours that most people can tell apart (Okabe and Ito's), each with the ink that is read on it. */
const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9"];
const DARK = new Set(["#0072b2", "#d55e00"]);
/** All other classes. */
const OTHER = "#9a9a9a";
/** Windows drawn at most; more are averaged in buckets. */
const MAX_DRAWN = 600;
const WIDTH = 1080, RIBBON_HEIGHT = 40, CURVES_HEIGHT = 230;
/** Space beside the time axis; the thumbnails keep it too. */
export const MARGINS = { left: 46, right: 14, width: WIDTH } as const;
/** Width of a character in the ribbon, in pixels: names that do not fit are left out there. */
const CHARACTER_WIDTH = 7.5;

/** The ribbon of best classes and the curves of their probabilities, over the same axis of time. */
export function timelineCharts(
  windows: readonly WindowPrediction[],
  options: {
    labels: readonly string[];
    /** By class, averaged over the windows. */
    probabilities: Float64Array;
    seconds: number;
    digits: number;
  },
): string {
  const { seconds, digits } = options;
  const drawn = bucketed(windows);
  const tones = tonesOf(drawn, options);
  const colourOf = (index: number) => tones.find((tone) => tone.index === index)?.colour ?? OTHER;
  const segments = segmentsOf(drawn).map((segment) => ({
    ...segment,
    colour: colourOf(segment.index),
    label: options.labels[segment.index],
  }));
  const x = { domain: [0, seconds], label: null, tickFormat: (at: number) => formatClock(at, digits) };
  const inner = WIDTH - MARGINS.left - MARGINS.right;
  const named = segments.filter(({ from, to, label }) =>
    (to - from) / seconds * inner >= CHARACTER_WIDTH * [...label].length + 8
  );
  const ribbon = plot({
    height: RIBBON_HEIGHT,
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
        fill: ({ colour }) => DARK.has(colour) ? "#ffffff" : "#101214",
        fontWeight: 600,
      }),
    ],
  }, `Best class over time: ${segments.slice(0, 20).map(({ label }) => label).join(", ")}`);
  const curves = plot({
    height: CURVES_HEIGHT,
    marginTop: 12,
    marginBottom: 28,
    x: { ...x, ticks: clockTicks(seconds) },
    y: { label: null, grid: true, ticks: 5, domain: [0, 1], tickFormat: ".0%" },
    marks: [
      Plot.ruleY([0], { strokeOpacity: 0.4 }),
      ...tones.filter(({ index }) => index >= 0).map(({ index, colour }) =>
        Plot.lineY(curveOf(drawn, index), { x: "at", y: "p", stroke: colour, strokeWidth: 2 })
      ),
    ],
  }, "Probabilities of these classes over time");
  const key = tones.map(({ label, colour }) =>
    `<span><i style="background:${colour}"></i>${escapeHtml(label)}</span>`
  ).join("");
  return `<div class="key">${key}</div>${ribbon}${curves}`;
}

/** Colours for the classes that are the best most of the time, then for the most probable ones. */
function tonesOf(
  windows: readonly WindowPrediction[],
  { labels, probabilities }: { labels: readonly string[]; probabilities: Float64Array },
): Tone[] {
  const time = new Map<number, number>();
  for (const { from, to, index } of segmentsOf(windows)) time.set(index, (time.get(index) ?? 0) + to - from);
  const best = [...time].sort(([a, left], [b, right]) => right - left || a - b).map(([index]) => index);
  const shown = [...new Set([...best, ...topClasses(probabilities, COLOURS.length)])].slice(
    0,
    COLOURS.length,
  );
  const tones = shown.map((index, i) => ({ index, label: labels[index], colour: COLOURS[i] }));
  if (best.length > COLOURS.length) tones.push({ index: -1, label: "others", colour: OTHER });
  return tones;
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
const MOST_TICKS = 12;

/** Ticks at round times, some twelve at most. */
function clockTicks(seconds: number): number[] {
  const step = TICK_STEPS.find((step) => seconds / step <= MOST_TICKS) ??
    3600 * Math.ceil(seconds / 3600 / MOST_TICKS);
  return Array.from({ length: Math.floor(seconds / step + 1e-9) + 1 }, (_, i) => i * step);
}

/** Means of neighbouring windows, so that no more than `MAX_DRAWN` are left. */
function bucketed(windows: readonly WindowPrediction[]): readonly WindowPrediction[] {
  const size = Math.ceil(windows.length / MAX_DRAWN);
  if (size <= 1) return windows;
  return Array.from({ length: Math.ceil(windows.length / size) }, (_, i) => {
    const bucket = windows.slice(i * size, (i + 1) * size);
    const read = bucket.flatMap(({ probabilities }) => probabilities ? [probabilities] : []);
    const mean = read.length === 0 ? null : new Float64Array(read[0].length);
    for (const one of read) one.forEach((p, k) => mean![k] += p / read.length);
    return { ...bucket[0], to: bucket[bucket.length - 1].to, probabilities: mean };
  });
}

function plot(options: Plot.PlotOptions, description: string): string {
  // No DOM types are loaded in this project; Plot asks for nothing but a document that can create elements.
  const { document } = parseHTML("<!doctype html><html><body></body></html>") as unknown as {
    document: never;
  };
  const drawn = Plot.plot({
    document,
    width: WIDTH,
    marginLeft: MARGINS.left,
    marginRight: MARGINS.right,
    style: { fontSize: "13px", background: "transparent" },
    ...options,
  });
  const role = ` role="img" aria-label="${escapeHtml(description)}"`;
  const svg: string = drawn.outerHTML;
  return svg.replace(/^<svg/, (tag) => tag + role);
}
