/** The clips that paths name: what `predict`, `index` and `search` are to look at. */
import { readdir } from "node:fs/promises";
import { detectTemplate } from "../../data/datasets/entries.ts";
import { reasonOf } from "../../data/files.ts";
import { findClips, type FoundClips } from "../../data/find_clips.ts";
import { parseFrameTemplate, unreadPictures } from "../../data/frames/frame_folder.ts";
import { identifyFile } from "../../data/video/identify.ts";
import { type FileContent, WORDS } from "../../data/video/kind.ts";
import { ConfigError, DataError } from "../../lib/errors.ts";
import { formatCount } from "../../lib/text.ts";

/** Takes a path that cannot be used, and lets the others go on. */
export type RefusePath = (error: DataError, what: { path: string; reason: string }) => void;

/** The error of a path that cannot be used. @param what What was to be done with it. */
export function cannotUse(path: string, reason: string, what = "predict"): DataError {
  return new DataError(`Cannot ${what} "${path}": ${reason}`);
}

/**
 * The clips that paths name: video files, folders of frames, and all of both below other folders.
 *
 * @param template Names of frames, `data.image_tmpl`.
 * @param options.what What is to be done with them, "predict" by default.
 */
export async function clipsOfPaths(
  paths: readonly string[],
  template: string,
  options: { fail: RefusePath; note: (line: string) => void; what?: string; signal?: AbortSignal },
): Promise<string[]> {
  const clips: string[] = [], frames = parseFrameTemplate(template);
  const refuse = (path: string, reason: string) =>
    options.fail(cannotUse(path, reason, options.what), { path, reason });
  for (const path of paths) {
    options.signal?.throwIfAborted();
    try {
      const info = await Deno.stat(path);
      if (info.isDirectory) {
        const found = await findClips(path, frames, options);
        for (const { path, reason } of found.unusable) refuse(path, reason);
        const others = otherFiles(found, template);
        if (found.clips.length > 0) {
          clips.push(...found.clips);
          if (found.others > 0) options.note(`note: ${path}: left out: ${others}`);
        } else if (found.unusable.length === 0) {
          const named = found.pictureFolder && await detectTemplate(found.pictureFolder, ["."]);
          if (named) {
            throw new Error(
              `its frames must be named "${template}", current names are of the form "${named}"; give data.image_tmpl=${named}`,
            );
          }
          const unread = found.pictureFolder && unreadPictures(await readdir(found.pictureFolder));
          if (unread) throw new Error(`its frames cannot be read: ${unread}`);
          throw new Error(
            `its frames must be named "${template}" (data.image_tmpl), or it must hold clips, current count is 0` +
              (found.others > 0 ? ` beside ${others}` : ""),
          );
        }
      } else if (!info.isFile) {
        throw new Error("it is no regular file"); // a pipe would be waited for without end
      } else {
        const { content, problem } = await identifyFile(path);
        if (problem === null) clips.push(path);
        else {throw new Error(
            content === "container" || content === "empty" ? problem : otherThanClip(content),
          );}
      }
    } catch (error) {
      options.signal?.throwIfAborted();
      if (error instanceof ConfigError) throw error; // ffprobe is missing
      const reason = error instanceof Deno.errors.NotFound ? "it does not exist" : reasonOf(error);
      refuse(path, reason);
    }
  }
  return clips;
}

/** Why a file of other content cannot be predicted. */
function otherThanClip(content: FileContent): string {
  return `it must be a video file or a folder of frames, current value is ${
    WORDS[content] ?? "another file"
  }`;
}

/** The files of a folder that are no clips, in words. */
function otherFiles({ others, firstOther, pictures }: FoundClips, template: string): string {
  const count = others === 1
    ? `1 file that is no clip, ${firstOther}`
    : `${formatCount(others)} files that are no clips, such as ${firstOther}`;
  return pictures === 0
    ? count
    : `${count}, ${formatCount(pictures)} of them pictures not named "${template}" (data.image_tmpl)`;
}
