/** Folders of numbered frame files: how many there are, where their numbers begin, and their bytes. */
import { readFileSync, statSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { clipPath } from "../clip_path.ts";
import { requireFrameFileSize } from "./limits.ts";
import { hasVideoName } from "../video/kind.ts";
import { type FrameTemplate, guessTemplate, parseFrameTemplate, unreadPictures } from "./frame_template.ts";

export { type FrameTemplate, guessTemplate, parseFrameTemplate, unreadPictures } from "./frame_template.ts";

/** How the frames of a data set are named and numbered. */
export interface FrameNames {
  /** File name of a frame, such as `{:05d}.jpg`. */
  readonly template: string;
  /** Number of a clip's first file; null or absent: the lowest of its folder. */
  readonly firstFrame?: number | null;
}

/** Which files of a folder are its frames. */
export interface FrameFiles {
  readonly count: number;
  /** Number of the first: frame i of the clip, from 1, is the file `first + i - 1`. */
  readonly first: number;
}

/**
 * The frames among the files of a folder.
 *
 * Their number is that of the files, so where numbers are missing in between, frames behind the end are not read: the published
 * rule, under which the missing ones are replaced.
 *
 * @param firstFrame files with lower numbers are no frames; null: the lowest number is the first frame
 */
export function framesAmong(
  fileNames: readonly string[],
  template: FrameTemplate,
  firstFrame: number | null = null,
): FrameFiles {
  let count = 0, lowest = Infinity;
  for (const fileName of fileNames) {
    const number = template.number(fileName);
    if (number === null || number < (firstFrame ?? 0)) continue;
    count++;
    lowest = Math.min(lowest, number);
  }
  return { count, first: firstFrame ?? (count === 0 ? 1 : lowest) };
}

/** The frames of a folder. */
export async function listFrames(
  folder: string,
  template: FrameTemplate,
  firstFrame: number | null = null,
): Promise<FrameFiles> {
  return framesAmong(await readdir(folder), template, firstFrame);
}

/** Folders of frames below a root. Where the numbers of a folder begin is remembered. */
export class FrameFolders {
  readonly #root: string;
  readonly #names: FrameNames;
  readonly #template: FrameTemplate;
  readonly #first = new Map<string, number>();

  constructor(root: string, names: FrameNames) {
    this.#root = root;
    this.#names = names;
    this.#template = parseFrameTemplate(names.template);
  }

  /** How many frames a clip has. @throws {Error} with the reason where it has none */
  async count(path: string): Promise<number> {
    const { template, firstFrame = null } = this.#names;
    const fileNames = await readdir(clipPath(this.#root, path));
    const { count, first } = framesAmong(fileNames, this.#template, firstFrame);
    if (count === 0) throw new Error(whyNoFrames(fileNames, { template, firstFrame }));
    this.#first.set(path, first);
    return count;
  }

  /** The folder of a clip and the number of its first file. */
  async place(path: string): Promise<{ folder: string; first: number }> {
    const folder = clipPath(this.#root, path), { firstFrame = null } = this.#names;
    const first = this.#first.get(path) ?? (await listFrames(folder, this.#template, firstFrame)).first;
    this.#first.set(path, first);
    return { folder, first };
  }
}

/** Why none of the files of a folder is a frame, with what would make them frames. */
export function whyNoFrames(
  fileNames: readonly string[],
  { template, firstFrame = null }: FrameNames,
): string {
  if (fileNames.length === 0) return "its folder is empty";
  const { number } = parseFrameTemplate(template),
    numbers = fileNames.map(number).filter((one) => one !== null);
  if (firstFrame !== null && numbers.length > 0) {
    const last = numbers.reduce((most, one) => Math.max(most, one));
    return `none of its ${numbers.length} frames has the number ${firstFrame} or a higher one, the last has ${last} (data.first_frame)`;
  }
  const none = `none of its ${fileNames.length} files is named like "${template}"`;
  const fitting = guessTemplate(fileNames);
  if (fitting !== null) {
    return `${none}; its pictures are named like "${fitting}" (data.image_tmpl, or --template)`;
  }
  const unread = unreadPictures(fileNames), video = fileNames.find(hasVideoName);
  if (unread !== null) return `${none}; ${unread}`;
  return video === undefined
    ? none
    : `${none}, "${video}" is a video: a clip is the video itself, not its folder`;
}

/**
 * The files of a folder by frame, from 1. Synchronous: it runs in a decode worker, where nothing else waits, and an asynchronous
 * read costs ten times as much.
 *
 * @param options.first number of the first frame's file
 */
export function folderFrames(
  { folder, template, first }: { folder: string; template: string; first: number },
): (frame: number) => Uint8Array {
  const names = parseFrameTemplate(template);
  return (frame) => {
    const file = join(folder, names.name(first + frame - 1));
    const info = statSync(file); // a pipe in place of a picture would be waited for without end
    if (!info.isFile()) throw new Error(info.isDirectory() ? "it is a folder" : "it is no regular file");
    requireFrameFileSize(info.size);
    return readFileSync(file);
  };
}
