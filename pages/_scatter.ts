/** One value of runs against another, a labelled dot a run, as static SVG: accuracy against what it cost. */
import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import { escapeHtml } from "./html.ts";

const SIZE = { width: 540, height: 300 };
/** Room above and right of the outermost dots, as a share of the axis. */
const ROOM = 0.15;

/** A run as a dot. */
export interface Spot {
  name: string;
  x: number;
  y: number;
  /** CSS variable. */
  colour: string;
}

/** Axes of a scatter plot. */
export interface Scatter {
  title: string;
  /** What stands under the axis: "GPU memory (MiB)". */
  x: string;
  y: Plot.ScaleOptions;
}

/** Draws a scatter plot as a figure; "" where fewer than two runs have both values. */
export function drawScatter({ title, x, y }: Scatter, spots: readonly Spot[]): string {
  const finite = spots.filter((spot) => Number.isFinite(spot.x) && Number.isFinite(spot.y));
  if (finite.length < 2) return "";
  const { document } = parseHTML("<!doctype html><html><body></body></html>") as unknown as {
    document: never;
  };
  const [most, lowest, highest] = [
    finite.reduce((a, spot) => Math.max(a, spot.x), 0),
    finite.reduce((a, spot) => Math.min(a, spot.y), Infinity),
    finite.reduce((a, spot) => Math.max(a, spot.y), -Infinity),
  ];
  const room = Math.max(highest - lowest, Math.abs(highest) * 0.02, 1e-6) * 2 * ROOM;
  const drawn = Plot.plot({
    document,
    ...SIZE,
    marginLeft: 64,
    marginRight: 20,
    marginTop: 18,
    marginBottom: 52,
    style: { fontSize: "13px", background: "transparent" },
    x: { label: x, domain: [0, most * (1 + ROOM) || 1], ticks: 6, labelAnchor: "right", nice: true },
    y: { label: null, grid: true, ticks: 5, domain: [lowest - room, highest + room], ...y },
    marks: finite.flatMap((spot, i) => [
      Plot.dot([spot], { x: "x", y: "y", r: 6, fill: `var(${spot.colour})` }),
      // Above and below in turn, so that names of like runs do not meet; towards the middle at the edges.
      Plot.text([spot], {
        x: "x",
        y: "y",
        text: "name",
        dy: i % 2 === 0 ? -14 : 14,
        textAnchor: spot.x > 0.75 * most ? "end" : spot.x < 0.25 * most ? "start" : "middle",
        fill: "currentColor",
      }),
    ]),
  });
  drawn.setAttribute("role", "img");
  drawn.setAttribute(
    "aria-label",
    `${title}. ${
      finite.map((spot) => `${spot.name}: ${spot.x.toPrecision(3)}, ${spot.y.toPrecision(3)}`).join("; ")
    }`,
  );
  return `<figure class="chart"><figcaption>${escapeHtml(title)}</figcaption>${drawn.outerHTML}</figure>`;
}
