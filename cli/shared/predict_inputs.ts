/** What `predict` and `index` are to look at: the clips that its paths name, and their windows. */
import { mapConcurrently } from "../../data/datasets/walk.ts";
import { reasonOf } from "../../data/files.ts";
import { parseFrameTemplate } from "../../data/frames/frame_folder.ts";
import { ConfigError } from "../../lib/errors.ts";
import { clipTimes } from "../../train/evaluation/clip_times.ts";
import {
  type ClipTimes,
  type PredictedInput,
  type WindowLength,
  windowsOf,
} from "../../train/evaluation/timeline.ts";
import { cannotUse, type RefusePath } from "../../train/feed/named_clips.ts";

export { cannotUse, clipsOfPaths } from "../../train/feed/named_clips.ts";

/** Videos looked at at once before the first is predicted. */
const PROBED_AT_ONCE = 4;

/** A clip with its windows and, where there are some, its times. */
export interface TimedInput extends PredictedInput {
  times: ClipTimes | null;
}

/** Lays windows over clips; what does not tell its times is passed to `fail`. */
export async function windowed(
  paths: readonly string[],
  length: WindowLength | null,
  options: {
    template: string;
    firstFrame: number | null;
    frameRate?: number;
    signal: AbortSignal;
    fail: RefusePath;
    onProgress?: (done: number, total: number) => void;
  },
): Promise<TimedInput[]> {
  if (length === null) return paths.map((path) => ({ path, windows: null, times: null }));
  const { firstFrame, frameRate, signal, fail, onProgress } = options;
  const template = parseFrameTemplate(options.template);
  const inputs = await mapConcurrently(paths, async (path) => {
    try {
      const times = await clipTimes(path, { template, firstFrame, frameRate, signal });
      return { path, windows: windowsOf(times, length), times };
    } catch (error) {
      if (error instanceof ConfigError || signal.aborted) throw error;
      return { path, reason: reasonOf(error) };
    }
  }, { atOnce: PROBED_AT_ONCE, signal, onProgress });
  return inputs.flatMap((input) => {
    if (input.reason === undefined) return [input];
    fail(cannotUse(input.path, input.reason), input);
    return [];
  });
}
