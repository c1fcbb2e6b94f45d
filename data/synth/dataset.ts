/**
 * A synthetic data set of real JPEG frame folders in which only motion tells the class.
 *
 * Every clip shows one shape on a background. Kind, colour, size, turn, place, speed and background are drawn
 * from the same distributions whatever the class, and the world is a torus (the shape's size, where it changes, is one
 * too), so each single frame of each class has exactly the same distribution: it tells nothing. Training and validation
 * clips come from different random streams.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { readdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { ConfigError, InterruptedError } from "../../lib/errors.ts";
import { createPrng } from "../../lib/random.ts";
import { isTemporary, temporaryName, textOfFile, writeFileWhole, writing } from "../files.ts";
import { LOCK_FILE, removeTemporary, waitForFolder } from "../folder_lock.ts";
import { parseFrameTemplate } from "../frames/frame_folder.ts";
import { encodeJpeg } from "../frames/jpeg.ts";
import {
  type Background,
  type Colour,
  drawColour,
  drawShape,
  paintBackground,
  type Pose,
  type Shape,
} from "./shapes.ts";

/** The motions there are, with their class names. */
export const MOTIONS = {
  left: "moves left",
  right: "moves right",
  up: "moves up",
  down: "moves down",
  grow: "grows",
  shrink: "shrinks",
  clockwise: "turns clockwise",
  anticlockwise: "turns anticlockwise",
} as const;

export type Motion = keyof typeof MOTIONS;

export interface SynthOptions {
  trainClips: number;
  valClips: number;
  width: number;
  height: number;
  /** Frames of a clip; of several numbers each class takes turns, so that a length does not tell the class. */
  framesPerClip: number | readonly number[];
  /** One class each, labelled in this order. */
  classes: readonly Motion[];
  /** Least and greatest speed, in pixels a frame; the rim's speed where the shape turns. */
  speed: readonly [number, number];
  /** Least and greatest radius of the shape, as a share of the picture's short side. */
  radius: readonly [number, number];
  background: Background;
  /** JPEG quality, 1 … 100. */
  quality: number;
  seed: number;
}

export const DEFAULT_SYNTH_OPTIONS: SynthOptions = {
  trainClips: 1200,
  valClips: 400,
  width: 32,
  height: 32,
  framesPerClip: 8,
  classes: ["left", "right", "up", "down"],
  speed: [2, 4],
  radius: [0.14, 0.24],
  background: "plain",
  quality: 92,
  seed: 1,
};

/** File names of the frames. */
export const SYNTH_TEMPLATE = "{:05d}.jpg";

/** The file that records the options, complete when everything else is. */
const RECORD = "synth.json";
/** Everything else that a set consists of. */
const PARTS = ["train", "val", "train.txt", "val.txt", "labels.csv"] as const;

export type SynthSplit = "train" | "val";

/** What one clip shows: all that the generator drew. */
export interface SynthClip {
  readonly label: number;
  readonly motion: Motion;
  readonly shape: Shape;
  readonly colour: Colour;
  readonly poses: readonly Pose[];
  readonly frames: readonly Uint8Array[];
}

const SPLIT_STREAMS: Record<SynthSplit, number> = { train: 0x7472, val: 0x7661 };

/** Least distance in RGB between the shape and its background. */
const MIN_CONTRAST = 90;
/**
 * Background levels are drawn below this. Dark grounds let a small network leave chance within 50 steps; with levels up to
 * 140 or 255 it stayed there for hundreds (measured with PyTorch, 2026-11-20, on the model of the demo recipe).
 */
const BACKGROUND_LEVELS = 61;

/** How many frames a clip has. */
export function synthClipFrames({ framesPerClip, classes }: SynthOptions, clip: number): number {
  const lengths = [framesPerClip].flat() as number[];
  return lengths[Math.floor(clip / classes.length) % lengths.length];
}

