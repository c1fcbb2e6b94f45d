/** Sentences with the clips that were found for them, as rows of cards: a few frames each, the score, and whether it is the right one. */

import { formatCount } from "../lib/text.ts";
import { escapeHtml, pictureTag } from "./html.ts";
import type { GalleryQuery, PageSection } from "./parts/parts.ts";

/** What a gallery shows. */
export interface Gallery {
  queries: readonly GalleryQuery[];
  /** Frames of the clips by their paths, as JPEG files; clips that cannot be read have none. */
  pictures: ReadonlyMap<string, readonly Uint8Array[]>;
}

/** The section. */
export function gallerySection({ queries, pictures }: Gallery): PageSection {
  const right = queries.filter(({ rank }) => rank === 1).length;
  return {
    title: "What sentences find",
    about:
      `Sentences of the validation list and the clips with the highest scores, best first. ${right} of these ` +
      `${queries.length} find their own clip first.`,
    content: queries.length === 0
      ? ""
      : `<div class="gallery">${queries.map((query) => queryRow(query, pictures)).join("")}</div>`,
  };
}

function queryRow({ text, rank, hits }: GalleryQuery, pictures: Gallery["pictures"]): string {
  const verdict = rank === 1
    ? `<span class="verdict right">✓ found first</span>`
    : `<span class="verdict wrong">its clip is number ${formatCount(rank)}</span>`;
  const cards = hits.map(({ path, score, isRight }, i) =>
    hitCard({
      pictures: (pictures.get(path) ?? []).map((bytes, t, all) =>
        pictureTag(bytes, `frame ${t + 1} of ${all.length}`)
      ),
      place: i + 1,
      text: `${score.toFixed(3)}${isRight ? " ✓" : ""}`,
      path,
      isRight,
    })
  );
  return queryCard(text, { verdict, cards });
}

/** What was found for a sentence or a clip. @param options.verdict HTML beside the heading. @param options.cards HTML of hits. */
export function queryCard(
  query: string,
  { verdict = "", cards }: { verdict?: string; cards: readonly string[] },
): string {
  return `<article class="clip query"><header><h3>${
    escapeHtml(query)
  }</h3>${verdict}</header><ol class="hits">${cards.join("")}</ol></article>\n`;
}

/** A clip that was found. @param hit.pictures HTML of its frames, all of one row. @param hit.text Its score, and what else is said. */
export function hitCard(
  hit: { pictures: readonly string[]; place: number; text: string; path: string; isRight?: boolean },
): string {
  const { pictures, place, text, path, isRight = false } = hit;
  return `<li class="hit${isRight ? " true" : ""}"><div class="strip" style="--frames:${
    Math.max(1, pictures.length)
  }">${pictures.join("") || "<span>cannot be shown</span>"}</div><p><b>${place}</b> ${
    escapeHtml(text)
  }</p><p class="path">${escapeHtml(path)}</p></li>`;
}
