/** The clips below a folder: folders of frames and video files, at any depth. */
import { readdir, realpath, stat } from "node:fs/promises";
import { dirname, extname } from "node:path";
import { reasonOf } from "./files.ts";
import type { FrameTemplate } from "./frames/frame_folder.ts";
import { sortNames } from "./datasets/walk.ts";
import { isVideoPath } from "./video/decode.ts";

/** What lies below a folder. */
export interface FoundClips {
  /** Paths, which start with the folder's own; siblings in code-point order. */
  clips: string[];
  /** What looks like a clip or a folder and cannot be read. */
  unusable: { path: string; reason: string }[];
  /** Number of other files. */
  others: number;
  /** Those of them that are pictures by their extension. */
  pictures: number;
  /** The folder of the first of those; null without any. */
  pictureFolder: string | null;
}

const PICTURES = new Set([".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"]);

/**
 * Finds the clips below a folder; the folder itself is one when it holds frames. A folder of frames is not looked into any
 * further. Hidden names are left out; links are followed, and each folder is looked into once, however many links lead to it.
 *
 * @param template Names of the frames.
 */
export async function findClips(root: string, template: FrameTemplate): Promise<FoundClips> {
  const found: FoundClips = { clips: [], unusable: [], others: 0, pictures: 0, pictureFolder: null };
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
    const isVideo = isVideoPath(path);
    try {
      const info = await stat(path);
      if (info.isDirectory()) return await visitFolder(path);
      if (isVideo && info.isFile()) return void found.clips.push(path);
      if (isVideo) throw new Error("it is no regular file");
    } catch (error) {
      return void found.unusable.push({ path, reason: reasonOf(error) });
    }
    found.others++;
    if (!PICTURES.has(extname(path).toLowerCase())) return;
    found.pictures++;
    found.pictureFolder ??= dirname(path);
  }

  await visit(root);
  return found;
}