/** Draws one clip; it depends on the options, the split and its number only. */
export function renderSynthClip(options: SynthOptions, split: SynthSplit, clip: number): SynthClip {
  const { width, height, classes } = options;
  const prng = createPrng(options.seed, SPLIT_STREAMS[split], clip);
  const between = ([low, high]: readonly [number, number]) => low + (high - low) * prng.uniform();
  const label = clip % classes.length, motion = classes[label];
  // A disc does not show that it turns; were it left to the other classes, a disc would tell the class.
  const turns = classes.some((kind) => kind === "clockwise" || kind === "anticlockwise");
  const shapes: Shape[] = turns ? ["square", "triangle", "cross"] : ["disc", "square", "triangle", "cross"];
  const shape = shapes[prng.integer(shapes.length)];
  const from = drawColour(prng, { below: BACKGROUND_LEVELS });
  const to = options.background === "gradient" ? drawColour(prng, { below: BACKGROUND_LEVELS }) : from;
  const middle = from.map((value, c) => (value + to[c]) / 2) as unknown as Colour;
  const colour = drawColour(prng, { others: [from, middle, to], contrast: MIN_CONTRAST });
  const ground = paintBackground({ width, height }, { kind: options.background, from, to }, prng);

  const shortSide = Math.min(width, height);
  const logRadii = options.radius.map((share) => Math.log(share * shortSide)) as [number, number];
  const start = {
    x: width * prng.uniform(),
    y: height * prng.uniform(),
    logRadius: between(logRadii),
    angle: 2 * Math.PI * prng.uniform(),
  };
  const speed = between(options.speed);
  const poses = Array.from(
    { length: synthClipFrames(options, clip) },
    (_, t) => poseAt(t, { motion, start, speed, logRadii }),
  );
  const frames = poses.map((pose) => {
    const rgb = ground.slice();
    drawShape(rgb, { width, height }, { shape, colour, pose });
    return rgb;
  });
  return { label, motion, shape, colour, poses, frames };
}

interface Course {
  readonly motion: Motion;
  readonly start: { x: number; y: number; logRadius: number; angle: number };
  readonly speed: number;
  readonly logRadii: readonly [number, number];
}

function poseAt(t: number, { motion, start, speed, logRadii }: Course): Pose {
  const sign = motion === "right" || motion === "down" || motion === "grow" || motion === "clockwise"
    ? 1
    : -1;
  const distance = sign * speed * t, [least, greatest] = logRadii;
  const radius = Math.exp(start.logRadius), typicalRadius = Math.exp((least + greatest) / 2);
  const pose = { x: start.x, y: start.y, radius, angle: start.angle };
  switch (motion) {
    case "left":
    case "right":
      return { ...pose, x: start.x + distance };
    case "up":
    case "down":
      return { ...pose, y: start.y + distance };
    case "grow":
    case "shrink": { // a quarter of the speed, and round the range of sizes, so that no size tells the direction
      const span = greatest - least, grown = start.logRadius - least + distance / (4 * typicalRadius);
      return {
        ...pose,
        radius: span > 0 ? Math.exp(least + (grown - span * Math.floor(grown / span))) : radius,
      };
    }
    case "clockwise":
    case "anticlockwise":
      return { ...pose, angle: start.angle + distance / typicalRadius };
  }
}

/**
 * Writes the data set: `train/` and `val/` with a folder of JPEG frames a clip, the lists `train.txt` and `val.txt`,
 * `labels.csv`, and last `synth.json` with the options. It is built aside and takes its place when it is whole: an earlier set
 * stays until then. A folder that holds something else is refused. Of several processes that are to write the same set, one does,
 * and the others wait for it.
 *
 * @param settings.onProgress called with the number of clips written and their total
 * @param settings.onWait called once, with who writes to the folder, where that is another process
 * @param settings.signal stops the writing
 */
export async function synthesize(
  folder: string,
  options: SynthOptions,
  settings: {
    onProgress?: (done: number, total: number) => void;
    onWait?: (holder: string) => void;
    signal?: AbortSignal;
  } = {},
): Promise<void> {
  checkSynthOptions(options);
  await requireOwnFolder(folder);
  const { lock, waited } = await waitForFolder(folder, "write a synthetic data set", settings);
  using _ = lock;
  if (waited && await isSynthesized(folder, options)) return;
  const earlier = await requireOwnFolder(folder);
  await removeTemporary(folder, earlier.filter(isTemporary));
  const build = temporaryName(join(folder, "set"));
  try {
    await writing(folder, () => writeSet(build, options, settings));
    await writeFileWhole(join(folder, RECORD), '{ "complete": false }\n'); // until all of it has taken its place
    for (const name of PARTS) {
      await rm(join(folder, name), { recursive: true, force: true });
      await writing(join(folder, name), () => rename(join(build, name), join(folder, name)));
    }
    await writeFileWhole(join(folder, RECORD), describeSynth(options));
  } finally {
    await rm(build, { recursive: true, force: true });
  }
}

