/** What `predict --annotate` writes: the clip as a video, with its classes in the picture. */
import { dirname, join } from "node:path";
import { requireWritableFolder } from "../../data/files.ts";
import { listFrames, parseFrameTemplate } from "../../data/frames/frame_folder.ts";
import { annotate, type Caption, type CaptionedClip } from "../../data/video/annotate.ts";
import { ConfigError, type DataError } from "../../lib/errors.ts";
import { formatDuration, formatShare } from "../../lib/text.ts";
import { type ClipOutcome, FOLDER_FRAME_RATE, segmentsOf } from "../../train/evaluation/timeline.ts";
import { topShares } from "../../train/tasks/class_shares.ts";
import type { Io } from "../shared/output.ts";
import { cannotUse } from "../shared/predict_inputs.ts";

/** Lines in the picture where a clip is predicted at once. */
const MOST_LINES = 3;

/** A video that cannot take its name is refused before the work; so is one in whose place there is something. */
export async function requireVideoFile(file: string | undefined): Promise<void> {
  if (file === undefined) return;
  const refuse = (must: string, value: string) =>
    new ConfigError(`Cannot write "${file}": --annotate must be ${must}, current value is ${value}`);
  if (!/\.mp4$/i.test(file)) throw refuse("the name of an .mp4 file", `"${file}"`);
  await requireWritableFolder(dirname(file));
  if (await Deno.stat(file).catch(() => null)) throw refuse("the name of a new file", "one that is there");
}

/** The captions of a prediction: of each segment its class, or of a clip that was predicted at once its best classes. */
export function captionsOf(
  { windows, probabilities }: Pick<ClipOutcome, "windows" | "probabilities">,
  { labels, top }: { labels: readonly string[]; top: number },
): Caption[] {
  const line = (label: string, p: number) => `${label}  ${formatShare(p, 0)}`;
  if (windows === null) {
    const best = topShares(probabilities, labels, Math.min(top, MOST_LINES));
    return [{ from: 0, to: Infinity, lines: best.map(({ label, p }) => line(label, p)) }];
  }
  const segments = segmentsOf(windows);
  return segments.map(({ from, to, index, p }, i) => ({
    from: i === 0 ? 0 : from,
    // The last frame stands until the end, wherever a file says that this is.
    to: i === segments.length - 1 ? Infinity : to,
    lines: [line(labels[index], p)],
  }));
}

/** Writes the video of a prediction; what cannot be written is passed to `fail`. */
export async function writeAnnotated(
  { outcome, file, seconds, ...shown }: {
    outcome: ClipOutcome;
    labels: readonly string[];
    top: number;
    seconds: number | null;
    file: string;
  },
  options: {
    template: string;
    firstFrame: number | null;
    frameRate?: number;
    fail: (error: DataError) => void;
    io: Io;
  },
): Promise<void> {
  const { fail, io } = options;
  try {
    await Deno.mkdir(dirname(file), { recursive: true });
    await annotate(await sourceOf(outcome.path, options), captionsOf(outcome, shown), file, {
      signal: io.signal,
      onProgress: (done) =>
        io.status(
          `writing ${file}: ${formatDuration(done)}${
            seconds === null ? "" : ` of ${formatDuration(seconds)}`
          }`,
        ),
    });
  } catch (error) {
    io.signal.throwIfAborted();
    if (!(error instanceof Error) || "exitCode" in error) throw error;
    return fail(cannotUse(outcome.path, error.message, "annotate"));
  }
  io.print(`video: ${file}`);
}

async function sourceOf(
  path: string,
  { template, firstFrame, frameRate = FOLDER_FRAME_RATE }: {
    template: string;
    firstFrame: number | null;
    frameRate?: number;
  },
): Promise<CaptionedClip> {
  if (!(await Deno.stat(path)).isDirectory) return { video: path };
  const names = parseFrameTemplate(template), { first, count } = await listFrames(path, names, firstFrame);
  return { frames: Array.from({ length: count }, (_, i) => join(path, names.name(first + i))), frameRate };
}
