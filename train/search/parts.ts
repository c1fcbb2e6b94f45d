/** Which rows of an index a clip becomes: one, or one for each window of a long one. */

import type { ClipRecord } from "../../data/datasets/list.ts";
import type { FrameTemplate } from "../../data/frames/frame_folder.ts";
import { reasonOf } from "../../data/files.ts";
import type { ClipSpan, IndexWindows } from "../../data/search_index/manifest.ts";
import { ConfigError } from "../../lib/errors.ts";
import { clipTimes } from "../evaluation/clip_times.ts";
import { type ClipTimes, leastSpacing, windowsOf } from "../evaluation/timeline.ts";

/** Clips that are longer, in seconds, are cut into windows, unless the user says otherwise; and the length of these. */
export const DEFAULT_WINDOWS = { longer_than: 30, window: 8 } as const;

/** A row to compute. */
export interface ClipPart {
  /** Which of the clip's rows it is. */
  readonly part: number;
  readonly span: ClipSpan;
  readonly record: ClipRecord;
}

/**
 * The windows of an index: those it was begun with, else what the user said, else the usual ones. With a window of one's own, all that
 * is longer is cut; windows stand side by side unless a stride is given.
 *
 * @throws {ConfigError} where the user said other things than the index was begun with
 */
export function settleWindows(asked: Partial<IndexWindows>, before: IndexWindows | null): IndexWindows {
  if (before === null) {
    const window = asked.window ?? DEFAULT_WINDOWS.window;
    return {
      window,
      stride: asked.stride ?? window,
      longer_than: asked.window ?? DEFAULT_WINDOWS.longer_than,
      frames_per_second: asked.frames_per_second ?? null,
    };
  }
  const flags = [["window", "--window"], ["stride", "--stride"], ["frames_per_second", "--fps"]] as const;
  for (const [key, flag] of flags) {
    const value = asked[key];
    if (value === undefined || value === before[key]) continue;
    const must = before[key] === null ? "not be given" : `be ${before[key]}`;
    throw new ConfigError(
      `Cannot add to the index: ${flag} must ${must}, as when it was begun, current value is ${value}; name another --out`,
    );
  }
  return before;
}

/**
 * The rows of a clip.
 *
 * @param path Absolute.
 * @returns With what is to be told of a clip that does not say when its frames are shown: it is one row.
 */
export async function partsOfClip(
  path: string,
  options: {
    windows: IndexWindows;
    template: FrameTemplate;
    firstFrame: number | null;
    signal?: AbortSignal;
  },
): Promise<{ parts: ClipPart[]; problem: string | null }> {
  const { windows: { longer_than: most, frames_per_second: frameRate, ...length } } = options;
  const record = { path, label: 0, frames: null, line: 0 };
  const whole = (to: number | null) => [{ part: 0, span: [0, to] as const, record }];
  let times: ClipTimes;
  try {
    times = await clipTimes(path, { ...options, frameRate: frameRate ?? undefined });
  } catch (error) {
    if (error instanceof ConfigError || options.signal?.aborted) throw error; // ffprobe is missing
    return { parts: whole(null), problem: `it is one row, its length cannot be told: ${reasonOf(error)}` };
  }
  if (times.seconds <= most) return { parts: whole(times.seconds), problem: null };
  // Where frames stand longer than windows are apart, every frame is a row.
  const least = leastSpacing(times);
  const own = length.stride < least ? { window: Math.max(length.window, least), stride: least } : length;
  const parts = windowsOf(times, own).map(({ from, to, range }, part) => ({
    part,
    span: [from, to] as const,
    record: { ...record, range },
  }));
  return { parts, problem: null };
}
