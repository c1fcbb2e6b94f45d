/**
 * From the clips a data set names to annotation lists: which of them are there, how many frames they have, and the text
 * of `train.txt`, `val.txt` and `labels.csv`. A clip that cannot be used is named with its reason and never stops the rest.
 */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { DataError } from "../../lib/errors.ts";
import { reasonOf } from "../files.ts";
import { type FrameTemplate, parseFrameTemplate } from "../frames.ts";
import type { ClipRecord } from "./list.ts";

export type Split = "train" | "val" | "test";

/** A clip as a data set names it, before its folder has been looked at. */
export interface Entry {
  readonly split: Split;
  readonly label: number;
  /** Folders it may lie in, relative to the root; the first that exists is taken. */
  readonly folders: readonly string[];
}

/** What a data set names. */
export interface Dataset {
  /** Class names by label. */
  readonly classes: readonly string[];
  readonly entries: readonly Entry[];
  /** What was left out on reading already. */
  readonly unusable: readonly UnusableClip[];
}

/** A clip that is in no list, and why. */
export interface UnusableClip {
  readonly split: Split | null;
  readonly path: string;
  readonly reason: string;
}

export interface CountedClip extends Pick<ClipRecord, "path" | "label"> {
  readonly split: Split;
  readonly frames: number;
}

/** Names of frame files in published data sets: what is tried when nobody says how the frames are named. */
export const PUBLISHED_TEMPLATES = ["{:05d}.jpg", "{:06d}.jpg", "img_{:05d}.jpg"] as const;

/** Folders looked into for the frames' names before that is given up. */
const TEMPLATE_TRIES = 50;
/** Folders read at once: enough to hide the latency of a network disk. */
const FOLDERS_AT_ONCE = 16;

export interface WalkOptions {
  signal?: AbortSignal;
  onProgress?: (done: number, total: number) => void;
}

/** How the frames are named in the first folder that holds any by a published name; null if none of them does. */
export async function detectTemplate(root: string, folders: Iterable<string>): Promise<string | null> {
  let tries = 0;
  for (const folder of folders) {
    const names = await namesIn(join(root, folder));
    if (names === null) continue;
    const found = PUBLISHED_TEMPLATES.find((text) => names.some(parseFrameTemplate(text).matches));
    if (found !== undefined) return found;
    if (++tries === TEMPLATE_TRIES) break;
  }
  return null;
}

/** Counts the frames of every clip. Only files that match the template are frames. */
export async function countEntries(
  { entries, unusable }: Dataset,
  options: { root: string; template: string } & WalkOptions,
): Promise<{ clips: CountedClip[]; unusable: UnusableClip[] }> {
  const template = parseFrameTemplate(options.template);
  const results = await mapConcurrently(
    entries,
    (entry) => countEntry(entry, options.root, template, options.template),
    { atOnce: FOLDERS_AT_ONCE, ...options },
  );
  return {
    clips: results.filter((one) => "frames" in one),
    unusable: [...unusable, ...results.filter((one) => "reason" in one)],
  };
}

async function countEntry(
  { split, label, folders }: Entry,
  root: string,
  template: FrameTemplate,
  templateText: string,
): Promise<CountedClip | UnusableClip> {
  for (const path of folders) {
    let names: string[];
    try {
      names = await readdir(join(root, path));
    } catch (error) {
      if ((error as { code?: string }).code === "ENOENT") continue;
      return { split, path, reason: reasonOf(error) };
    }
    if (/\s/.test(path)) {
      return { split, path, reason: "its path holds a space, which a list cannot hold: rename the folder" };
    }
    const frames = names.filter(template.matches).length;
    if (frames > 0) return { split, label, path, frames };
    const reason = names.length === 0
      ? "its folder is empty"
      : `none of its ${names.length} files is named like "${templateText}"`;
    return { split, path, reason };
  }
  return { split, path: folders[0], reason: "its folder does not exist" };
}

/** The text of an annotation list: `path frames label` a line. */
export function formatClipList(clips: readonly Pick<CountedClip, "path" | "frames" | "label">[]): string {
  return clips.map(({ path, frames, label }) => `${path} ${frames} ${label}\n`).join("");
}

/** The text of a label file: header `id,name`, names quoted where they must be. */
export function formatLabels(classes: readonly string[]): string {
  const rows = classes.map((name, id) =>
    `${id},${/^["\s]|["\s]$/.test(name) ? `"${name.replaceAll('"', '""')}"` : name}\n`
  );
  return `id,name\n${rows.join("")}`;
}

/** Names in code-point order, the same on every machine (`localeCompare` is not). */
export function sortNames(names: Iterable<string>): string[] {
  return [...names].sort((a, b) => {
    const left = [...a], right = [...b];
    for (let i = 0; i < Math.min(left.length, right.length); i++) {
      const difference = left[i].codePointAt(0)! - right[i].codePointAt(0)!;
      if (difference !== 0) return difference;
    }
    return left.length - right.length;
  });
}

/** The split that a file is for, from its name; an error where the name says none. */
export function splitOfFile(file: string): Split {
  const name = file.replace(/^.*[\\/]/, "").toLowerCase();
  if (name.includes("train")) return "train";
  if (name.includes("val")) return "val";
  if (name.includes("test")) return "test";
  throw new DataError(
    `Cannot read "${file}": its name must say which split it is for (train, val or test), current value is "${name}"`,
  );
}

/** Applies `work` to each item, a few at once; the results keep the items' order. */
export async function mapConcurrently<T, R>(
  items: readonly T[],
  work: (item: T, index: number) => Promise<R>,
  options: { atOnce: number } & WalkOptions,
): Promise<R[]> {
  const { atOnce, signal, onProgress } = options;
  const results = new Array<R>(items.length);
  let next = 0, done = 0;
  async function walk(): Promise<void> {
    while (next < items.length) {
      signal?.throwIfAborted();
      const index = next++;
      results[index] = await work(items[index], index);
      onProgress?.(++done, items.length);
    }
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, walk));
  return results;
}

async function namesIn(folder: string): Promise<string[] | null> {
  try {
    return await readdir(folder);
  } catch {
    return null; // counting names it with its reason
  }
}
