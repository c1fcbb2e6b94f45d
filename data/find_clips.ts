/** The clips below a folder: folders of frames and video files, at any depth. */
import { readdir, realpath, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { ConfigError } from "../lib/errors.ts";
import { reasonOf } from "./files.ts";
import type { FrameTemplate } from "./frames/frame_folder.ts";
import { sortNames } from "./datasets/walk.ts";
import { identifyFile } from "./video/identify.ts";
import { hasVideoName } from "./video/kind.ts";

/** What lies below a folder. */
export interface FoundClips {
  /** Paths, which start with the folder's own; siblings in code-point order. */
  clips: string[];
  /** What looks like a clip or a folder and cannot be read. */
  unusable: { path: string; reason: string }[];
  /** Number of other files. */
  others: number;
  /** The first of them; null without any. */
  firstOther: string | null;
  /** Those of them that are pictures. */
  pictures: number;
  /** The folder of the first of those; null without any. */
  pictureFolder: string | null;
}

/**
 * Finds the clips below a folder; the folder itself is one when it holds frames. A folder of frames is not looked into any
 * further. Hidden names are left out; links are followed, and each folder is looked into once, however many links lead to it.
 *
 * @param template Names of the frames.
 */
export async function findClips(
  root: string,
  template: FrameTemplate,
  options: { signal?: AbortSignal } = {},
): Promise<FoundClips> {
  const found: FoundClips = {
    clips: [],
    unusable: [],
    others: 0,
    firstOther: null,
    pictures: 0,
    pictureFolder: null,
  };
  const seen = new Set<string>();

  async function visitFolder(path: string): Promise<void> {
    const place = await realpath(path);
    if (seen.has(place)) return;
    seen.add(place);
    const names = (await readdir(path)).filter((name) => !name.startsWith("."));
    if (names.some(template.matches)) {
      found.clips.push(path);
      return;
    }
    const prefix = path.endsWith("/") ? path : `${path}/`;
    for (const name of sortNames(names)) await visit(prefix + name);
  }

  async function visit(path: string): Promise<void> {
    options.signal?.throwIfAborted();
    let isPicture = false;
    try {
      const info = await stat(path);
      if (info.isDirectory()) return await visitFolder(path);
      if (info.isFile()) {
        // Files named like videos are looked at no further before they are decoded.
        const { content, problem } = hasVideoName(path)
          ? { content: "video", problem: null }
          : await identifyFile(path);
        if (problem === null) return void found.clips.push(path);
        isPicture = content === "picture";
      } else if (hasVideoName(path)) throw new Error("it is no regular file");
    } catch (error) {
      if (error instanceof ConfigError) throw error; // ffprobe is missing
      // Where the system's names are no UTF-8, they are read with signs that stand for what could not be read.
      const reason = path.includes("\uFFFD") ? "its name must be UTF-8: rename it" : reasonOf(error);
      return void found.unusable.push({ path, reason });
    }
    found.others++;
    found.firstOther ??= path;
    if (!isPicture) return;
    found.pictures++;
    found.pictureFolder ??= dirname(path);
  }

  await visit(root);
  return found;
}
