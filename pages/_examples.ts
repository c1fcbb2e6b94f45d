/** Clips as cards: the frames, what is true of the clip, and the best answers. */

import { formatCount, formatShare } from "../lib/text.ts";
import { escapeHtml, pictureTag, shareBar } from "./html.ts";
import type { Example, PageSection } from "./parts/parts.ts";

/** An example with its pictures. */
export interface ExampleClip extends Example {
  /** Frames in order, as JPEG or PNG files. */
  frames: readonly Uint8Array[];
}

/** Cards, and how many more there would be. */
export interface Cards {
  clips: readonly ExampleClip[];
  /** Clips without room on the page, or that could not be read. */
  left: number;
}

const ANSWERS_SHOWN = 3;
/** Frames in one row of a strip; more go into a second row. */
export const FRAMES_IN_ROW = 8;

/** The section of clips that the network was surest of and wrong about. */
export function mistakeSection(cards: Cards): PageSection {
  return {
    title: "Most confident mistakes",
    about:
      "Clips of the validation set for which a wrong class got the highest probability of all, worst first. " +
      "What the true class got is marked." + leftText(cards),
    content: cardsOf(cards),
  };
}

/** The section of example clips. */
export function exampleSection(cards: Cards): PageSection {
  const { clips } = cards, right = clips.filter(isRight).length;
  return {
    title: "Example clips",
    about:
      "Clips spread over the validation set: the frames that the network sees, before they are cropped. " +
      `${right} of these ${clips.length} are right.${leftText(cards)}`,
    content: cardsOf(cards),
  };
}

function leftText({ left }: Cards): string {
  return left === 0
    ? ""
    : ` ${formatCount(left)} more ${
      left === 1 ? "is" : "are"
    } not shown: there was no room on the page, or no frame to show.`;
}

function cardsOf({ clips }: Cards): string {
  return clips.length === 0 ? "" : `<div class="clips">${clips.map(exampleCard).join("")}</div>`;
}

function isRight(clip: ExampleClip): boolean {
  return clip.top[0]?.label === clip.label;
}

function exampleCard(clip: ExampleClip): string {
  const right = isRight(clip);
  const columns = Math.min(FRAMES_IN_ROW, clip.frames.length);
  const frames = clip.frames.map((bytes, i) => pictureTag(bytes, `frame ${i + 1} of ${clip.frames.length}`))
    .join("");
  const shown = clip.top.slice(0, ANSWERS_SHOWN);
  const answers = shown.map(({ label, p }) => answer({ label, p, isTrue: label === clip.label }));
  if (clip.truth && !shown.some(({ label }) => label === clip.label)) {
    const { p, rank } = clip.truth;
    answers.push(answer({ label: clip.label, p, isTrue: true, note: `number ${formatCount(rank)}` }));
  }
  return `<article class="clip"><header><h3>${escapeHtml(clip.label)}</h3>` +
    `<span class="verdict ${right ? "right" : "wrong"}">${right ? "✓ right" : "✗ wrong"}</span></header>` +
    `<p class="path">${escapeHtml(clip.path)}</p>` +
    `<div class="strip" style="--frames:${columns}">${frames}</div>` +
    `<ol class="top" aria-label="predictions">${answers.join("")}</ol></article>`;
}

function answer(
  { label, p, isTrue, note }: { label: string; p: number; isTrue: boolean; note?: string },
): string {
  const name = `<span class="name${isTrue ? " true" : ""}">${escapeHtml(label)}${
    isTrue ? ` <small>true class${note === undefined ? "" : `, ${note}`}</small>` : ""
  }</span>`;
  return `<li>${name}<span>${formatShare(p)}</span>${shareBar(p, isTrue ? "good" : "soft")}</li>`;
}
