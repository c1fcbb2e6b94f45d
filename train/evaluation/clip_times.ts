/** When the frames of clips on disk are shown. */

import { stat } from "node:fs/promises";
import { type FrameTemplate, listFrames } from "../../data/frames/frame_folder.ts";
import { probeVideo, videoTimes } from "../../data/video/decode.ts";
import { type ClipTimes, evenTimes, FOLDER_FRAME_RATE } from "./timeline.ts";

/**
 * When the frames of a folder or a video are shown.
 *
 * @param options.frameRate Frames a second of what does not tell its times; 12 for folders, where it is absent.
 * @throws {Error} with the reason why it cannot be told
 */
export async function clipTimes(
  path: string,
  options: { template: FrameTemplate; firstFrame?: number | null; frameRate?: number; signal?: AbortSignal },
): Promise<ClipTimes> {
  const { template, firstFrame, frameRate, signal } = options;
  if ((await stat(path)).isDirectory()) {
    const { count } = await listFrames(path, template, firstFrame);
    if (count === 0) throw new Error("it holds no frames");
    return evenTimes(count, count / (frameRate ?? FOLDER_FRAME_RATE));
  }
  const { frames: count, seconds } = await probeVideo(path, { signal });
  const times = await videoTimes(path, Array.from({ length: count }, (_, i) => i), { signal });
  const whole = seconds ?? (frameRate !== undefined || count === 1 ? count / (frameRate ?? 1) : null);
  if (whole === null) {
    throw new Error("the file does not tell how long it lasts: give its frames a second, --fps");
  }
  return times === null ? evenTimes(count, whole) : { frames: Float64Array.from(times), seconds: whole };
}
