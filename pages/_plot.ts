/** Curves over steps as static SVG, drawn by Observable Plot. Colours are CSS variables, so that they follow the theme. */
import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import { formatCount } from "../lib/text.ts";
import { escapeHtml } from "./html.ts";

const WIDE = { width: 540, height: 280 };
const SMALL = { width: 380, height: 200 };

/** A value at a step. */
export interface Point {
  step: number;
  value: number;
}

/** A series' name, colour and line, for the key above a chart. */
export interface Key {
  name: string;
  colour: string;
  line?: "thin" | "dashed";
}

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
  /** What must be known to read it, below the chart. */
  note?: string;
}

/** Points drawn at most; longer series are averaged in buckets. */
const MAX_POINTS = 400;

/** Means of consecutive buckets, so that no more than `MAX_POINTS` are left. */
export function averaged(points: readonly Point[]): Point[] {
  const size = Math.ceil(points.length / MAX_POINTS);
  if (size <= 1) return [...points];
  return Array.from({ length: Math.ceil(points.length / size) }, (_, i) => {
    const bucket = points.slice(i * size, (i + 1) * size);
    const mean = (of: (point: Point) => number) =>
      bucket.reduce((sum, point) => sum + of(point), 0) / bucket.length;
    return { step: mean((point) => point.step), value: mean((point) => point.value) };
  });
}

/** A line across a chart, such as the level of chance. */
export function level(value: number): Plot.Markish {
  return Plot.ruleY([value], { stroke: "var(--soft)", strokeDasharray: "4 4" });
}

/** Draws a chart as a figure with its key. */
export function draw({ title, description, keys, marks, y, small, note }: Chart, lastStep: number): string {
  return plotFigure({ title, description, keys, small, note }, {
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
}

/** Draws a plot as a figure with its key. */
export function plotFigure(
  { title, description, keys, small, note }: Omit<Chart, "marks" | "y">,
  plot: Pick<Plot.PlotOptions, "x" | "y" | "marks">,
): string {
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
    marginBottom: small ? 38 : 48,
    style: { fontSize: "13px", background: "transparent" },
    ...plot,
  });
  drawn.setAttribute("role", "img");
  drawn.setAttribute("aria-label", `${title}. ${description}`);
  const key = keys.map(({ name, colour, line }) =>
    `<span><i${line ? ` class="${line}"` : ""} style="--tone:var(${colour})"></i>${escapeHtml(name)}</span>`
  );
  return `<figure class="chart${small ? " small" : ""}"><figcaption>${escapeHtml(title)}<span class="key">${
    key.join("")
  }</span></figcaption>` +
    `${drawn.outerHTML}${note === undefined ? "" : `<p class="note">${escapeHtml(note)}</p>`}</figure>`;
}
