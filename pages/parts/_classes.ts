/** Tables about classes: accuracy of each, and the pairs most often confused. */
import { classAccuracy } from "../../train/tasks/class_metrics.ts";
import type { Confusion } from "../../train/tasks/confusion.ts";
import { formatCount, formatShare } from "../../lib/text.ts";
import { escapeHtml, shareBar } from "../html.ts";

/** A wrong answer and how often it was given. */
export interface ConfusedPair {
  truth: number;
  predicted: number;
  count: number;
  /** Share of the true class's clips. */
  share: number;
}

/** The wrong answers given most often, by their number of clips. */
export function topConfusions(confusion: Confusion, limit: number): ConfusedPair[] {
  const wrong = confusion.cells().filter(([truth, predicted]) => predicted !== truth)
    .sort((a, b) => b[2] - a[2]);
  // The share decides among pairs as frequent as the last that is wanted.
  const least = wrong[Math.min(limit, wrong.length) - 1]?.[2] ?? 0;
  return wrong.filter(([, , count]) => count >= least)
    .map(([truth, predicted, count]) => ({ truth, predicted, count, share: count / confusion.clips(truth) }))
    .sort((a, b) => b.count - a.count || b.share - a.share || a.truth - b.truth).slice(0, limit);
}

/** Classes in the table at most: those with the lowest accuracy. */
const CLASSES_SHOWN = 500;

/** Accuracy of each class, worst first; of very many classes, of the worst. */
export function renderClassTable(confusion: Confusion, labels: readonly string[]): string {
  const all = labels.map((_, k) => ({ k, ...classAccuracy(confusion, k, 0) }))
    .sort((a, b) =>
      Number(a.clips === 0) - Number(b.clips === 0) || a.top1 - b.top1 || b.clips - a.clips || a.k - b.k
    );
  const rows = all.slice(0, CLASSES_SHOWN), more = all.length - rows.length;
  const body = rows.map(({ k, clips, top1, confusedWith }) => {
    const accuracy = clips === 0 ? "–" : formatShare(top1) + shareBar(top1);
    const other = confusedWith === null ? "" : escapeHtml(labels[confusedWith]);
    return `<tr><th scope="row" class="wrap">${
      escapeHtml(labels[k])
    }</th><td class="number" data-key="${clips}">${clips}</td>` +
      `<td data-key="${clips === 0 ? "" : top1}">${accuracy}</td><td class="wrap">${other}</td></tr>`;
  }).join("");
  const heading = (name: string, extra = "") =>
    `<th scope="col"${extra}><button type="button">${name}</button></th>`;
  return `<div class="scroll" tabindex="0" role="region" aria-label="Accuracy of each class"><table class="sortable"><thead><tr>` +
    heading("Class") + heading("Clips", ' class="number"') + heading("Top-1", ' aria-sort="ascending"') +
    heading("Most often taken for") + `</tr></thead><tbody>${body}</tbody></table></div>` +
    (more === 0
      ? ""
      : `<p>The ${formatCount(rows.length)} classes with the lowest accuracy; ${
        formatCount(more)
      } more are not shown: <code>sidenet eval --per-class</code> prints all.</p>`);
}

/** The pairs most often confused, for class counts at which the matrix has no names. */
export function renderConfusedPairs(confusion: Confusion, labels: readonly string[], limit: number): string {
  const pairs = topConfusions(confusion, limit);
  if (pairs.length === 0) return "";
  const body = pairs.map(({ truth, predicted, count, share }) =>
    `<tr><td class="wrap">${escapeHtml(labels[truth])}</td><td class="wrap">${
      escapeHtml(labels[predicted])
    }</td>` +
    `<td class="number">${count}</td><td class="number">${formatShare(share, 0)}</td></tr>`
  ).join("");
  return `<div class="scroll" tabindex="0" role="region" aria-label="Pairs most often confused"><table><thead><tr>` +
    `<th scope="col">True class</th><th scope="col">Predicted as</th><th scope="col" class="number">Clips</th>` +
    `<th scope="col" class="number">Share</th></tr></thead><tbody>${body}</tbody></table></div>`;
}
