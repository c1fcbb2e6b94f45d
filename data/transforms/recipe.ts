/** How the clips of a data set are transformed: what is done, within which ranges and how often; the published recipes. */
import { colourJitterOperations, type ColourJitterPolicy } from "./colour_jitter.ts";
import { PUBLISHED_RAND_AUGMENT, type RandAugmentPolicy } from "./rand_augment.ts";

/** First resize of the frames: to an exact size, to a short side (the shape kept), or none. */
export type ResizeRule =
  | { readonly kind: "exact"; readonly width: number; readonly height: number }
  | { readonly kind: "shortSide"; readonly side: number }
  | { readonly kind: "none" };

/** How the clips of a data set are transformed. */
export interface TransformRecipe {
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

/** Pixel operations of a training clip, at most. */
export function mostPixelOps({ randAugment, colourJitter }: TransformRecipe): number {
  return (randAugment?.operations ?? 0) + (colourJitter ? colourJitterOperations(colourJitter) : 0);
}
