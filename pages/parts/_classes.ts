/** Tables about classes: accuracy of each, and the pairs most often confused. */
import { classAccuracy } from "../../train/tasks/class_metrics.ts";
import type { Confusion } from "../../train/tasks/confusion.ts";
import { formatCount, formatShare } from "../../lib/text.ts";
import { escapeHtml, shareBar } from "../html.ts";
import { dataTable } from "../tables.ts";

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

/** The classes of the pairs most often confused, those of a pair one after the other. */
export function confusedClasses(confusion: Confusion, limit: number): number[] {
  const classes = new Set<number>();
  for (const { truth, predicted } of topConfusions(confusion, limit)) {
    const added = [truth, predicted].filter((one) => !classes.has(one));
    if (classes.size + added.length > limit) break;
    for (const one of added) classes.add(one);
  }
  return [...classes];
}

/** Classes in the table at most: those with the lowest accuracy. */
const CLASSES_SHOWN = 2000;

/** Accuracy of each class, worst first; of very many classes, of the worst. */
export function renderClassTable(confusion: Confusion, labels: readonly string[]): string {
  const all = labels.map((_, k) => ({ k, ...classAccuracy(confusion, k, 0) }))
    .sort((a, b) =>
      Number(a.clips === 0) - Number(b.clips === 0) || a.top1 - b.top1 || b.clips - a.clips || a.k - b.k
    );
  const rows = all.slice(0, CLASSES_SHOWN), more = all.length - rows.length;
  const table = dataTable(rows, [
    { title: "Class", kind: "heading", cell: ({ k }) => escapeHtml(labels[k]) },
    { title: "Clips", kind: "number", key: ({ clips }) => clips, cell: ({ clips }) => formatCount(clips) },
    {
      title: "Top-1",
      sorted: "ascending",
      kind: "tight",
      key: ({ clips, top1 }) => clips === 0 ? "" : Number(top1.toFixed(4)),
      cell: ({ clips, top1 }) => clips === 0 ? "–" : formatShare(top1) + shareBar(top1),
    },
    {
      title: "Most often taken for",
      cell: ({ k, confusedWith }) =>
        confusedWith === null
          ? ""
          : `${escapeHtml(labels[confusedWith])} <small>${
            formatCount(confusion.count(k, confusedWith))
          }×</small>`,
    },
  ], { label: "Accuracy of each class", sortable: true, filter: { id: "classes", what: "class" } });
  const left = more === 0
    ? ""
    : `<p>The ${formatCount(rows.length)} classes with the lowest accuracy; ${
      formatCount(more)
    } more are not shown: <code>sidenet eval --per-class</code> prints all.</p>`;
  return `<div>${table}${left}</div>`;
}

/** The pairs most often confused, for class counts at which the matrix shows some alone. */
export function renderConfusedPairs(confusion: Confusion, labels: readonly string[], limit: number): string {
  const pairs = topConfusions(confusion, limit);
  if (pairs.length === 0) return "";
  return dataTable(pairs, [
    { title: "True class", kind: "heading", cell: ({ truth }) => escapeHtml(labels[truth]) },
    { title: "Predicted as", cell: ({ predicted }) => escapeHtml(labels[predicted]) },
    {
      title: "Clips",
      kind: "number",
      sorted: "descending",
      key: ({ count }) => count,
      cell: ({ count }) => formatCount(count),
    },
    {
      title: "Share",
      kind: "tight",
      key: ({ share }) => Number(share.toFixed(4)),
      cell: ({ share }) => formatShare(share, 0) + shareBar(share),
    },
  ], {
    label: "Pairs most often confused",
    sortable: true,
    filter: { id: "pairs", what: "class" },
  });
}
