/** Example clips as cards: the frames, what is true of the clip, and the best answers. */

import { formatShare } from "../lib/text.ts";
import { escapeHtml, pictureUri, shareBar } from "./html.ts";
import type { Example, PageSection } from "./parts/parts.ts";

/** An example with its pictures. */
export interface ExampleClip extends Example {
  /** Frames in order, as JPEG or PNG files. */
  frames: readonly Uint8Array[];
}

const ANSWERS_SHOWN = 3;
/** Frames in one row of a strip; more go into a second row. */
const FRAMES_IN_ROW = 8;

/** The section of example clips. */
export function exampleSection(clips: readonly ExampleClip[]): PageSection {
  const right = clips.filter(isRight).length;
  return {
    title: "Example clips",
    about: "Clips of the validation set: the frames that the network sees, before they are cropped. " +
      `${right} of these ${clips.length} are right.`,
    content: clips.length === 0 ? "" : `<div class="clips">${clips.map(exampleCard).join("")}</div>`,
  };
}

function isRight(clip: ExampleClip): boolean {
  return clip.top[0]?.label === clip.label;
}

function exampleCard(clip: ExampleClip): string {
  const right = isRight(clip);
  const columns = Math.min(FRAMES_IN_ROW, clip.frames.length);
  const frames = clip.frames.map((bytes, i) =>
    `<img src="${pictureUri(bytes)}" alt="frame ${i + 1} of ${clip.frames.length}" loading="lazy">`
  ).join("");
  const answers = clip.top.slice(0, ANSWERS_SHOWN).map(({ label, p }) => {
    const isTrue = label === clip.label;
    const tone = isTrue ? "good" : "soft";
    return `<li><span class="wrap${isTrue ? " true" : ""}">${escapeHtml(label)}</span><span>${
      formatShare(p)
    }</span>${shareBar(p, tone)}</li>`;
  }).join("");
  return `<article class="clip"><header><h3>${escapeHtml(clip.label)}</h3>` +
    `<span class="verdict ${right ? "right" : "wrong"}">${right ? "✓ right" : "✗ wrong"}</span></header>` +
    `<p class="path">${escapeHtml(clip.path)}</p>` +
    `<div class="strip" style="--frames:${columns}">${frames}</div>` +
    `<ol class="top" aria-label="predictions">${answers}</ol></article>`;
}
