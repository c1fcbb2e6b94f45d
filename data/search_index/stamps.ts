/** Whether the files of a clip are still what was looked at: by size and times, and by content where these leave it open. */

import { createHash } from "node:crypto";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { mapConcurrently, sortNames } from "../datasets/walk.ts";
import type { FrameTemplate } from "../frames/frame_template.ts";
import { sha256OfFile } from "../sha256.ts";
import type { ClipStamp } from "./manifest.ts";

const FRAMES_AT_ONCE = 16;

/** The frames of a folder, in order; null: it is a file. */
async function framesIn(path: string, template: FrameTemplate): Promise<string[] | null> {
  if (!(await stat(path)).isDirectory()) return null;
  return sortNames((await readdir(path)).filter(template.matches));
}

/** How the files of a clip are now. @throws {Error} of the system */
export async function stampOfClip(path: string, template: FrameTemplate): Promise<ClipStamp> {
  const own = await stat(path), frames = await framesIn(path, template);
  const stamp = { bytes: own.size, modified: own.mtimeMs, changed: own.ctimeMs };
  if (frames === null) return stamp;
  const infos = await mapConcurrently(frames, (name) => stat(join(path, name)), { atOnce: FRAMES_AT_ONCE });
  return {
    bytes: infos.reduce((sum, { size }) => sum + size, 0),
    modified: infos.reduce((latest, { mtimeMs }) => Math.max(latest, mtimeMs), stamp.modified),
    changed: infos.reduce((latest, { ctimeMs }) => Math.max(latest, ctimeMs), stamp.changed),
  };
}

/** What two looks at the files of a clip say of them. */
export function compareStamps(a: ClipStamp, b: ClipStamp): "same" | "doubtful" | "other" {
  if (a.bytes !== b.bytes) return "other"; // a content of another length
  return a.modified === b.modified && a.changed === b.changed ? "same" : "doubtful";
}

/** The SHA-256 of a clip's content: of the file, or of the names and contents of a folder's frames. */
export async function digestOfClip(
  path: string,
  template: FrameTemplate,
  options: { signal?: AbortSignal } = {},
): Promise<string> {
  const frames = await framesIn(path, template);
  if (frames === null) return await sha256OfFile(path, options);
  const hash = createHash("sha256");
  for (const name of frames) hash.update(`${name}\n${await sha256OfFile(join(path, name), options)}\n`);
  return hash.digest("hex");
}
