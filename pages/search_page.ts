/** The page of a search: one self-contained HTML file with what was searched for and frames of what was found. */

import { formatCount } from "../lib/text.ts";
import { formatClock } from "../train/evaluation/timeline.ts";
import type { SearchHit } from "../train/search/search_index.ts";
import { hitCard, queryCard } from "./_gallery.ts";
import { pictureTag, section } from "./html.ts";
import { type Fact, type PageOrigin, renderPage } from "./page.ts";
import { PictureBudget } from "./pictures.ts";
import type { Thumbnail } from "./timeline_page.ts";

/** What was found for one query. */
export interface ShownQuery {
  /** The sentence, or the path of the clip that was searched with. */
  query: string;
  /** Best first, with frames; without any where they cannot be read. */
  hits: readonly (SearchHit & { thumbnails: readonly Thumbnail[] })[];
}

/** What the page shows at most: frames of a hit, hits of a query, and queries of a file of them. */
export const SEARCH_PAGE = { frames: 3, hits: 50, queries: 100 } as const;

/** What was searched. */
export interface Searched {
  /** Folder of the index. */
  index: string;
  /** How many clips it holds. */
  clips: number;
  /** Queries, and hits of each, that are not among those shown. */
  left: number;
  leftHits?: number;
  origin?: PageOrigin;
  /** What else is told at the end. */
  facts?: readonly Fact[];
}

/** Renders the page. Frames are shown as long as there is room for them. */
export function renderSearchPage(queries: readonly ShownQuery[], searched: Searched): string {
  const { index, clips, left, leftHits = 0, origin, facts = [] } = searched;
  const budget = new PictureBudget(), counted = `${formatCount(clips)} ${clips === 1 ? "clip" : "clips"}`;
  const cards = queries.map((query) => renderQuery(query, budget));
  const notes = [
    left > 0 ? `${formatCount(left)} more queries are not shown.` : "",
    leftHits > 0
      ? `Of each query the best ${SEARCH_PAGE.hits} are shown, ${formatCount(leftHits)} more are not.`
      : "",
    budget.isFull ? "Later hits are without frames: the page has no room for more." : "",
  ].filter(Boolean);
  const gallery = cards.length === 0 ? "" : `<div class="gallery">${cards.join("")}</div>`;
  return renderPage({
    title: `Found in ${index}`,
    about: `${counted} searched · scores are higher for what is nearer`,
    content: section("Best clips", notes.join(" "), gallery),
    origin,
    facts: [["Data set", `${index}, ${counted}`], ...facts],
  });
}

function renderQuery({ query, hits }: ShownQuery, budget: PictureBudget): string {
  const cards = hits.slice(0, SEARCH_PAGE.hits).map(({ path, from, to, score, thumbnails }, i) => {
    const hasRoom = budget.take(thumbnails.map(({ jpeg }) => jpeg));
    return hitCard({
      pictures: hasRoom
        ? thumbnails.map(({ at, jpeg }) =>
          pictureTag(jpeg, to === null ? "frame" : `frame at ${formatClock(at, 1)}`)
        )
        : [],
      place: i + 1,
      text: `${score.toFixed(3)} · ${spanText({ from, to })}`,
      path,
    });
  });
  return queryCard(query, { cards });
}

/** The time of a hit: `00:08–00:16`, with tenths of a second where it needs them. */
export function spanText({ from, to }: Pick<SearchHit, "from" | "to">): string {
  const isWhole = (seconds: number) => Math.abs(seconds - Math.round(seconds)) < 0.05;
  const digits = isWhole(from) && isWhole(to ?? 0) ? 0 : 1;
  return `${formatClock(from, digits)}–${to === null ? "end" : formatClock(to, digits)}`;
}
