/** Tables of every page: within a region that scrolls, and where they are long sorted and filtered by `_tables.js`. */

import { formatCount } from "../lib/text.ts";
import { escapeHtml } from "./html.ts";

/** A column. */
export interface TableColumn<Row> {
  title: string;
  /** HTML of a cell. */
  cell(row: Row): string;
  /** What rows are sorted by; the cell's text by default. */
  key?(row: Row): number | "";
  /** A heading and a path name the row; a number stands at the right; wide and tight ones hold bars. */
  kind?: "heading" | "path" | "number" | "time" | "wide" | "tight";
  /** The order in which the rows are given. */
  sorted?: "ascending" | "descending";
}

/** How a table is shown. */
export interface TableOptions {
  /** What it holds, for those who cannot see it. */
  label: string;
  /** Sorted by a click on a heading; the page must have `tables: true`. */
  sortable?: boolean;
  /** Name of a row's like in the field that filters: "class". Needs an id of its own. */
  filter?: { id: string; what: string };
  className?: string;
}

/** Rows beyond which a table scrolls within its frame. */
const ROWS_AT_ONCE = 16;

/** A table. */
export function dataTable<Row>(
  rows: readonly Row[],
  columns: readonly TableColumn<Row>[],
  { label, sortable = false, filter, className = "" }: TableOptions,
): string {
  const head = columns.map(({ title, kind, sorted }) => {
    const attributes = [
      kind === "number" ? ' class="number"' : "",
      sortable && sorted ? ` aria-sort="${sorted}"` : "",
    ].join("");
    const name = escapeHtml(title);
    return `<th scope="col"${attributes}>${sortable ? `<button type="button">${name}</button>` : name}</th>`;
  });
  const body = rows.map((row) =>
    `<tr>${columns.map((column) => cellOf(row, column, sortable)).join("")}</tr>`
  );
  const id = filter === undefined ? "" : ` id="${filter.id}"`;
  const kinds = ["scroll", rows.length > ROWS_AT_ONCE ? "long" : "", className].filter(Boolean).join(" ");
  const table = `<div class="${kinds}" tabindex="0" role="region" aria-label="${escapeHtml(label)}">` +
    `<table${id}${sortable ? ' class="sortable"' : ""}><thead><tr>${head.join("")}</tr></thead><tbody>${
      body.join("")
    }</tbody></table></div>`;
  if (filter === undefined || rows.length <= ROWS_AT_ONCE) return table;
  const count = formatCount(rows.length);
  return `<div class="filter"><label>Filter <input type="search" data-filters="${filter.id}" autocomplete="off" placeholder="${
    escapeHtml(filter.what)
  }"></label><output>${count} of ${count}</output></div>${table}`;
}

function cellOf<Row>(row: Row, { cell, key, kind }: TableColumn<Row>, sortable: boolean): string {
  const data = sortable && key ? ` data-key="${key(row)}"` : "";
  if (kind === "heading") return `<th scope="row"${data}>${cell(row)}</th>`;
  if (kind === "path") return `<th scope="row" class="path"${data}>${cell(row)}</th>`;
  return `<td${kind === undefined ? "" : ` class="${kind}"`}${data}>${cell(row)}</td>`;
}
