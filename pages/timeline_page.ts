/** The page of predictions: one self-contained HTML file with a timeline or bars of every clip, written as they come. */

import css from "./_style.css" with { type: "text" };
import ownCss from "./_timeline_style.css" with { type: "text" };
import { writeFileWhole } from "../data/files.ts";
import type { ClipSource } from "../data/clip_source.ts";
import { encodeJpeg, resizePicture } from "../data/frames/jpeg.ts";
import { escapeHtml, pictureUri, shareBar } from "./html.ts";
import { MARGINS, timelineCharts } from "./_timeline_charts.ts";
import { formatCount, formatShare } from "../lib/text.ts";
import { type ClassShare, topShares } from "../train/tasks/class_shares.ts";
import {
  type ClipOutcome,
  type ClipTimes,
  clockDigits,
  formatClock,
  frameAt,
  segmentsOf,
  type WindowLength,
} from "../train/evaluation/timeline.ts";

/** A frame of a clip, small. */
export interface Thumbnail {
  /** Seconds since the clip's start. */
  at: number;
  jpeg: Uint8Array;
}

/** A clip on the page. */
export interface PageEntry {
  outcome: ClipOutcome;
  /** Length of the clip in seconds; null where it cannot be told. */
  seconds: number | null;
  length: WindowLength | null;
  thumbnails: readonly Thumbnail[];
}

const THUMBNAILS = 12;
/** Twice the width at which they are shown. */
const THUMBNAIL_WIDTH = 168;
const JPEG_QUALITY = 75;
const SEGMENTS_LISTED = 500;
const WARNINGS_LISTED = 10;

/** A page under way; it takes its file's name when it is closed. */
export class PredictionPage implements AsyncDisposable {
  readonly #labels: readonly string[];
  readonly #top: number;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #written: Promise<void>;
  readonly #start: Promise<void>;
  readonly #shown: { path: string; best: ClassShare }[] = [];
  #isClosed = false;

  /** Starts a page. @param options.top Classes listed for each clip. */
  constructor(file: string, options: { model: string; labels: readonly string[]; top: number }) {
    this.#labels = options.labels;
    this.#top = options.top;
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    this.#writer = writable.getWriter();
    this.#written = writeFileWhole(file, readable);
    // Told by the next write, or by close(); a write that waits for a reader ends.
    this.#written.catch((error) => readable.cancel(error).catch(() => {}));
    this.#writer.closed.catch(() => {});
    this.#start = this.#write(headOf(options.model));
    this.#start.catch(() => {}); // told by the next call
  }

