/** `data.synth`: the options of the synthetic set, in the config's spelling. */
import { z } from "zod";
import { type ColourName, COLOURS, SHAPES } from "../../data/synth/looks.ts";
import { type Motion, MOTIONS } from "../../data/synth/motion.ts";
import {
  DEFAULT_SYNTH_OPTIONS,
  SYNTH_KINDS,
  synthDefaults,
  type SynthKind,
  type SynthOptions,
} from "../../data/synth/options.ts";
import type { Shape } from "../../data/synth/shapes.ts";

const count = (most: number) => z.number().int().positive().max(most);
const range = () => z.tuple([z.number().positive(), z.number().positive()]);
const namesOf = <T extends string>(names: readonly T[]) => z.array(z.enum(names as [T, ...T[]]));
const defaults = DEFAULT_SYNTH_OPTIONS;

/** Keys with null have a default that goes by the kind. */
export const SYNTH_SCHEMA = z.strictObject({
  kind: z.enum(Object.keys(SYNTH_KINDS) as [SynthKind, ...SynthKind[]]).default(defaults.kind).describe(
    "motions: clips with classes; captioned_pictures, captioned_clips: with sentences",
  ),
  train_clips: count(10_000_000).default(defaults.trainClips).describe("clips for training"),
  val_clips: count(10_000_000).nullable().default(null).describe(
    "clips for validation; where they have sentences, each its own",
  ),
  width: count(8192).default(defaults.width).describe("width of a frame in pixels"),
  height: count(8192).default(defaults.height).describe("height of a frame in pixels"),
  frames_per_clip: z.union([count(100_000), z.array(count(100_000)).min(1)], {
    error: "must be a number of frames or a list of them",
  }).nullable().default(null).describe("frames of a clip; of a list each class takes turns; pictures have 1"),
  classes: namesOf(Object.keys(MOTIONS) as Motion[]).min(2).nullable().default(null).describe(
    "motions; where clips have classes, one class each",
  ),
  shapes: namesOf<Shape>(SHAPES).min(1).nullable().default(null).describe("shapes that sentences speak of"),
  colours: namesOf<ColourName>(COLOURS).min(1).nullable().default(null).describe(
    "colours of the shapes that sentences speak of",
  ),
  paces: z.boolean().default(defaults.paces).describe(
    "captions say how fast a shape moves: slowly in the lowest third of speed, quickly in the highest",
  ),
  speed: range().default([...defaults.speed]).describe("least and greatest speed in pixels a frame"),
  radius: range().nullable().default(null).describe(
    "least and greatest radius, as shares of the short side",
  ),
  background: z.enum(["plain", "gradient", "noise"]).default(defaults.background).describe(
    "behind the shape",
  ),
  quality: count(100).default(defaults.quality).describe("JPEG quality"),
  seed: z.number().int().nonnegative().default(defaults.seed).describe("of everything that is drawn"),
});

type Synth = z.output<typeof SYNTH_SCHEMA>;

/** The options as `data/synth/dataset.ts` takes them. */
export function toSynthOptions(synth: Synth): SynthOptions {
  const { train_clips: trainClips, val_clips: valClips, frames_per_clip: framesPerClip, ...same } = synth;
  const given = Object.entries({ trainClips, valClips, framesPerClip, ...same }).filter(([, value]) =>
    value !== null
  );
  return { ...synthDefaults(synth.kind), ...Object.fromEntries(given) };
}

/** The section with the defaults of its kind; lists that the kind does not have stay null. */
export function settleSynth(synth: Synth): Synth {
  const { valClips, framesPerClip, classes, shapes, colours, radius } = toSynthOptions(synth);
  const listOf = <T>(values: readonly T[]) => values.length === 0 ? null : [...values];
  return {
    ...synth,
    val_clips: valClips,
    frames_per_clip: typeof framesPerClip === "number" ? framesPerClip : [...framesPerClip],
    classes: listOf(classes),
    shapes: listOf(shapes),
    colours: listOf(colours),
    radius: [...radius],
  };
}
