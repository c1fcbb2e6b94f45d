/** Sentences with the clips that were found for them, as rows of cards: a few frames each, the score, and whether it is the right one. */

import { escapeHtml, pictureUri } from "./html.ts";
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
    : `<span class="verdict wrong">its clip is number ${rank}</span>`;
  const cards = hits.map(({ path, score, isRight }, i) => {
    const frames = (pictures.get(path) ?? []).map((bytes, t, all) =>
      `<img src="${pictureUri(bytes)}" alt="frame ${t + 1} of ${all.length}" loading="lazy">`
    );
    return `<li class="hit${isRight ? " true" : ""}"><div class="strip" style="--frames:${
      Math.max(1, frames.length)
    }">${frames.join("") || "<span>cannot be shown</span>"}</div><p><b>${i + 1}</b> ${score.toFixed(3)}${
      isRight ? " ✓" : ""
    }</p><p class="path">${escapeHtml(path)}</p></li>`;
  }).join("");
  return `<article class="clip query"><header><h3>${
    escapeHtml(text)
  }</h3>${verdict}</header><ol class="hits">${cards}</ol></article>`;
}
