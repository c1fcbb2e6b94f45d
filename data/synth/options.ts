/** What a synthetic set is made of: its options and their defaults. */
import { CLIP_COLOURS, CLIP_SHAPES, type ColourName, COLOURS, SHAPES } from "./looks.ts";
import { type Motion, MOTIONS } from "./motion.ts";
import type { Background, Shape } from "./shapes.ts";

/** What a set holds. */
export const SYNTH_KINDS = {
  motions: "clips with a class, of which only the motion tells it",
  captioned_pictures: 'pictures with a sentence, "a large red circle on a blue background"',
  captioned_clips: 'clips with a sentence, "a green square moves left"',
} as const;

export type SynthKind = keyof typeof SYNTH_KINDS;

/** A synthetic set: its kind, its size, its classes and what its clips look like. */
export interface SynthOptions {
  kind: SynthKind;
  trainClips: number;
  valClips: number;
  width: number;
  height: number;
  /** Frames of a clip; of several numbers each class takes turns, so that a length does not tell the class. Pictures have one. */
  framesPerClip: number | readonly number[];
  /** The motions; one class each, labelled in this order, where the clips have classes. None in pictures. */
  classes: readonly Motion[];
  /** Shapes that sentences speak of. None where clips have classes: those show all. */
  shapes: readonly Shape[];
  /** Colours of the shapes that sentences speak of. None where clips have classes. */
  colours: readonly ColourName[];
  /** Whether sentences say how fast the motion is: "moves slowly left". Never where clips have classes. */
  paces: boolean;
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
  kind: "motions",
  trainClips: 1200,
  valClips: 400,
  width: 32,
  height: 32,
  framesPerClip: 8,
  classes: ["left", "right", "up", "down"],
  shapes: [],
  colours: [],
  paces: false,
  speed: [2, 4],
  radius: [0.14, 0.24],
  background: "plain",
  quality: 92,
  seed: 1,
};

/** Motions of captioned clips: all but those along diagonals. */
const CLIP_MOTIONS = (Object.keys(MOTIONS) as Motion[]).filter((motion) => !motion.includes("_"));

/** What other kinds have in place of the defaults above. */
const OWN_DEFAULTS: Record<SynthKind, Partial<SynthOptions>> = {
  motions: {},
  captioned_pictures: {
    valClips: 100,
    framesPerClip: 1,
    classes: [],
    shapes: SHAPES,
    colours: COLOURS,
    radius: [0.12, 0.3], // wide enough for small and large
  },
  captioned_clips: {
    valClips: 100,
    classes: CLIP_MOTIONS,
    shapes: CLIP_SHAPES,
    colours: CLIP_COLOURS,
  },
};

/** The defaults of a kind. */
export function synthDefaults(kind: SynthKind): SynthOptions {
  return { ...DEFAULT_SYNTH_OPTIONS, ...OWN_DEFAULTS[kind], kind };
}

export type SynthSplit = "train" | "val";

/** Whether the clips have sentences, and not classes. */
export function isCaptioned({ kind }: Pick<SynthOptions, "kind">): boolean {
  return kind !== "motions";
}

export const CAPTIONED_KINDS = (Object.keys(SYNTH_KINDS) as SynthKind[]).filter((kind) =>
  isCaptioned({ kind })
);

/** How many frames a clip has. */
export function synthClipFrames({ framesPerClip, classes }: SynthOptions, clip: number): number {
  const lengths = [framesPerClip].flat() as number[];
  return lengths[Math.floor(clip / Math.max(classes.length, 1)) % lengths.length];
}
