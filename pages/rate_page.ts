/** The page of a sweep over learning rates: the loss by the rate, and which one is suggested. */

import * as Plot from "@observablehq/plot";
import { formatValue } from "../lib/text.ts";
import type { Config } from "../train/recipe/config.ts";
import type { RateSweep } from "../train/run/find_rate.ts";
import css from "./_style.css" with { type: "text" };
import { plotFigure } from "./_plot.ts";
import { escapeHtml, section } from "./html.ts";

/** Renders the page: one self-contained HTML file. */
export function renderRatePage(sweep: RateSweep, config: Pick<Config, "name" | "solver">): string {
  const title = `Learning rates of ${config.name}`;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escapeHtml(title)} · sidenet</title>
<style>${css}</style></head>
<body><main><header><h1>${escapeHtml(title)}</h1><p>${escapeHtml(describeSweep(sweep))}</p></header>${
    section("Loss by learning rate", "", `<div class="figures">${chart(sweep, config.solver.lr)}</div>`) +
    section("How to read it", escapeHtml(HOW_TO_READ), "<p></p>")
  }<footer>Written by sidenet. This page is self-contained: it loads nothing.</footer></main></body></html>
`;
}

const HOW_TO_READ =
  "Each step of the sweep trains one update at a rate that is higher than the one before. Where the curve is level, the rate is too low to " +
  "move anything; where it rises, too high. The suggestion is where it falls fastest. A long run with a warm-up may take up to " +
  "about three times as much, a run without one rather less. The solver.lr of a recipe is its highest rate, at the end of the warm-up.";

/** What a sweep has found, in words. */
export function describeSweep({ steps, suggested, lowest, ranAway }: RateSweep): string {
  if (suggested === null) {
    return `no rate is suggested: in ${steps.length} steps the loss has not fallen; give more steps, or a larger batch`;
  }
  const end = steps.at(-1)!.rate.toExponential(1);
  return `suggested: solver.lr=${suggested.toExponential(1)} (the loss falls fastest there, is lowest at ${
    lowest.toExponential(1)
  }, and ${ranAway ? `runs away at ${end}` : `was followed up to ${end}`})`;
}

function chart({ steps, suggested, lowest }: RateSweep, own: number): string {
  const smoothed = steps.map(({ rate, smoothed: loss }) => ({ rate, loss }));
  const from = smoothed[0].loss, low = Math.min(...smoothed.map(({ loss }) => loss));
  // What runs away would press the rest of the curve flat.
  const top = Math.max(
    ...smoothed.map(({ loss }) => loss).filter((loss) => loss <= 2 * from - low + 0.1),
    from,
  );
  const at = (rate: number, colour: string) =>
    Plot.ruleX([rate], { stroke: `var(${colour})`, strokeWidth: 1.5, strokeDasharray: "5 4" });
  return plotFigure({
    title: "Training loss",
    description: `From ${formatValue(from)} to ${formatValue(low)} at ${lowest.toExponential(1)}`,
    keys: [
      { name: "loss, smoothed", colour: "--series-1" },
      ...suggested === null
        ? []
        : [{ name: `suggested, ${suggested.toExponential(1)}`, colour: "--series-2" }],
      { name: `solver.lr now, ${own.toExponential(1)}`, colour: "--soft" },
    ],
  }, {
    x: { type: "log", label: "learning rate", labelAnchor: "right", tickFormat: "~e", ticks: 6 },
    y: {
      label: null,
      grid: true,
      ticks: 5,
      nice: true,
      domain: [low - 0.05 * (top - low), top],
      clamp: true,
    },
    marks: [
      ...own > 0 ? [at(own, "--soft")] : [],
      ...suggested === null ? [] : [at(suggested, "--series-2")],
      Plot.line(steps, { x: "rate", y: "loss", stroke: "var(--series-1)", strokeOpacity: 0.3 }),
      Plot.line(smoothed, { x: "rate", y: "loss", stroke: "var(--series-1)", strokeWidth: 2 }),
    ],
  });
}
