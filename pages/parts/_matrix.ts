/**
 * The confusion matrix as SVG: rows are true classes, shaded by the share of the row. Cells of one shade form one path,
 * so that hundreds of classes stay small. Few classes get labels and counts; many get neither.
 */
import type { Confusion } from "../../train/tasks/confusion.ts";
import { topConfusions } from "./_classes.ts";
import { escapeHtml } from "../html.ts";
import { formatShare } from "../../lib/text.ts";

/** Most classes whose names fit beside the rows. */
const MAX_LABELLED = 30;
/** Most classes whose counts fit into the cells. */
const MAX_COUNTED = 16;
/** Most cells in a row: of more classes, neighbours share one. */
const MAX_CELLS = 400;
const SHADES = 12;
const SIZE = 560;
const LABEL_CHARACTERS = 26;

/** The matrix with a caption and a scale. */
export function renderMatrix(confusion: Confusion, labels: readonly string[]): string {
  const { classes } = confusion;
  const labelled = classes <= MAX_LABELLED;
  const { cells, side, block } = blocksOf(confusion);
  const cell = SIZE / side;
  const fontSize = labelled ? Math.max(11, Math.min(16, cell * 0.6)) : 14;
  const names = labels.map((label) =>
    label.length > LABEL_CHARACTERS ? label.slice(0, LABEL_CHARACTERS - 1) + "…" : label
  );
  const longest = names.reduce((most, name) => Math.max(most, name.length), 0);
  const margin = labelled ? Math.ceil(longest * fontSize * 0.58) + 34 : 30;
  const slanted = labelled && longest * fontSize * 0.58 > cell;
  const bottom = labelled ? (slanted ? Math.ceil(margin * 0.75) + 12 : fontSize + 36) : 30;
  const body = [
    shading(cells, cell),
    `<rect width="${SIZE}" height="${SIZE}" fill="none" stroke="var(--line)"/>`,
    labelled ? axisLabels(names, { cell, fontSize, slanted }) : "",
    classes <= MAX_COUNTED ? counts(cells, cell) : "",
    `<text x="${SIZE / 2}" y="${SIZE + bottom - 6}" text-anchor="middle" class="axis">predicted</text>`,
    `<text transform="translate(${14 - margin} ${
      SIZE / 2
    }) rotate(-90)" text-anchor="middle" class="axis">true</text>`,
  ].join("");
  const box = `${-margin} -2 ${SIZE + margin + (slanted ? 4 : 2)} ${SIZE + bottom + 2}`;
  const svg = `<svg viewBox="${box}" role="img" aria-label="${escapeHtml(describe(confusion, labels))}" ` +
    `font-size="${fontSize}" fill="currentColor"><style>.axis{font-size:14px;fill:var(--soft)}</style>${body}</svg>`;
  const key = Array.from({ length: 5 }, (_, i) => {
    const share = i / 4;
    return `<span><i style="height:12px;border:1px solid var(--line);background:color-mix(in srgb,var(--heat) ${
      100 * opacity(share)
    }%,transparent)"></i>${formatShare(share, 0)}</span>`;
  });
  return `<figure><figcaption>${
    block === 1 ? "Share of each true class" : `Shares of ${block} neighbouring classes a cell`
  }<span class="key">${key.join("")}</span></figcaption>${svg}</figure>`;
}

/** Shade of a share. The square root keeps rare confusions visible. */
function opacity(share: number): number {
  return Math.sqrt(share) * 0.92;
}

/** A cell of the picture. */
interface Cell {
  row: number;
  column: number;
  count: number;
  /** Of the row's clips. */
  share: number;
}

/** The cells above 0, and how many classes one stands for: more than one where the picture would be finer than its pixels. */
function blocksOf(confusion: Confusion): { cells: Cell[]; side: number; block: number } {
  const block = Math.ceil(confusion.classes / MAX_CELLS), side = Math.ceil(confusion.classes / block);
  const counts = new Map<number, number>(), totals = new Array<number>(side).fill(0);
  for (const [truth, predicted, count] of confusion.cells()) {
    const row = Math.floor(truth / block), key = row * side + Math.floor(predicted / block);
    counts.set(key, (counts.get(key) ?? 0) + count);
    totals[row] += count;
  }
  const cells = [...counts].sort(([a], [b]) => a - b).map(([key, count]) => {
    const row = Math.floor(key / side);
    return { row, column: key % side, count, share: count / totals[row] };
  });
  return { cells, side, block };
}

function shading(cells: readonly Cell[], size: number): string {
  const paths = Array.from({ length: SHADES + 1 }, () => "");
  const round = (value: number) => Math.round(value * 100) / 100;
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
  names: readonly string[],
  { cell, fontSize, slanted }: { cell: number; fontSize: number; slanted: boolean },
): string {
  return names.map((name, i) => {
    const middle = (i + 0.5) * cell;
    const row = `<text x="-10" y="${middle + fontSize * 0.35}" text-anchor="end">${escapeHtml(name)}</text>`;
    const column = slanted
      ? `<text transform="translate(${middle + fontSize * 0.3} ${SIZE + 14}) rotate(-45)" text-anchor="end">${
        escapeHtml(name)
      }</text>`
      : `<text x="${middle}" y="${SIZE + fontSize + 8}" text-anchor="middle">${escapeHtml(name)}</text>`;
    return row + column;
  }).join("");
}

function counts(cells: readonly Cell[], size: number): string {
  const fontSize = Math.max(10, Math.min(20, size * 0.26));
  return cells.map(({ row, column, count, share }) => {
    // On a dark shade the page's own colour reads better than the ink.
    const fill = opacity(share) > 0.55 ? "var(--card)" : "currentColor";
    const middleX = (column + 0.5) * size, middleY = (row + 0.5) * size;
    const percent = size >= 60
      ? `<tspan x="${middleX}" dy="1.3em" font-size="${fontSize * 0.7}">${formatShare(share)}</tspan>`
      : "";
    return `<text x="${middleX}" y="${
      middleY + (percent ? -fontSize * 0.05 : fontSize * 0.35)
    }" text-anchor="middle" font-size="${fontSize}" fill="${fill}">${count}${percent}</text>`;
  }).join("");
}

function describe(confusion: Confusion, labels: readonly string[]): string {
  const total = confusion.cells().reduce((sum, [, , count]) => sum + count, 0);
  const [worst] = topConfusions(confusion, 1);
  const most = worst ? `; most often ${labels[worst.truth]} is taken for ${labels[worst.predicted]}` : "";
  return `Confusion matrix of ${confusion.classes} classes: ${confusion.right()} of ${total} clips on the diagonal${most}`;
}
