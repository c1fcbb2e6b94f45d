/** How the clips of a data set are transformed: what is done, within which ranges and how often; the published recipes. */
import { colourJitterOperations, type ColourJitterPolicy } from "./colour_jitter.ts";
import { PUBLISHED_RAND_AUGMENT, type RandAugmentPolicy } from "./rand_augment.ts";

/** First resize of the frames: to an exact size, to a short side (the shape kept), or none. */
export type ResizeRule =
  | { readonly kind: "exact"; readonly width: number; readonly height: number }
  | { readonly kind: "shortSide"; readonly side: number }
  | { readonly kind: "none" };

/** What transforms of floats, DiST's, are told besides. */
export interface FloatRules {
  /** Part of the frame that a random crop covers, least and most. */
  readonly area: readonly [number, number];
  /** Shape of a random crop, width by height, least and most. */
  readonly ratio: readonly [number, number];
  /** What is mirrored: the frames before the crop (Kinetics), or the finished clip (Something-Something). */
  readonly mirror: "frames" | "result";
  /** Short side of the frames of validation and test, before their crop. */
  readonly testSide: number;
}

/** How the clips of a data set are transformed on 8-bit frames. */
export interface TransformRecipe extends CommonRecipe {
  readonly float?: undefined;
}

/** How they are transformed in floats, by DiST's rules: `resize` is that of validation and test, `crop` "randomResized" or "centre". */
export interface FloatRecipe extends CommonRecipe {
  readonly float: FloatRules;
}

/** How the clips of a data set are transformed, by either kind of rules. */
export type FrameRecipe = TransformRecipe | FloatRecipe;

/** What recipes of both kinds say. */
interface CommonRecipe {
  /** Operations on the decoded frames of a training clip; null: none. */
  readonly randAugment: RandAugmentPolicy | null;
  /** Changes of the colours of a training clip's decoded frames, after RandAugment; null: none. */
  readonly colourJitter: ColourJitterPolicy | null;
  readonly resize: ResizeRule;
  /**
   * Training crop: a random part of random shape resized to `size`, a random square of `size` without a resize, the one in
   * the centre as in validation, or the frame as it is, which must then be `size` on both sides after the resize.
   */
  readonly crop: "randomResized" | "random" | "centre" | "none";
  /** Side of the network's square input. */
  readonly size: number;
  /** Probability of mirroring a training clip. */
  readonly flipProbability: number;
  /** Pairs of labels that a mirrored clip exchanges. */
  readonly mirrorPairs: readonly (readonly [number, number])[];
  /** Probability of replacing a training clip's colours by their luminance. */
  readonly greyProbability: number;
  /** Probability of replacing a box of a training clip by noise. */
  readonly eraseProbability: number;
}

/** Labels that mirroring exchanges in Something-Something: pull, push and turn the camera left or right. */
export const SOMETHING_MIRROR_PAIRS: readonly (readonly [number, number])[] = [[86, 87], [93, 94], [
  166,
  167,
]];

/** Areas and shapes of DiST's random crops. */
export const PUBLISHED_CROP_SCALE: readonly [number, number] = [0.4, 1];
export const PUBLISHED_CROP_RATIO: readonly [number, number] = [0.75, 1.333];

/** Probability of erasing where a recipe asks for it; no published one does. */
export const ERASE_PROBABILITY = 0.25;

/** The published recipe of a data-set family for a given input side (kinetics: that of the backbones B and L). */
export function publishedRecipe(family: "sth" | "kinetics", size = 224): TransformRecipe {
  const common = {
    randAugment: family === "sth" ? PUBLISHED_RAND_AUGMENT : null,
    colourJitter: null,
    crop: "randomResized",
    size,
    flipProbability: 0.5,
    eraseProbability: 0,
  } as const;
  if (family === "sth") {
    const resize = { kind: "exact", width: 320, height: 256 } as const;
    return { ...common, resize, mirrorPairs: SOMETHING_MIRROR_PAIRS, greyProbability: 0 };
  }
  const resize = { kind: "shortSide", side: size === 224 ? 256 : size } as const;
  return { ...common, resize, mirrorPairs: [], greyProbability: 0.2 };
}

/** DiST's published recipe for a data-set family: its colours change to grey only. */
export function publishedFloatRecipe(
  family: "sth" | "kinetics",
  size = 224,
): FloatRecipe {
  return {
    float: {
      area: PUBLISHED_CROP_SCALE,
      ratio: PUBLISHED_CROP_RATIO,
      mirror: family === "sth" ? "result" : "frames",
      testSide: size,
    },
    randAugment: null,
    colourJitter: null,
    resize: { kind: "shortSide", side: size },
    crop: "randomResized",
    size,
    flipProbability: 0.5,
    mirrorPairs: family === "sth" ? SOMETHING_MIRROR_PAIRS : [],
    greyProbability: 0.2,
    eraseProbability: 0,
  };
}

/** Operations on the bytes of a training clip, at most: in transforms of floats colours change later. */
export function mostPixelOps({ randAugment, colourJitter, float }: FrameRecipe): number {
  const jitter = colourJitter && !float ? colourJitterOperations(colourJitter) : 0;
  return (randAugment?.operations ?? 0) + jitter;
}

/** The resize that the frame buffers must have room for: transforms of floats hold no resized frame. */
export function resizeInBuffers({ float, resize }: FrameRecipe): ResizeRule {
  return float ? { kind: "none" } : resize;
}
