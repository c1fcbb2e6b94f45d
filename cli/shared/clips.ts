/** Clips of a data set in words, as several verbs name them. */
import { countUnusable, type UnusableClip } from "../../data/datasets/entries.ts";
import { formatCount } from "../../lib/text.ts";
import type { Io } from "./output.ts";

/** Clips named on the terminal. */
const NAMED_AT_MOST = 20;

/** Names the first clips and counts the others. @param options.where where all of them are named */
export function tellLeftOut(unusable: readonly UnusableClip[], io: Io, options: { where: string }): void {
  for (const { path, reason } of unusable.slice(0, NAMED_AT_MOST)) {
    io.note(`left out: ${path}: ${reason}`);
  }
  const more = countUnusable(unusable.slice(NAMED_AT_MOST));
  if (more > 0) io.note(`left out: ${formatCount(more)} more, see ${options.where}`);
}

/** A number of videos. */
export function countVideos(videos: number): string {
  return `${formatCount(videos)} ${videos === 1 ? "video" : "videos"}`;
}
