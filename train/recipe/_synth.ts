/** `data.synth`: the options of the synthetic set, in the config's spelling. */
import { z } from "zod";
import { DEFAULT_SYNTH_OPTIONS, type Motion, MOTIONS, type SynthOptions } from "../../data/synth/dataset.ts";

const count = (most: number) => z.number().int().positive().max(most);
const range = () => z.tuple([z.number().positive(), z.number().positive()]);
const defaults = DEFAULT_SYNTH_OPTIONS;

export const SYNTH_SCHEMA = z.strictObject({
  train_clips: count(10_000_000).default(defaults.trainClips).describe("clips for training"),
  val_clips: count(10_000_000).default(defaults.valClips).describe("clips for validation"),
  width: count(8192).default(defaults.width).describe("width of a frame in pixels"),
  height: count(8192).default(defaults.height).describe("height of a frame in pixels"),
  frames_per_clip: z.union([count(100_000), z.array(count(100_000)).min(1)], {
    error: "must be a number of frames or a list of them",
  }).default(defaults.framesPerClip as number).describe("frames of a clip; of a list each class takes turns"),
  classes: z.array(z.enum(Object.keys(MOTIONS) as [Motion, ...Motion[]])).min(2).default([
    ...defaults.classes,
  ])
    .describe("motions, one class each"),
  speed: range().default([...defaults.speed]).describe("least and greatest speed in pixels a frame"),
  radius: range().default([...defaults.radius]).describe(
    "least and greatest radius, as shares of the short side",
  ),
  background: z.enum(["plain", "gradient", "noise"]).default(defaults.background).describe(
    "behind the shape",
  ),
  quality: count(100).default(defaults.quality).describe("JPEG quality"),
  seed: z.number().int().nonnegative().default(defaults.seed).describe("of everything that is drawn"),
});

/** The options as `data/synth/dataset.ts` takes them. */
export function toSynthOptions(synth: z.output<typeof SYNTH_SCHEMA>): SynthOptions {
  const { train_clips: trainClips, val_clips: valClips, frames_per_clip: framesPerClip, ...same } = synth;
  return { trainClips, valClips, framesPerClip, ...same };
}