/** Writes everything but the record. */
async function writeSet(
  folder: string,
  options: SynthOptions,
  settings: { onProgress?: (done: number, total: number) => void; signal?: AbortSignal },
): Promise<void> {
  const template = parseFrameTemplate(SYNTH_TEMPLATE);
  const total = options.trainClips + options.valClips;
  let done = 0;
  for (const split of ["train", "val"] as const) {
    const count = split === "train" ? options.trainClips : options.valClips;
    const lines: string[] = [];
    const name = (clip: number) => `${split}/${String(clip + 1).padStart(5, "0")}`;
    const write = async (clip: number) => {
      const { label, frames } = renderSynthClip(options, split, clip);
      const target = join(folder, name(clip));
      mkdirSync(target, { recursive: true });
      const { width, height, quality } = options;
      const encoded = await Promise.all(frames.map((rgb) => encodeJpeg({ width, height, rgb }, { quality })));
      encoded.forEach((bytes, i) => writeFileSync(join(target, template.name(i + 1)), bytes));
      lines[clip] = `${name(clip)} ${frames.length} ${label}\n`;
      settings.onProgress?.(++done, total);
    };
    for (let clip = 0; clip < count; clip += 2) { // two at a time keep two cores busy
      if (settings.signal?.aborted) {
        throw new InterruptedError(
          `Stopped before the data set "${dirname(folder)}" was whole; nothing of it is kept`,
        );
      }
      // Both are waited for before an error is passed on: what is still being written could not be removed.
      const both = await Promise.allSettled([write(clip), ...(clip + 1 < count ? [write(clip + 1)] : [])]);
      const failed = both.find((one) => one.status === "rejected");
      if (failed) throw failed.reason;
    }
    await writeFileWhole(join(folder, `${split}.txt`), lines.join(""));
  }
  const labels = options.classes.map((motion, id) => `${id},${MOTIONS[motion]}\n`).join("");
  await writeFileWhole(join(folder, "labels.csv"), `id,name\n${labels}`);
}

/** Whether the folder holds the complete data set that these options give. */
export async function isSynthesized(folder: string, options: SynthOptions): Promise<boolean> {
  try {
    return await textOfFile(join(folder, RECORD)) === describeSynth(options);
  } catch {
    return false; // absent or unreadable: it has to be written
  }
}

/** Raised when the drawing changes, so that an older data set is not taken for a newer one. */
const SYNTH_VERSION = 1;

function describeSynth(options: SynthOptions): string {
  const keys = Object.keys(DEFAULT_SYNTH_OPTIONS) as (keyof SynthOptions)[];
  const ordered = Object.fromEntries(keys.map((key) => [key, options[key]]));
  return JSON.stringify({ version: SYNTH_VERSION, template: SYNTH_TEMPLATE, ...ordered }, null, 2) + "\n";
}

/** Refuses a folder that holds something else than a data set of ours. Returns what is there. */
async function requireOwnFolder(folder: string): Promise<string[]> {
  let names: string[];
  try {
    names = await readdir(folder);
  } catch {
    return []; // it will be made
  }
  const foreign = names.find((name) => name !== LOCK_FILE && !isTemporary(name));
  if (foreign === undefined || names.includes(RECORD)) return names;
  throw new ConfigError(
    `Cannot write the data set into "${folder}": the folder must be empty or hold an earlier one with ${RECORD}, it holds "${foreign}"`,
  );
}

/** Refuses options of which no sensible data set comes. */
export function checkSynthOptions(options: SynthOptions): void {
  const { classes, speed, radius, width, height } = options, shortSide = Math.min(width, height);
  const rules: [boolean, string, unknown][] = [
    [
      [options.trainClips, options.valClips].every((n) => Number.isInteger(n) && n >= 1),
      "clips a split must be at least 1",
      [
        options.trainClips,
        options.valClips,
      ],
    ],
    [[width, height].every((n) => Number.isInteger(n) && n >= 16), "width and height must be at least 16", [
      width,
      height,
    ]],
    [
      [options.framesPerClip].flat().every((n) => Number.isInteger(n) && n >= 2) &&
      [options.framesPerClip].flat().length > 0,
      "frames a clip must be at least 2",
      options.framesPerClip,
    ],
    [
      classes.length >= 2 && new Set(classes).size === classes.length,
      "classes must be at least 2 different motions",
      classes,
    ],
    [
      classes.every((name) => Object.hasOwn(MOTIONS, name)),
      `classes must be of ${Object.keys(MOTIONS).join(", ")}`,
      classes,
    ],
    [
      speed[0] > 0 && speed[1] >= speed[0] && speed[1] <= shortSide / 4,
      "speed must be [least, greatest] in 0 … short side / 4",
      speed,
    ],
    [
      radius[0] > 0 && radius[1] >= radius[0] && radius[1] <= 0.35,
      "radius must be [least, greatest] in 0 … 0.35",
      radius,
    ],
    [
      ["plain", "gradient", "noise"].includes(options.background),
      "background must be plain, gradient or noise",
      options.background,
    ],
    [
      Number.isInteger(options.quality) && options.quality >= 1 && options.quality <= 100,
      "quality must be in 1 … 100",
      options.quality,
    ],
    [Number.isSafeInteger(options.seed) && options.seed >= 0, "seed must be an integer from 0", options.seed],
  ];
  for (const [holds, rule, value] of rules) {
    if (!holds) {
      throw new ConfigError(`Cannot synthesize clips: ${rule}, current value is ${JSON.stringify(value)}`);
    }
  }
}