  /** Adds a clip. */
  async add(entry: PageEntry): Promise<void> {
    await this.#start;
    const [best] = topShares(entry.outcome.probabilities, this.#labels, 1);
    this.#shown.push({ path: entry.outcome.path, best });
    await this.#write(
      renderEntry(entry, { labels: this.#labels, top: this.#top, number: this.#shown.length }),
    );
  }

  /** Ends the page, which then stands under its name. */
  async close(): Promise<void> {
    await this.#start;
    this.#isClosed = true;
    await this.#write(tailOf(this.#shown));
    await this.#writer.close().catch(() => {});
    await this.#written;
  }

  /** Gives up a page that was not closed: no file is left of it. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isClosed) return;
    await this.#writer.abort(new Error("the page was given up")).catch(() => {});
    await this.#written.catch(() => {});
  }

  async #write(html: string): Promise<void> {
    try {
      await this.#writer.write(new TextEncoder().encode(html));
    } catch {
      await this.#written; // says what went wrong with the file
    }
  }
}

function headOf(model: string): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>Predictions of ${escapeHtml(model)} · sidenet</title>
<style>${css}${ownCss}</style></head>
<body><main class="predictions"><header><h1>Predictions</h1><p>${escapeHtml(model)}</p></header>
`;
}

function tailOf(shown: readonly { path: string; best: ClassShare }[]): string {
  const rows = shown.map(({ path, best: { label, p } }, i) =>
    `<tr><td><a href="#input-${i + 1}">${escapeHtml(path)}</a></td><td class="wrap">${
      escapeHtml(label)
    }</td>` +
    `<td class="number">${formatShare(p)}</td><td class="wide">${shareBar(p)}</td></tr>`
  ).join("");
  const overview = shown.length > 1
    ? `<nav><h2>${
      formatCount(shown.length)
    } clips</h2><div class="scroll"><table><thead><tr><th scope="col">Clip</th>` +
      `<th scope="col">Best class</th><th scope="col" class="number">Probability</th><th></th></tr></thead>` +
      `<tbody>${rows}</tbody></table></div></nav>`
    : "";
  return `${overview}<footer>Written by sidenet. This page is self-contained: it loads nothing.</footer></main></body></html>
`;
}

function renderEntry(
  entry: PageEntry,
  options: { labels: readonly string[]; top: number; number: number },
): string {
  const { outcome: { path, probabilities, windows, problems }, seconds, length } = entry;
  const { labels, top, number } = options;
  const digits = seconds === null ? 0 : clockDigits(seconds, length?.stride ?? null);
  const hasTimeline = windows !== null && windows.length > 1 && seconds !== null;
  const strip = thumbnailStrip(entry.thumbnails, { digits, hasAxis: hasTimeline });
  const bars = `<ol class="top">${topShares(probabilities, labels, top).map(bar).join("")}</ol>`;
  const about = [
    seconds === null ? "" : `${formatClock(seconds, digits)} long`,
    windows && length ? windowsText(windows.length, length) : "one prediction of the whole clip",
  ].filter(Boolean).join(" · ");
  const timeline = hasTimeline
    ? `${timelineCharts(windows, { labels, probabilities, seconds, digits })}<h3>Segments</h3>` +
      `${segmentTable(entry, labels, digits)}<h3>The whole clip</h3>`
    : "";
  return `<article class="input" id="input-${number}"><h2>${escapeHtml(path)}</h2><p>${about}</p>` +
    `${warnings(problems)}${strip}${timeline}${bars}</article>
`;
}

/** How a clip was seen, in words. */
export function windowsText(count: number, { window, stride }: WindowLength): string {
  const seconds = (length: number) => `${Number(length.toPrecision(4))} s`;
  return count === 1
    ? `one window of ${seconds(window)}`
    : `${formatCount(count)} windows of ${seconds(window)}, one every ${seconds(stride)}`;
}

function bar({ label, p }: ClassShare): string {
  return `<li><span class="wrap">${escapeHtml(label)}</span><span>${formatShare(p)}</span>${
    shareBar(p)
  }</li>`;
}

function warnings(problems: ClipOutcome["problems"]): string {
  if (problems.length === 0) return "";
  const more = problems.length - WARNINGS_LISTED;
  const lines = problems.slice(0, WARNINGS_LISTED).map(({ problem }) => `<li>${escapeHtml(problem)}</li>`);
  if (more > 0) lines.push(`<li>and ${formatCount(more)} more</li>`);
  return `<ul class="warnings">${lines.join("")}</ul>`;
}

/** Thumbnails in order; those above a time axis keep its margins. */
function thumbnailStrip(
  thumbnails: readonly Thumbnail[],
  { digits, hasAxis }: { digits: number; hasAxis: boolean },
): string {
  if (thumbnails.length === 0) return "";
  const side = (pixels: number) => `${(hasAxis ? 100 * pixels / MARGINS.width : 0).toFixed(3)}%`;
  const style = `--frames:${thumbnails.length};--left:${side(MARGINS.left)};--right:${side(MARGINS.right)}`;
  const pictures = thumbnails.map(({ at, jpeg }) => {
    const time = formatClock(at, digits);
    return `<figure><img src="${pictureUri(jpeg)}" alt="frame at ${time}" loading="lazy">${time}</figure>`;
  });
  return `<div class="thumbs" style="${style}">${pictures.join("")}</div>`;
}

function segmentTable({ outcome }: PageEntry, labels: readonly string[], digits: number): string {
  const segments = segmentsOf(outcome.windows!), more = segments.length - SEGMENTS_LISTED;
  const rows = segments.slice(0, SEGMENTS_LISTED).map(({ from, to, index, p }) =>
    `<tr><td>${formatClock(from, digits)}–${formatClock(to, digits)}</td><td class="wrap">${
      escapeHtml(labels[index])
    }</td><td class="number">${formatShare(p)}</td><td class="wide">${shareBar(p)}</td></tr>`
  );
  if (more > 0) rows.push(`<tr><td colspan="4">and ${formatCount(more)} more</td></tr>`);
  return `<div class="scroll segments" tabindex="0" role="region" aria-label="Segments"><table><thead><tr>` +
    `<th scope="col">Time</th><th scope="col">Class</th><th scope="col" class="number">Mean probability</th><th></th>` +
    `</tr></thead><tbody>${rows.join("")}</tbody></table></div>`;
}

/**
 * Frames spread evenly over a clip's time; none where they cannot be read: what is wrong with it is told elsewhere.
 *
 * @param options.span The part of its time, in seconds; all of it by default.
 * @param options.most How many.
 */
export async function thumbnailsOf(
  source: Pick<ClipSource, "decode">,
  path: string,
  times: ClipTimes,
  options: { span?: readonly [from: number, to: number]; most?: number; signal?: AbortSignal } = {},
): Promise<Thumbnail[]> {
  const { span: [from, to] = [0, times.seconds], most = THUMBNAILS, signal } = options;
  const count = Math.min(most, Math.max(1, frameAt(times, to) - frameAt(times, from) + 1));
  const places = Array.from(
    { length: count },
    (_, i) => frameAt(times, from + (i + 0.5) * (to - from) / count),
  );
  const clip = await source.decode(
    path,
    times.frames.length,
    places.map((frame) => frame + 1),
    signal,
  );
  if (clip.bad) return [];
  const { width, height } = clip, bytes = width * height * 3;
  const small = Math.min(width, THUMBNAIL_WIDTH);
  const size = { width: small, height: Math.max(1, Math.round(height * small / width)) };
  const thumbnails: Thumbnail[] = [];
  for (const [i, frame] of places.entries()) {
    const picture = { width, height, rgb: clip.frames.subarray(i * bytes, (i + 1) * bytes) };
    const jpeg = await encodeJpeg(await resizePicture(picture, size), { quality: JPEG_QUALITY });
    thumbnails.push({ at: times.frames[frame], jpeg });
  }
  return thumbnails;
}
