/** The page of a search: one self-contained HTML file with what was searched for and frames of what was found. */

import css from "./_style.css" with { type: "text" };
import { formatCount } from "../lib/text.ts";
import { formatClock } from "../train/evaluation/timeline.ts";
import type { SearchHit } from "../train/search/search_index.ts";
import { escapeHtml, pictureUri } from "./html.ts";
import type { Thumbnail } from "./timeline_page.ts";

/** What was found for one query. */
export interface ShownQuery {
  /** The sentence, or the path of the clip that was searched with. */
  query: string;
  /** Best first, with frames; without any where they cannot be read. */
  hits: readonly (SearchHit & { thumbnails: readonly Thumbnail[] })[];
}

/** Frames shown of a hit, and queries shown of a file of them. */
export const SEARCH_PAGE = { frames: 3, queries: 100 } as const;

/** @param options.index Folder of the index. @param options.clips How many it holds. @param options.left Queries that are not shown. */
export function renderSearchPage(
  queries: readonly ShownQuery[],
  options: { index: string; clips: number; left: number },
): string {
  const { index, clips, left } = options;
  const more = left > 0 ? `<p>${formatCount(left)} more queries are not shown.</p>` : "";
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>Found in ${escapeHtml(index)} · sidenet</title>
<style>${css}</style></head>
<body><main><header><h1>What was found</h1><p>${escapeHtml(index)} · ${formatCount(clips)} ${
    clips === 1 ? "clip" : "clips"
  }</p></header>
<section><div class="gallery">${queries.map(renderQuery).join("")}</div>${more}</section>
<footer>Written by sidenet. This page is self-contained: it loads nothing.</footer></main></body></html>
`;
}

function renderQuery({ query, hits }: ShownQuery): string {
  return `<article class="clip query"><header><h3>${escapeHtml(query)}</h3></header><ol class="hits">${
    hits.map(renderHit).join("")
  }</ol></article>\n`;
}

function renderHit({ path, from, to, score, thumbnails }: ShownQuery["hits"][number], place: number): string {
  const images = thumbnails.map(({ at, jpeg }) =>
    `<img src="${pictureUri(jpeg)}" alt="frame${
      to === null ? "" : ` at ${formatClock(at, 1)}`
    }" loading="lazy">`
  ).join("");
  return `<li class="hit"><div class="strip" style="--frames:${Math.max(1, thumbnails.length)}">${
    images || "<span>cannot be shown</span>"
  }</div><p><b>${place + 1}</b> ${score.toFixed(3)} · ${spanText({ from, to })}</p><p class="path">${
    escapeHtml(path)
  }</p></li>`;
}

/** The time of a hit: `00:08–00:16`, with tenths of a second where it needs them. */
export function spanText({ from, to }: Pick<SearchHit, "from" | "to">): string {
  const isWhole = (seconds: number) => Math.abs(seconds - Math.round(seconds)) < 0.05;
  const digits = isWhole(from) && isWhole(to ?? 0) ? 0 : 1;
  return `${formatClock(from, digits)}–${to === null ? "end" : formatClock(to, digits)}`;
}
