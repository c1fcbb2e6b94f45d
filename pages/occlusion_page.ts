/** The page of an explanation: a clip's frames, and over each what hiding its parts did to the decision. */

import { encodeJpeg } from "../data/frames/jpeg.ts";
import { formatShare } from "../lib/text.ts";
import type { Occlusion } from "../train/evaluation/occlusion.ts";
import css from "./_style.css" with { type: "text" };
import { escapeHtml, pictureUri, section } from "./html.ts";

const JPEG_QUALITY = 88;
/** Colours of what speaks for the class and against it (Okabe and Ito's), and how much of the picture they may cover. */
const FOR = "213,94,0", AGAINST = "0,114,178", MOST_OPACITY = 0.72;
/** Sides of frames on the page, in pixels. */
const FRAME_PIXELS = 224;

const STYLE =
  `.frames{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(${FRAME_PIXELS}px,45%),1fr));gap:1rem}` +
  `.frames figure{margin:0}.frames svg{width:100%;height:auto;display:block;border-radius:6px}` +
  `.swatch{display:inline-block;width:1em;height:1em;border-radius:3px;vertical-align:-0.15em}`;

/** Renders the page: one self-contained HTML file. */
export async function renderOcclusionPage(
  found: Occlusion,
  { label, model }: { label: string; model: string },
): Promise<string> {
  const title = `Why ${label}?`;
  const most = Math.max(1e-12, ...[...found.byPatch].map(Math.abs));
  const figures = await Promise.all(
    found.frames.map((_, frame) => figure(found, frame, most)),
  );
  const swatch = (colour: string) => `<i class="swatch" style="background:rgb(${colour})"></i>`;
  const about = `Each patch of each frame was hidden in turn (${found.grid} × ${found.grid} a frame). ${
    swatch(FOR)
  } Hiding it makes the class less likely: it speaks for it. ${
    swatch(AGAINST)
  } Hiding it makes the class more likely. The strongest patch changes the probability by a factor of ${
    Math.exp(most).toPrecision(3)
  }, in full colour. Below each frame: the probability where all of it is hidden.`;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>${escapeHtml(title)} · sidenet</title>
<style>${css}${STYLE}</style></head>
<body><main><header><h1>${escapeHtml(title)}</h1><p>${escapeHtml(found.path)}: ${escapeHtml(label)} ${
    formatShare(found.p)
  }, says ${escapeHtml(model)}</p></header>${
    section("What moved the decision", about, `<div class="frames">${figures.join("")}</div>`)
  }<footer>Written by sidenet. This page is self-contained: it loads nothing.</footer></main></body></html>
`;
}

async function figure(
  { frames, byFrame, byPatch, grid, p }: Occlusion,
  frame: number,
  most: number,
): Promise<string> {
  const { data, width, height } = frames[frame];
  const jpeg = await encodeJpeg({ rgb: Uint8Array.from(data), width, height }, { quality: JPEG_QUALITY });
  const patches = Array.from(byPatch.subarray(frame * grid ** 2, (frame + 1) * grid ** 2), (drop, patch) => {
    const opacity = MOST_OPACITY * Math.abs(drop) / most;
    return opacity < 0.02
      ? ""
      : `<rect x="${patch % grid}" y="${Math.floor(patch / grid)}" width="1" height="1" fill="rgba(${
        drop > 0 ? FOR : AGAINST
      },${opacity.toFixed(3)})"/>`;
  });
  const text = `frame ${frame + 1}, without it ${shareWithout(p, byFrame[frame])}`;
  return `<figure><svg viewBox="0 0 ${grid} ${grid}" role="img" aria-label="${escapeHtml(text)}">` +
    `<image href="${pictureUri(jpeg)}" width="${grid}" height="${grid}" preserveAspectRatio="none"/>${
      patches.join("")
    }</svg><figcaption>${escapeHtml(text)}</figcaption></figure>`;
}

/** The class's probability where something is hidden. */
export function shareWithout(p: number, drop: number): string {
  return formatShare(Math.min(1, p * Math.exp(-drop)));
}
