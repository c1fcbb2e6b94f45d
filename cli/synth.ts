/** `sidenet synth`: writes the sets of the demos, JPEG frame folders with classes that only motion tells, or with captions. */
import { synthesize } from "../data/synth/dataset.ts";
import { CLIP_COLOURS, COLOURS, SHAPES } from "../data/synth/looks.ts";
import { MOTIONS } from "../data/synth/motion.ts";
import {
  DEFAULT_SYNTH_OPTIONS,
  isCaptioned,
  SYNTH_KINDS,
  synthClipFrames,
  synthDefaults,
  type SynthKind,
  type SynthOptions,
} from "../data/synth/options.ts";
import { captionedSentences } from "../data/synth/sentences.ts";
import { clipTokenizer, tokensOf } from "../data/text/tokenizer.ts";
import { ConfigError } from "../lib/errors.ts";
import { formatCount, formatDuration, progressBar } from "../lib/text.ts";
import { defineCommand, parseArguments } from "./shared/args.ts";
import type { Io } from "./shared/output.ts";

const { width, height, framesPerClip, trainClips, valClips, classes, quality, seed } = DEFAULT_SYNTH_OPTIONS;

export const command = defineCommand({
  name: "synth",
  summary: "Write a synthetic data set: clips whose motion is the class, or pictures and clips with captions",
  savesOnInterrupt: true,
  usage: "DIR",
  positionals: { min: 1, max: 1 },
  details:
    `Every clip shows one shape on a background. Shape, colour, size, place, speed and background are drawn alike for
every motion, so that a single frame tells nothing. DIR receives train/ and val/ with a folder of JPEG frames a clip,
and synth.json.

Kinds:
${Object.entries(SYNTH_KINDS).map(([kind, what]) => `  ${kind.padEnd(20)}${what}`).join("\n")}
With classes there are lists train.txt and val.txt (path, frames, label) and labels.csv, with sentences train.jsonl
and val.jsonl (path, caption), and the line of tokens that a text tower needs for the sentences of both kinds
(network.tokens) is printed. No two clips for validation have the same sentence. Pictures keep some pairs of shape and
colour for validation.

Motions: ${Object.keys(MOTIONS).join(", ")}.`,
  examples: [
    ["sidenet synth demo_data", "the set of the demo recipe"],
    [
      "sidenet synth long --size 340x256 --frames 12 --frames 60",
      "pictures as large as those of real sets, short and long clips",
    ],
    ["sidenet synth turns --motion clockwise --motion anticlockwise", "two classes of turning shapes"],
    [
      "sidenet synth clips --kind captioned_clips",
      'clips with sentences such as "a green square moves left"',
    ],
  ],
  options: {
    kind: {
      type: "string",
      choices: Object.keys(SYNTH_KINDS),
      help: `what the set holds, ${DEFAULT_SYNTH_OPTIONS.kind} by default`,
    },
    "train-clips": { type: "integer", min: 1, help: `training clips, ${trainClips} by default` },
    "val-clips": {
      type: "integer",
      min: 1,
      help: `validation clips, ${valClips} by default, 100 with captions`,
    },
    motion: {
      type: "string",
      multiple: true,
      choices: Object.keys(MOTIONS),
      help: `a class; ${classes.join(", ")} by default, all with captions`,
    },
    shape: {
      type: "string",
      multiple: true,
      choices: SHAPES,
      help: `a shape that captions speak of; by default all in pictures, all but discs in clips`,
    },
    colour: {
      type: "string",
      multiple: true,
      choices: COLOURS,
      help: `a colour of shapes that captions speak of; by default all in pictures, ${
        CLIP_COLOURS.join(", ")
      } in clips`,
    },
    paces: { type: "boolean", help: 'captions say how fast a shape moves: "moves slowly left"' },
    size: {
      type: "string",
      placeholder: "WxH",
      help: `width and height of a frame in pixels, ${width}x${height} by default`,
    },
    frames: {
      type: "integer",
      min: 1,
      multiple: true,
      help:
        `frames of a clip, ${framesPerClip} by default (pictures have 1); of several numbers each class takes turns`,
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
  const defaults = synthDefaults((values.kind ?? DEFAULT_SYNTH_OPTIONS.kind) as SynthKind);
  const listOf = <T>(given: readonly string[], otherwise: readonly T[]) =>
    given.length > 0 ? given as unknown as readonly T[] : otherwise;
  const options: SynthOptions = {
    ...defaults,
    trainClips: values["train-clips"] ?? defaults.trainClips,
    valClips: values["val-clips"] ?? defaults.valClips,
    classes: listOf(values.motion, defaults.classes),
    shapes: listOf(values.shape, defaults.shapes),
    colours: listOf(values.colour, defaults.colours),
    paces: values.paces ?? defaults.paces,
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
  const what = isCaptioned(options)
    ? `${options.kind === "captioned_pictures" ? "pictures" : "clips"} with captions`
    : `clips of ${options.classes.length} classes (${classNames(options).join(", ")})`;
  io.print(
    `wrote ${formatCount(options.trainClips)} training and ${
      formatCount(options.valClips)
    } validation ${what} ` +
      `to ${folder} in ${formatDuration(seconds)}`,
  );
  const tokens = isCaptioned(options) ? tokensOf(await clipTokenizer(), captionedSentences()) : null;
  if (tokens !== null) {
    io.print(`tokens: [${tokens.join(", ")}] # of network, for the captions of pictures and clips`);
  }
  io.printJson({
    folder,
    train_clips: options.trainClips,
    val_clips: options.valClips,
    ...tokens === null ? { classes: classNames(options) } : { kind: options.kind, tokens },
    frames: framesOf(options.trainClips) + framesOf(options.valClips),
    seconds,
  });
  return 0;
}

function classNames({ classes }: SynthOptions): string[] {
  return classes.map((motion) => MOTIONS[motion]);
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
