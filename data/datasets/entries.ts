/**
 * From the clips a data set names to annotation lists: which of them are there, as folders of frames or as video files, and
 * how many frames they have. A clip that cannot be used is named with its reason and never stops the rest.
 */
import { readdir, stat } from "node:fs/promises";
import { basename, dirname, extname } from "node:path";
import { ConfigError, DataError } from "../../lib/errors.ts";
import { clipPath } from "../clip_path.ts";
import { reasonOf } from "../files.ts";
import {
  type FrameTemplate,
  guessTemplate,
  parseFrameTemplate,
  whyNoFrames,
} from "../frames/frame_folder.ts";
import { probeVideo } from "../video/decode.ts";
import { identifyFile } from "../video/identify.ts";
import { hasVideoName } from "../video/kind.ts";
import type { ClipRecord } from "./list.ts";
import { mapConcurrently, sortNames, type WalkOptions } from "./walk.ts";

export type Split = "train" | "val" | "test";

/** A file that names clips or classes. */
export interface AnnotationFile {
  file: string;
  text: string;
}

/** A clip as a data set names it, before anybody has looked whether it is there. */
export interface Entry {
  readonly split: Split;
  readonly label: number;
  /**
   * Where it may lie, relative to the root: folders of frames, or video files, whose extension may be left out. The first that
   * exists is taken.
   */
  readonly paths: readonly string[];
  /** What describes it, in a data set of captions. */
  readonly captions?: readonly Caption[];
}

/** A sentence that describes a clip. */
export interface Caption {
  readonly text: string;
  /** Where it stands among the captions of the data set, which may not be clip by clip. */
  readonly place: number;
}

/** What a data set names. */
export interface Dataset {
  /** Class names by label; null: clips have captions, and the label 0. */
  readonly classes: readonly string[] | null;
  readonly entries: readonly Entry[];
  /** What was left out on reading already. */
  readonly unusable: readonly UnusableClip[];
}

/** A clip that is in no list, and why. */
export interface UnusableClip {
  readonly split: Split | null;
  readonly path: string;
  readonly reason: string;
  /** Files it stands for. Absent: one. */
  readonly files?: number;
}

/** How many clips or files could not be used. */
export function countUnusable(unusable: readonly UnusableClip[]): number {
  return unusable.reduce((sum, { files = 1 }) => sum + files, 0);
}

/** A clip that is there. */
export interface FoundClip extends Pick<ClipRecord, "path" | "label" | "frames">, Pick<Entry, "captions"> {
  readonly split: Split;
  readonly kind: "frames" | "video";
}

/** Names of frame files in published data sets: what is tried when nobody says how the frames are named. */
export const PUBLISHED_TEMPLATES = ["{:05d}.jpg", "{:06d}.jpg", "img_{:05d}.jpg"] as const;

/** Folders looked into for the frames' names before that is given up. */
const TEMPLATE_TRIES = 50;
/** Names that may lead to no folder before the same: a set of videos has none. */
const TEMPLATE_MISSES = 2000;
/** Clips looked at at once: enough to hide the latency of a network disk. */
const CLIPS_AT_ONCE = 16;

/**
 * How the frames are named: by a known name in the first folder that holds any, else as most numbered pictures of the folders that
 * were looked into; null without any.
 */
export async function detectTemplate(
  root: string,
  folders: Iterable<string>,
  templates: readonly string[] = PUBLISHED_TEMPLATES,
): Promise<string | null> {
  const known = templates.map((text) => ({ text, matches: parseFrameTemplate(text).matches }));
  let tries = 0, misses = 0;
  const pictures: string[] = [];
  for (const folder of folders) {
    const names = await readdir(clipPath(root, folder)).catch(() => null); // findClips names it with its reason
    const found = known.find(({ matches }) => names?.some(matches));
    if (found !== undefined) return found.text;
    for (const name of names ?? []) pictures.push(name);
    if (names === null ? ++misses === TEMPLATE_MISSES : ++tries === TEMPLATE_TRIES) break;
  }
  return guessTemplate(pictures);
}

/** What a set of clips is read as. */
export function modalityOf(clips: readonly FoundClip[]): "RGB" | "video" | "either" {
  const videos = clips.filter(({ kind }) => kind === "video").length;
  return videos === 0 ? "RGB" : videos === clips.length ? "video" : "either";
}

export interface FindOptions extends WalkOptions {
  root: string;
  /** Names of frames; no other file of a folder is one. */
  template: string;
  /** Also count the frames of videos, which takes ffprobe some 50 ms each; without, a video is only looked at from outside. */
  countVideos?: boolean;
}

