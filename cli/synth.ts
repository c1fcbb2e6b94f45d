/** `sidenet synth`: writes the demo data set, JPEG frame folders in which only motion tells the class. */
import {
  DEFAULT_SYNTH_OPTIONS,
  MOTIONS,
  synthClipFrames,
  synthesize,
  type SynthOptions,
} from "../data/synth/dataset.ts";
import { ConfigError } from "../lib/errors.ts";
import { formatCount, formatDuration, progressBar } from "../lib/text.ts";
import { defineCommand, parseArguments } from "./shared/args.ts";
import type { Io } from "./shared/output.ts";

const { width, height, framesPerClip, trainClips, valClips, classes, quality, seed } = DEFAULT_SYNTH_OPTIONS;

export const command = defineCommand({
  name: "synth",
  summary: "Write a synthetic data set in which only motion tells the class",
  savesOnInterrupt: true,
  usage: "DIR",
  positionals: { min: 1, max: 1 },
  details:
    `Every clip shows one shape on a background. Shape, colour, size, place, speed and background are drawn alike for
every class, so that a single frame tells nothing. DIR receives train/ and val/ with a folder of JPEG frames a clip,
train.txt and val.txt (path, frames, label), labels.csv and synth.json.

Motions: ${Object.keys(MOTIONS).join(", ")}.`,
  examples: [
    ["sidenet synth demo_data", "the set of the demo recipe"],
    [
      "sidenet synth long --size 340x256 --frames 12 --frames 60",
      "pictures as large as those of real sets, short and long clips",
    ],
    ["sidenet synth turns --motion clockwise --motion anticlockwise", "two classes of turning shapes"],
  ],
  options: {
    "train-clips": { type: "integer", min: 1, help: `training clips, ${trainClips} by default` },
    "val-clips": { type: "integer", min: 1, help: `validation clips, ${valClips} by default` },
    motion: {
      type: "string",
      multiple: true,
      choices: Object.keys(MOTIONS),
      help: `a class; ${classes.join(", ")} by default`,
    },
    size: {
      type: "string",
      placeholder: "WxH",
      help: `width and height of a frame in pixels, ${width}x${height} by default`,
    },
    frames: {
      type: "integer",
      min: 1,
      multiple: true,
      help: `frames of a clip, ${framesPerClip} by default; of several numbers each class takes turns`,
    },
    "min-speed": {
      type: "number",
      help: `least speed in pixels a frame, ${DEFAULT_SYNTH_OPTIONS.speed[0]} by default`,
    },
    "max-speed": { type: "number", help: `greatest speed, ${DEFAULT_SYNTH_OPTIONS.speed[1]} by default` },
    background: {
      type: "string",
      choices: ["plain", "gradient", "noise"],
      help: `kind of background, ${DEFAULT_SYNTH_OPTIONS.background} by default`,
    },
    quality: { type: "integer", min: 1, help: `JPEG quality, ${quality} by default` },
    seed: { type: "integer", min: 0, help: `seed of everything drawn, ${seed} by default` },
  },
});

export async function run(args: string[], io: Io): Promise<number> {
  const { values, positionals: [folder] } = parseArguments(command, args);
  const defaults = DEFAULT_SYNTH_OPTIONS;
  const options: SynthOptions = {
    ...defaults,
    trainClips: values["train-clips"] ?? defaults.trainClips,
    valClips: values["val-clips"] ?? defaults.valClips,
    classes: values.motion.length > 0 ? values.motion as SynthOptions["classes"] : defaults.classes,
    ...(values.size === undefined ? {} : parseSize(values.size)),
    framesPerClip: values.frames.length > 1 ? values.frames : values.frames[0] ?? defaults.framesPerClip,
    speed: [values["min-speed"] ?? defaults.speed[0], values["max-speed"] ?? defaults.speed[1]],
    background: (values.background ?? defaults.background) as SynthOptions["background"],
    quality: values.quality ?? defaults.quality,
    seed: values.seed ?? defaults.seed,
  };
  const started = performance.now();
  await synthesize(folder, options, {
    signal: io.signal,
    onWait: (holder) => io.note(`waiting for ${folder}: ${holder}`),
    onProgress: (done, total) => showProgress(io, done, total),
  });
  io.status("");
  const seconds = (performance.now() - started) / 1000;
  const framesOf = (clips: number) =>
    Array.from({ length: clips }, (_, clip) => synthClipFrames(options, clip)).reduce((a, b) => a + b, 0);
  const names = options.classes.map((motion) => MOTIONS[motion]);
  io.print(
    `wrote ${formatCount(options.trainClips)} training and ${
      formatCount(options.valClips)
    } validation clips of ` +
      `${names.length} classes (${names.join(", ")}) to ${folder} in ${formatDuration(seconds)}`,
  );
  io.printJson({
    folder,
    train_clips: options.trainClips,
    val_clips: options.valClips,
    classes: names,
    frames: framesOf(options.trainClips) + framesOf(options.valClips),
    seconds,
  });
  return 0;
}

/** A line now and then: rewriting it for each clip would cost more than the clip. */
function showProgress(io: Io, done: number, total: number): void {
  if (done % 50 !== 0 && done !== total) return;
  io.status(`▕${progressBar(done / total, 20)}▏ ${formatCount(done)}/${formatCount(total)} clips`);
}

function parseSize(text: string): { width: number; height: number } {
  const match = /^(\d+)x(\d+)$/.exec(text);
  if (match === null) {
    throw new ConfigError(
      `Cannot parse flag "--size": expected WxH such as 64x48, current value is "${text}"`,
    );
  }
  return { width: Number(match[1]), height: Number(match[2]) };
}
