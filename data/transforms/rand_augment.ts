/**
 * RandAugment (Cubuk et al. 2019, https://arxiv.org/abs/1909.13719) with the operations and magnitudes of the published
 * recipes, as in timm's "rand-m7-n4-mstd0.5-inc1" (https://github.com/huggingface/pytorch-image-models): draws the
 * operations of one clip as data.
 */
import type { AffineMatrix, PixelOp } from "../../pixels/clip_transform.ts";
import type { Prng } from "../../lib/random.ts";
import type { PictureSize } from "./picture.ts";

/** How much RandAugment does. */
export interface RandAugmentPolicy {
  /** Operations drawn for a clip, with replacement. */
  readonly operations: number;
  /** Probability that a drawn operation is carried out. */
  readonly probability: number;
  /** Mean and standard deviation of the magnitude, which lies between 0 and 10. */
  readonly magnitude: number;
  readonly magnitudeStd: number;
}

/** The policy of the published Something-Something recipes. */
export const PUBLISHED_RAND_AUGMENT: RandAugmentPolicy = {
  operations: 4,
  probability: 0.5,
  magnitude: 7,
  magnitudeStd: 0.5,
};

/** Largest magnitude. */
export const MAX_MAGNITUDE = 10;

/** What an operation's argument depends on. */
export interface Strength {
  /** Magnitude as a share of the largest, 0 to 1. */
  readonly share: number;
  /** Sign drawn for operations that have two directions: 1 or −1. */
  readonly sign: 1 | -1;
  readonly frame: PictureSize;
}

/** One of RandAugment's operations. */
export interface AugmentOperation {
  readonly name: string;
  /** Draws a sign. */
  readonly signed: boolean;
  readonly create: (strength: Strength) => PixelOp;
}

const DEGREES = 30, SHEAR = 0.3, TRANSLATE = 0.45, ENHANCE = 0.9, SOLARIZE_ADD = 110;

function unsigned(name: string, create: AugmentOperation["create"]): AugmentOperation {
  return { name, signed: false, create };
}

function signed(name: string, create: AugmentOperation["create"]): AugmentOperation {
  return { name, signed: true, create };
}

function enhance(name: string, kind: "color" | "contrast" | "brightness" | "sharpness"): AugmentOperation {
  return signed(name, ({ share, sign }) => ({ kind, factor: 1 + sign * (share * ENHANCE) }));
}

function geometry(name: string, matrix: (strength: Strength) => AffineMatrix): AugmentOperation {
  return signed(name, (strength) => ({ kind: "affine", matrix: matrix(strength) }));
}

/** The fifteen operations, in timm's order and under its names. */
export const RAND_AUGMENT_OPERATIONS: readonly AugmentOperation[] = [
  unsigned("AutoContrast", () => ({ kind: "autoContrast" })),
  unsigned("Equalize", () => ({ kind: "equalize" })),
  unsigned("Invert", () => ({ kind: "invert" })),
  geometry("Rotate", ({ share, sign, frame }) => rotation(sign * (share * DEGREES), frame)),
  unsigned("PosterizeIncreasing", ({ share }) => ({ kind: "posterize", bits: 4 - Math.trunc(share * 4) })),
  unsigned("SolarizeIncreasing", ({ share }) => ({
    kind: "solarize",
    threshold: 256 - Math.trunc(share * 256),
  })),
  unsigned("SolarizeAdd", ({ share }) => ({ kind: "solarizeAdd", amount: Math.trunc(share * SOLARIZE_ADD) })),
  enhance("ColorIncreasing", "color"),
  enhance("ContrastIncreasing", "contrast"),
  enhance("BrightnessIncreasing", "brightness"),
  enhance("SharpnessIncreasing", "sharpness"),
  geometry("ShearX", ({ share, sign }) => [1, sign * (share * SHEAR), 0, 0, 1, 0]),
  geometry("ShearY", ({ share, sign }) => [1, 0, 0, sign * (share * SHEAR), 1, 0]),
  geometry(
    "TranslateXRel",
    ({ share, sign, frame }) => translation(sign * (share * TRANSLATE) * frame.width, 0),
  ),
  geometry(
    "TranslateYRel",
    ({ share, sign, frame }) => translation(0, sign * (share * TRANSLATE) * frame.height),
  ),
];

/** Reads `x` columns further right and `y` rows further down. */
export function translation(x: number, y: number): AffineMatrix {
  return [1, 0, x, 0, 1, y];
}

/** Rounds to 15 decimals. */
function round15(value: number): number {
  return Number(value.toFixed(15));
}

/** Turns a picture about its centre by an angle in degrees, counter-clockwise. */
export function rotation(degrees: number, frame: PictureSize): AffineMatrix {
  // The angle goes to 0 … 360 first, as in Pillow: the last bits of the sine depend on it.
  const turn = degrees % 360 + (degrees % 360 < 0 ? 360 : 0);
  const angle = -(turn * (Math.PI / 180));
  const cosine = round15(Math.cos(angle)), sine = round15(Math.sin(angle));
  const x = frame.width / 2, y = frame.height / 2;
  const negated = round15(-Math.sin(angle));
  return [
    cosine,
    sine,
    cosine * -x + sine * -y + 0 + x,
    negated,
    cosine,
    negated * -x + cosine * -y + 0 + y,
  ];
}

/**
 * Draws the operations of one clip: first which ones, then for each whether it is carried out, its magnitude and, where it
 * has one, its sign.
 *
 * @param frame Size of the decoded frames.
 */
export function sampleRandAugment(
  frame: PictureSize,
  policy: RandAugmentPolicy,
  prng: Pick<Prng, "uniform" | "integer" | "normal">,
): PixelOp[] {
  const chosen = Array.from(
    { length: policy.operations },
    () => RAND_AUGMENT_OPERATIONS[prng.integer(RAND_AUGMENT_OPERATIONS.length)],
  );
  return chosen.flatMap((operation) => {
    if (prng.uniform() >= policy.probability) return [];
    const magnitude = policy.magnitude + policy.magnitudeStd * prng.normal();
    const share = Math.min(MAX_MAGNITUDE, Math.max(0, magnitude)) / MAX_MAGNITUDE;
    const sign = operation.signed && prng.uniform() >= 0.5 ? -1 : 1;
    return [operation.create({ share, sign, frame })];
  });
}
