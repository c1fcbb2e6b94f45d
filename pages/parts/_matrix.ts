/**
 * The confusion matrix as SVG: rows are true classes, shaded by the share of the row, with names and counts. Of many classes
 * it shows some, and what else they are taken for in one column. Cells of one shade form one path.
 */
import type { Confusion } from "../../train/tasks/confusion.ts";
import { topConfusions } from "./_classes.ts";
import { escapeHtml } from "../html.ts";
import { formatCount, formatShare } from "../../lib/text.ts";

/** Most classes whose counts fit into the cells. */
const MAX_COUNTED = 20;
const SHADES = 12;
/** Side of a cell and of the whole, in units of the picture, which is shown at 1 to `MOST_SCALE` pixels a unit. */
const CELL = 58, SIZE = 620, MOST_SCALE = 1.15;
/** Pixels of letters, below which the picture scrolls instead of becoming smaller. */
const LEAST_LETTERS = 10.5;
/** Letters of a name, at most; those beside rows of the most confused classes have more room. */
const SHORT_NAME = 26, LONG_NAME = 30;

/** A cell of the picture. */
interface Cell {
  row: number;
  column: number;
  count: number;
  /** Of the row's clips. */
  share: number;
}

/** What the picture shows. */
interface Grid {
  rows: readonly string[];
  columns: readonly string[];
  cells: readonly Cell[];
}

/** The matrix with a caption and a scale. @param chosen The classes that are shown, in order; all by default. */
export function renderMatrix(
  confusion: Confusion,
  labels: readonly string[],
  chosen?: readonly number[],
): string {
  const grid = gridOf(confusion, labels, chosen ?? labels.map((_, k) => k));
  const { rows, columns, cells } = grid;
  const cell = Math.min(CELL, SIZE / columns.length), fontSize = Math.max(11, Math.min(15, cell * 0.5));
  const width = cell * columns.length, height = cell * rows.length;
  const longest = (names: readonly string[]) => names.reduce((most, name) => Math.max(most, name.length), 0);
  const room = (characters: number) => characters * fontSize * 0.58;
  const left = Math.ceil(room(longest(rows))) + 34, slanted = room(longest(columns)) > cell;
  const bottom = slanted ? Math.ceil(room(longest(columns)) * 0.75) + 44 : fontSize + 36;
  const body = [
    shading(cells, cell),
    `<rect width="${round(width)}" height="${round(height)}" fill="none" stroke="var(--line)"/>`,
    `<path d="${
      rows.map((_, i) =>
        `M${round(i * cell)} ${round(i * cell)}h${round(cell)}v${round(cell)}h-${round(cell)}z`
      )
        .join("")
    }" fill="none" stroke="var(--soft)" stroke-opacity="0.5"/>`,
    chosen
      ? `<path d="M${round(width - cell)} 0v${round(height)}" stroke="var(--soft)" stroke-dasharray="3 3"/>`
      : "",
    axisLabels(grid, { cell, height, fontSize, slanted }),
    columns.length <= MAX_COUNTED + 1 ? counts(cells, cell) : "",
    `<text x="${round(width / 2)}" y="${
      round(height + bottom - 6)
    }" text-anchor="middle" class="axis">predicted</text>`,
    `<text transform="translate(${14 - left} ${
      round(height / 2)
    }) rotate(-90)" text-anchor="middle" class="axis">true</text>`,
  ].join("");
  const whole = left + width + 4;
  const limits = `min-width:${Math.ceil(whole * LEAST_LETTERS / fontSize)}px;max-width:${
    Math.ceil(whole * MOST_SCALE)
  }px`;
  const svg =
    `<svg viewBox="${-left} -2 ${round(whole)} ${round(height + bottom + 2)}" style="${limits}" role="img" ` +
    `aria-label="${escapeHtml(describe(confusion, labels))}" font-size="${fontSize}" fill="currentColor">` +
    `<style>.axis{font-size:13px;fill:var(--soft)}</style>${body}</svg>`;
  const key = Array.from({ length: 5 }, (_, i) => {
    const share = i / 4;
    return `<span><i class="shade" style="--tone:color-mix(in srgb,var(--heat) ${
      (100 * opacity(share)).toFixed(0)
    }%,transparent)"></i>${formatShare(share, 0)}</span>`;
  });
  const caption = chosen ? `The ${rows.length} classes most often confused` : "Share of each true class";
  return `<figure><figcaption>${caption}<span class="key">${
    key.join("")
  }</span></figcaption><div class="pan" tabindex="0" role="region" aria-label="Confusion matrix">${svg}</div></figure>`;
}