/** Looks for every clip. Frames in folders are counted. */
export async function findClips(
  { entries, unusable }: Dataset,
  options: FindOptions,
): Promise<{ clips: FoundClip[]; unusable: UnusableClip[] }> {
  const finder = new ClipFinder(options);
  const results = await mapConcurrently(entries, (entry) => finder.find(entry), {
    ...options,
    atOnce: options.countVideos ? navigator.hardwareConcurrency : CLIPS_AT_ONCE,
  });
  return {
    clips: results.filter((one) => "kind" in one),
    unusable: [...unusable, ...results.filter((one) => "reason" in one)],
  };
}

/** Finds clips below one root; every folder that holds clips is listed once. */
class ClipFinder {
  readonly #options: FindOptions;
  readonly #template: FrameTemplate;
  readonly #listings = new Map<string, Promise<Listing>>();

  constructor(options: FindOptions) {
    this.#options = options;
    this.#template = parseFrameTemplate(options.template);
  }

  async find({ paths, ...known }: Entry): Promise<FoundClip | UnusableClip> {
    for (const path of paths) {
      let found: string | null = path;
      try {
        found = await this.#locate(path);
        if (found === null) continue;
        return { ...known, path: found, ...await this.#look(found) };
      } catch (error) {
        this.#options.signal?.throwIfAborted();
        if (error instanceof ConfigError) throw error; // ffprobe is missing
        return { split: known.split, path: found ?? path, reason: whyNot(path, error) };
      }
    }
    return { split: known.split, path: paths[0], reason: "it does not exist" };
  }

  /** The path as it stands on the disk, with the extension of a video where the entry has none; null if nothing does. */
  async #locate(path: string): Promise<string | null> {
    const folder = dirname(path), name = basename(path);
    const { names, byStem } = await this.#list(folder);
    if (names.has(name)) return path;
    const below = (file: string) => folder === "." ? file : `${folder}/${file}`;
    const files = byStem.get(name) ?? [], named = files.find(hasVideoName);
    if (named !== undefined) return below(named);
    for (const file of files) {
      try {
        const { problem } = await identifyFile(clipPath(this.#options.root, below(file)), this.#options);
        if (problem === null) return below(file);
      } catch (error) {
        this.#options.signal?.throwIfAborted();
        if (error instanceof ConfigError) throw error;
      }
    }
    return null;
  }

  #list(folder: string): Promise<Listing> {
    let listing = this.#listings.get(folder);
    if (listing === undefined) {
      this.#listings.set(folder, listing = listFolder(clipPath(this.#options.root, folder)));
    }
    return listing;
  }

  /** @throws {Error} with the reason why the clip cannot be used */
  async #look(path: string): Promise<Pick<FoundClip, "kind" | "frames">> {
    const { root, template, countVideos, signal } = this.#options, whole = clipPath(root, path);
    const info = await stat(whole);
    if (!info.isDirectory()) {
      if (!info.isFile()) throw new Error("it is no regular file");
      if (info.size === 0) throw new Error("the file is empty");
      const { problem } = await identifyFile(whole, { signal });
      if (problem !== null) throw new Error(problem);
      return { kind: "video", frames: countVideos ? (await probeVideo(whole, { signal })).frames : null };
    }
    const names = await readdir(whole), frames = names.filter(this.#template.matches).length;
    if (frames > 0) return { kind: "frames", frames };
    throw new Error(whyNoFrames(names, { template }));
  }
}

/** Why something that a folder lists cannot be used. */
export function whyNot(path: string, error: unknown): string {
  // A name that is not text is listed with this sign, and nothing goes by that name.
  return path.includes("\uFFFD") ? "its name is not UTF-8" : reasonOf(error);
}

interface Listing {
  readonly names: ReadonlySet<string>;
  /** Names by what stands before their extension, in code-point order. */
  readonly byStem: ReadonlyMap<string, string[]>;
}

async function listFolder(path: string): Promise<Listing> {
  let names: string[];
  try {
    names = await readdir(path);
  } catch (error) {
    if ((error as { code?: string }).code !== "ENOENT") throw error;
    names = []; // a clip may lie elsewhere
  }
  const byStem = Map.groupBy(sortNames(names), (name) => basename(name, extname(name)));
  return { names: new Set(names), byStem };
}

/** The text of a label file: header `id,name`, names quoted where they must be; a line break in a name becomes a space. */
export function formatLabels(classes: readonly string[]): string {
  const rows = classes.map((name, id) => {
    const line = name.replace(/[\r\n]+/g, " ");
    return `${id},${/^["\s]|["\s]$|,/.test(line) ? `"${line.replaceAll('"', '""')}"` : line}\n`;
  });
  return `id,name\n${rows.join("")}`;
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
