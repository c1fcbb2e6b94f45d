/** `sidenet predict`: the best classes of single clips. */
import { reasonOf } from "../data/files.ts";
import type { ClipRecord } from "../data/datasets/list.ts";
import { countFrames, parseFrameTemplate } from "../data/frames.ts";
import { isVideoPath } from "../data/video.ts";
import { DataError } from "../lib/errors.ts";
import type { Config } from "../train/config.ts";
import { scoreClips, type ScoredClip } from "../train/evaluate.ts";
import { topClasses } from "../train/metrics.ts";
import { formatShare, progressBar } from "../train/progress.ts";
import { findTrainedModel, openTrainedModel, viewBatch } from "../train/trained_model.ts";
import { defineCommand, parseArguments } from "./_args.ts";
import type { Io } from "./_output.ts";
import { tunedChoices } from "./_tuned.ts";
import { MODEL_OPTIONS, splitOverrides, viewsOfFlags } from "./_trained.ts";

const DEFAULT_TOP = 5;
const BAR_WIDTH = 20;

export const command = defineCommand({
  name: "predict",
  summary: "Print the five best classes for video files and folders of frames",
  usage: "RUN|CHECKPOINT PATH… [key=value …]",
  positionals: { min: 2 },
  details:
    `PATH is a video file (mp4, mkv, webm, avi, mov, …), which needs ffmpeg, or a folder of frames named as
data.image_tmpl says, whatever the model was trained on. A path that cannot be used is named, and the others are
done all the same; the exit code is then 4. With --json there is one line a clip on stdout.`,
  examples: [
    ["sidenet predict runs/demo demo_data/val/00001", "one clip, seen once"],
    ["sidenet predict runs/demo clip.mp4", "a video file"],
    [
      "sidenet predict runs/ssv2_vitb16_f8 clips/* --test-crops 3 --test-clips 2",
      "several, in six views each",
    ],
  ],
  options: {
    ...MODEL_OPTIONS,
    top: { type: "integer", min: 1, placeholder: "N", help: `number of classes, ${DEFAULT_TOP} by default` },
  },
});

export async function run(args: string[], io: Io): Promise<number> {
  const { values, positionals } = parseArguments(command, args);
  const [target, ...rest] = positionals;
  const { overrides, others: paths } = splitOverrides(rest);
  const views = viewsOfFlags(values), top = values.top ?? DEFAULT_TOP;
  const model = await findTrainedModel(target, { config: values.config, overrides });
  const { config, labels } = model;
  const clips: ClipRecord[] = [];
  let exitCode = 0;
  const fail = (error: DataError) => {
    io.note(`sidenet: ${error.message}`);
    exitCode = error.exitCode;
  };
  for (const path of paths) {
    try {
      await checkPath(path, config);
      clips.push({ path, label: 0, frames: null, line: 0 });
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      fail(error);
    }
  }
  if (clips.length > 0) {
    // The paths are the user's own, relative to the working folder.
    const root = "", batch = viewBatch(config, views, clips.length);
    const choices = await tunedChoices();
    await using client = await openTrainedModel(model, { clips, root, batch, choices });
    const scoring = { clips, root, modality: "either", views, batch, signal: io.signal } as const;
    for await (const scored of scoreClips(client, config, scoring)) {
      if (scored.bad) fail(new DataError(`Cannot predict "${scored.path}": ${scored.problems[0].problem}`));
      else printClip(scored, labels, top, io);
    }
  }
  return exitCode;
}

/** Refuses what is neither a video nor a folder of frames, before a GPU is opened. */
async function checkPath(path: string, config: Config): Promise<void> {
  const template = config.data.image_tmpl;
  let info: Deno.FileInfo;
  try {
    info = await Deno.stat(path);
  } catch (error) {
    const reason = error instanceof Deno.errors.NotFound ? "it does not exist" : reasonOf(error);
    throw new DataError(`Cannot predict "${path}": ${reason}`);
  }
  if (!info.isDirectory) {
    if (isVideoPath(path)) return;
    throw new DataError(
      `Cannot predict "${path}": it must be a video file or a folder of frames, current value is a file named otherwise`,
    );
  }
  if (await countFrames(path, parseFrameTemplate(template)) === 0) {
    throw new DataError(
      `Cannot predict "${path}": its frames must be named "${template}" (data.image_tmpl), current count is 0`,
    );
  }
}

function printClip(
  { path, probabilities, problems }: ScoredClip,
  labels: string[],
  count: number,
  io: Io,
): void {
  for (const { problem } of problems) io.note(`warning: ${path}: ${problem}`);
  const top = topClasses(probabilities, count).map((index) => ({
    label: labels[index],
    index,
    p: probabilities[index],
  }));
  io.printJson({ path, top });
  if (io.json) return;
  const width = Math.max(...top.map(({ label }) => label.length));
  io.print(path);
  for (const { label, p } of top) {
    io.print(`  ${label.padEnd(width)}  ${progressBar(p, BAR_WIDTH)}  ${formatShare(p).padStart(7)}`);
  }
}