/** Shade of a share. The square root keeps rare confusions visible. */
function opacity(share: number): number {
  return Math.sqrt(share) * 0.92;
}

/** The counts above 0 of some classes, and in a last column of all others. */
function gridOf(confusion: Confusion, labels: readonly string[], chosen: readonly number[]): Grid {
  const places = new Map(chosen.map((k, place) => [k, place]));
  const named = (most: number) =>
    chosen.map((k) => labels[k].length > most ? labels[k].slice(0, most - 1) + "…" : labels[k]);
  const isPart = chosen.length < labels.length, names = named(SHORT_NAME), sums = new Map<string, Cell>();
  for (const [truth, predicted, count] of confusion.cells()) {
    const row = places.get(truth), column = places.get(predicted) ?? chosen.length;
    if (row === undefined) continue;
    const key = `${row} ${column}`, before = sums.get(key)?.count ?? 0;
    sums.set(key, { row, column, count: before + count, share: (before + count) / confusion.clips(truth) });
  }
  return {
    rows: isPart ? named(LONG_NAME) : names,
    columns: isPart ? [...names, "all others"] : names,
    cells: [...sums.values()],
  };
}

const round = (value: number) => Math.round(value * 100) / 100;

function shading(cells: readonly Cell[], size: number): string {
  const paths = Array.from({ length: SHADES + 1 }, () => "");
  const width = round(size);
  for (const { row, column, share } of cells) {
    const shade = Math.max(1, Math.round(Math.sqrt(share) * SHADES));
    paths[shade] += `M${round(column * size)} ${round(row * size)}h${width}v${width}h${-width}z`;
  }
  return paths.map((path, shade) =>
    path &&
    `<path d="${path}" fill="var(--heat)" fill-opacity="${opacity((shade / SHADES) ** 2).toFixed(3)}"/>`
  ).join("");
}

function axisLabels(
  { rows, columns }: Grid,
  { cell, height, fontSize, slanted }: { cell: number; height: number; fontSize: number; slanted: boolean },
): string {
  const middle = (i: number) => (i + 0.5) * cell;
  const left = rows.map((name, i) =>
    `<text x="-10" y="${round(middle(i) + fontSize * 0.35)}" text-anchor="end">${escapeHtml(name)}</text>`
  );
  const below = columns.map((name, i) =>
    slanted
      ? `<text transform="translate(${round(middle(i) + fontSize * 0.3)} ${
        round(height + 14)
      }) rotate(-45)" text-anchor="end">${escapeHtml(name)}</text>`
      : `<text x="${round(middle(i))}" y="${round(height + fontSize + 8)}" text-anchor="middle">${
        escapeHtml(name)
      }</text>`
  );
  return [...left, ...below].join("");
}

function counts(cells: readonly Cell[], size: number): string {
  const fontSize = Math.max(9, Math.min(17, size * 0.3));
  return cells.map(({ row, column, count, share }) => {
    // On a dark shade the page's own colour reads better than the ink.
    const fill = opacity(share) > 0.55 ? "var(--card)" : "currentColor";
    const middleX = round((column + 0.5) * size), middleY = (row + 0.5) * size;
    const percent = size >= 50
      ? `<tspan x="${middleX}" dy="1.25em" font-size="${round(fontSize * 0.68)}">${
        formatShare(share, 0)
      }</tspan>`
      : "";
    return `<text x="${middleX}" y="${
      round(middleY + (percent ? -fontSize * 0.05 : fontSize * 0.35))
    }" text-anchor="middle" font-size="${round(fontSize)}" fill="${fill}">${
      size < 50 && count > 9999 ? "…" : formatCount(count)
    }${percent}</text>`;
  }).join("");
}

function describe(confusion: Confusion, labels: readonly string[]): string {
  const total = confusion.cells().reduce((sum, [, , count]) => sum + count, 0);
  const [worst] = topConfusions(confusion, 1);
  const most = worst ? `; most often ${labels[worst.truth]} is taken for ${labels[worst.predicted]}` : "";
  return `Confusion matrix of ${confusion.classes} classes: ${confusion.right()} of ${total} clips on the diagonal${most}`;
}
