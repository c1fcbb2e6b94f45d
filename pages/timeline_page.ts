/** The page of predictions: one self-contained HTML file with a timeline or bars of every clip. */

import { TIMELINE_STYLE } from "./look.ts";
import { writeFileWhole } from "../data/files.ts";
import type { ClipSource } from "../data/clip_source.ts";
import { encodeJpeg, resizePicture } from "../data/frames/jpeg.ts";
import { escapeHtml, pictureTag, section, shareBar, shortened } from "./html.ts";
import { CHART_SIZES, timelineCharts } from "./_timeline_charts.ts";
import { PageColours } from "../lib/colours.ts";
import { type Fact, type PageOrigin, renderPage } from "./page.ts";
import { dataTable } from "./tables.ts";
import { formatCount, formatShare } from "../lib/text.ts";
import { topClasses } from "../train/tasks/class_metrics.ts";
import { type ClassShare, topShares } from "../train/tasks/class_shares.ts";
import {
  type ClipOutcome,
  type ClipTimes,
  clockDigits,
  formatClock,
  frameAt,
  type Segment,
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
/** Thumbnails from which a narrow window shows every third. */
const MANY_THUMBNAILS = 5;
/** Twice the width at which they are shown. */
const THUMBNAIL_WIDTH = 168;
const JPEG_QUALITY = 75;
const SEGMENTS_LISTED = 500;
const WARNINGS_LISTED = 10;
/** Bytes of the clips that are shown whole, rows of the overview and failed paths, at most. */
const MOST_BYTES = 16 * 2 ** 20, ROWS_LISTED = 2000, FAILED_LISTED = 200;

/** What is told of a page's making. */
interface PageOptions {
  /** File of weights. */
  model: string;
  labels: readonly string[];
  /** Classes listed for each clip. */
  top: number;
  origin?: PageOrigin;
  /** What else is told at the end. */
  facts?: readonly Fact[];
  /** Bytes of the clips that are shown whole, at most. */
  mostBytes?: number;
}

/** A clip in the overview. */
interface OverviewRow {
  path: string;
  best: ClassShare;
  colour: string;
  /** Of its part of the page; null: it has none. */
  anchor: string | null;
}

/** A page under way. Clips beyond a number of bytes stand in the overview alone, and beyond a number of rows they are counted. */
export class PredictionPage {
  readonly #file: string;
  readonly #options: PageOptions;
  readonly #colours = new PageColours();
  readonly #entries: string[] = [];
  readonly #rows: OverviewRow[] = [];
  readonly #failed: { path: string; reason: string }[] = [];
  #bytes = 0;
  #clips = 0;
  #failures = 0;

  /** Starts a page that will be written to a file. */
  constructor(file: string, options: PageOptions) {
    this.#file = file;
    this.#options = { ...options, labels: shortened(options.labels) };
  }

  /** Whether further clips stand in the overview alone, so that thumbnails are of no use. */
  get isFull(): boolean {
    return this.#bytes >= (this.#options.mostBytes ?? MOST_BYTES);
  }

  /** Clips that were added. */
  get clips(): number {
    return this.#clips;
  }

  /** Adds a clip. */
  add(entry: PageEntry): void {
    const { labels, top } = this.#options, { path, probabilities } = entry.outcome;
    const [best] = topShares(probabilities, labels, 1), [index] = topClasses(probabilities, 1);
    const isWhole = !this.isFull, colours = this.#colours;
    this.#clips++;
    if (isWhole) {
      const html = renderEntry(entry, { labels, top, number: this.#clips, colours });
      this.#entries.push(html);
      this.#bytes += html.length;
    }
    if (this.#rows.length >= ROWS_LISTED) return;
    const anchor = isWhole ? `input-${this.#clips}` : null;
    this.#rows.push({ path, best, colour: colours.of(index), anchor });
  }

  /** Adds a path of which nothing can be shown. */
  fail(path: string, reason: string): void {
    this.#failures++;
    if (this.#failed.length < FAILED_LISTED) this.#failed.push({ path, reason });
  }

  /** Writes the page, whole or not at all. */
  async close(): Promise<void> {
    const { model, labels, origin, facts = [] } = this.#options;
    const clips = `${formatCount(this.#clips)} ${this.#clips === 1 ? "clip" : "clips"}`;
    const failures = this.#failures === 0
      ? ""
      : `, ${formatCount(this.#failures)} that could not be predicted`;
    const page = renderPage({
      title: `Predictions of ${model}`,
      heading: "Predictions",
      about: model,
      style: TIMELINE_STYLE,
      tables: true,
      origin,
      content: this.#failedSection() + this.#overview() + this.#entries.join(""),
      facts: [
        ["Data set", clips + failures],
        ["Weights", model],
        ["Classes", formatCount(labels.length)],
        ...facts,
      ],
    });
    await writeFileWhole(this.#file, new TextEncoder().encode(page));
  }

  #failedSection(): string {
    const more = this.#failures - this.#failed.length;
    const about = `${formatCount(this.#failures)} ${this.#failures === 1 ? "path" : "paths"}` +
      `${more > 0 ? `, of which the first ${formatCount(this.#failed.length)} are listed` : ""}.`;
    return this.#failures === 0 ? "" : section(
      "Could not be predicted",
      about,
      dataTable(this.#failed, [
        { title: "Path", kind: "path", cell: ({ path }) => escapeHtml(path) },
        { title: "Why", cell: ({ reason }) => escapeHtml(reason) },
      ], { label: "Paths that could not be predicted", filter: { id: "failed", what: "path" } }),
    );
  }

  #overview(): string {
    if (this.#clips < 2) return "";
    const unlisted = this.#clips - this.#rows.length, alone = this.#clips - this.#entries.length;
    const about = [
      alone > 0
        ? `The first ${
          formatCount(this.#entries.length)
        } are shown below; of the others, for which the page has no room, ` +
          "the best class alone is told."
        : "",
      unlisted > 0 ? `${formatCount(unlisted)} more are not listed: <code>--json</code> tells of all.` : "",
    ].filter(Boolean).join(" ");
    return `<nav aria-label="Clips">${
      section(
        `${formatCount(this.#clips)} clips`,
        about,
        dataTable(this.#rows, [
          {
            title: "Clip",
            kind: "path",
            cell: ({ path, anchor }) =>
              anchor === null ? escapeHtml(path) : `<a href="#${anchor}">${escapeHtml(path)}</a>`,
          },
          { title: "Best class", cell: ({ best, colour }) => swatch(colour) + escapeHtml(best.label) },
          {
            title: "Probability",
            kind: "tight",
            key: ({ best }) => Number(best.p.toFixed(4)),
            cell: ({ best, colour }) => formatShare(best.p) + shareBar(best.p, colour),
          },
        ], {
          label: "Clips and their best classes",
          sortable: true,
          filter: { id: "clips", what: "clip or class" },
        }),
      )
    }</nav>`;
  }
}

/** The colour of a class before its name. */
function swatch(colour: string): string {
  return `<i class="swatch" aria-hidden="true" style="--tone:${colour}"></i>`;
}

function renderEntry(
  entry: PageEntry,
  options: { labels: readonly string[]; top: number; number: number; colours: PageColours },
): string {
  const { outcome: { path, probabilities, windows, problems }, seconds, length } = entry;
  const { labels, top, number, colours } = options;
  const segments = windows === null ? [] : segmentsOf(windows);
  const digits = seconds === null ? 0 : clockDigits(seconds, length?.stride ?? null, segments);
  const hasTimeline = windows !== null && windows.length > 1 && seconds !== null;
  const timeline = hasTimeline
    ? `${timelineCharts(windows, { labels, probabilities, seconds, digits, colours })}<h3>Segments</h3>` +
      `${segmentTable(segments, { labels, digits, colours })}<h3>The whole clip</h3>`
    : "";
  const strip = thumbnailStrip(entry.thumbnails, { digits, hasAxis: hasTimeline });
  const bars = `<ol class="top">${topShares(probabilities, labels, top).map(bar).join("")}</ol>`;
  const about = [
    seconds === null ? "" : `${formatClock(seconds, digits)} long`,
    windows && length ? windowsText(windows.length, length) : "one prediction of the whole clip",
  ].filter(Boolean).join(" · ");
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
  const side = (which: "left" | "right", size: keyof typeof CHART_SIZES) =>
    `--${which}-${size}:${
      (hasAxis ? 100 * CHART_SIZES[size][which] / CHART_SIZES[size].width : 0).toFixed(3)
    }%`;
  const sides = (["wide", "middle", "narrow"] as const).flatMap((
    size,
  ) => [side("left", size), side("right", size)]);
  const pictures = thumbnails.map(({ at, jpeg }) => {
    const time = formatClock(at, digits);
    return `<figure>${pictureTag(jpeg, `frame at ${time}`)}${time}</figure>`;
  });
  const few = Math.floor((thumbnails.length + 1) / 3); // the second of each three
  const kinds = `thumbs${thumbnails.length >= MANY_THUMBNAILS ? " many" : ""}`;
  return `<div class="${kinds}" style="--frames:${thumbnails.length};--few:${few};${sides.join(";")}">${
    pictures.join("")
  }</div>`;
}

function segmentTable(
  segments: readonly Segment[],
  { labels, digits, colours }: { labels: readonly string[]; digits: number; colours: PageColours },
): string {
  const more = segments.length - SEGMENTS_LISTED, clock = (at: number) => formatClock(at, digits);
  const table = dataTable(segments.slice(0, SEGMENTS_LISTED), [
    { title: "Time", kind: "time", cell: ({ from, to }) => `${clock(from)}–${clock(to)}` },
    { title: "Class", cell: ({ index }) => swatch(colours.of(index)) + escapeHtml(labels[index]) },
    {
      title: "Mean probability",
      kind: "tight",
      cell: ({ index, p }) => formatShare(p) + shareBar(p, colours.of(index)),
    },
  ], { label: "Segments", className: "segments" });
  return more > 0 ? `${table}<p>and ${formatCount(more)} more segments</p>` : table;
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
