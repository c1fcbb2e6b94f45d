/**
 * Clip transforms of DiST (https://github.com/alibaba-mmai-research/DiST), which work on floats in 0 … 1 and resize without
 * antialiasing: the plain definition on the CPU. No command uses it yet.
 */
import type { Box } from "../../pixels/clip_transform.ts";
import type { PixelStatistics } from "../../pixels/normalise.ts";
import type { Prng } from "../../lib/random.ts";
import { type ByteClip, cropFloat, flipFloat, floatClip, normaliseFloat, resizeFloat } from "./float_clip.ts";
import { applyFloatColour, type FloatColour, greyFloat } from "./float_colours.ts";
import { roundHalfToEven } from "../../lib/round.ts";
import type { PictureSize } from "./picture.ts";

/** Which square of a test clip is read: the one in the centre, or one of three along the long side. */
export type FloatTestCrop =
  | { readonly crops: 1; readonly crop: 0 }
  | { readonly crops: 3; readonly crop: 0 | 1 | 2 };

/** The decisions for one training clip, in the order in which they apply. */
export interface FloatTransform {
  /** Mirror the frames before the crop (Kinetics). */
  readonly mirrorFrames: boolean;
  /** Region that is resized to the network's input. */
  readonly crop: Box;
  readonly grey: boolean;
  readonly colours: readonly FloatColour[];
  /** Mirror the finished clip (Something-Something), whose label may then be another. */
  readonly mirrorResult: boolean;
}

/** How training clips are transformed. */
export interface FloatRecipe {
  /** Part of the frame that a crop covers, least and most. */
  readonly area: readonly [number, number];
  /** Shape of a crop, width by height, least and most. */
  readonly ratio: readonly [number, number];
  readonly greyProbability: number;
  /** Probability of changing colours, and by how much: factors 1 ± range, hue ± turn. */
  readonly colourProbability: number;
  readonly brightness: number;
  readonly contrast: number;
  readonly saturation: number;
  readonly hue: number;
  /** What is mirrored, half of the time. */
  readonly mirror: "frames" | "result";
}

/** The recipe that was published for a data-set family: its colours change to grey only. */
export function publishedFloatRecipe(family: "sth" | "kinetics"): FloatRecipe {
  return {
    area: [0.4, 1],
    ratio: [0.75, 1.333],
    greyProbability: 0.2,
    colourProbability: 0,
    brightness: 0.4,
    contrast: 0.4,
    saturation: 0.2,
    hue: 0.1,
    mirror: family === "sth" ? "result" : "frames",
  };
}

/** Size of test frames: the short side as given, the long one in proportion, cut off. */
export function floatTestSize({ width, height }: PictureSize, side: number): PictureSize {
  if (width <= height) return { width: side, height: Math.trunc(height / width * side) };
  return { width: Math.trunc(width / height * side), height: side };
}

/** The square of `size` that a test reads; the centre of an odd rest is rounded down. */
export function floatTestBox(frame: PictureSize, size: number, { crops, crop }: FloatTestCrop): Box {
  const rest = { x: frame.width - size, y: frame.height - size };
  if (rest.x < 0 || rest.y < 0) {
    throw new RangeError(
      `Cannot crop ${size}x${size}: the resized frame must be at least that large, current size is ` +
        `${frame.width}x${frame.height}`,
    );
  }
  const centre = { x: Math.floor(rest.x / 2), y: Math.floor(rest.y / 2) };
  const box = { ...centre, width: size, height: size };
  if (crops === 1 || crop === 1) return box;
  const atEnd = crop === 2;
  return frame.width > frame.height ? { ...box, x: atEnd ? rest.x : 0 } : { ...box, y: atEnd ? rest.y : 0 };
}

/**
 * The network's input for one test clip, `[T 3 S S]`: short side to `side`, a square of `size`, normalised.
 *
 * @example `floatTestClip(clip, { side: 224, size: 224, view: { crops: 1, crop: 0 } })`
 */
export function floatTestClip(
  clip: ByteClip,
  options: { side: number; size: number; view: FloatTestCrop; statistics?: PixelStatistics },
): Float32Array {
  const { side, size, view, statistics } = options;
  const to = floatTestSize(clip, side);
  const resized = resizeFloat(floatClip(clip), to.width, to.height);
  return normaliseFloat(cropFloat(resized, floatTestBox(to, size, view)), statistics).data;
}

/** Tries of the random crop before it falls back. */
const CROP_TRIES = 10;

/**
 * A region of random area and shape (log-uniform). Each try draws area and shape, the accepted one y and x; after ten misses
 * the largest region of an allowed shape in the centre.
 */
export function sampleFloatCrop(
  frame: PictureSize,
  { area, ratio }: Pick<FloatRecipe, "area" | "ratio">,
  prng: Pick<Prng, "uniform" | "integer">,
): Box {
  const [low, high] = ratio.map(Math.log);
  for (let attempt = 0; attempt < CROP_TRIES; attempt++) {
    const pixels = (area[0] + (area[1] - area[0]) * prng.uniform()) * frame.width * frame.height;
    const shape = Math.exp(low + (high - low) * prng.uniform());
    const width = roundHalfToEven(Math.sqrt(pixels * shape));
    const height = roundHalfToEven(Math.sqrt(pixels / shape));
    if (width < 1 || height < 1 || width > frame.width || height > frame.height) continue;
    const y = prng.integer(frame.height - height + 1), x = prng.integer(frame.width - width + 1);
    return { x, y, width, height };
  }
  const shape = frame.width / frame.height;
  const width = shape > ratio[1] ? roundHalfToEven(frame.height * ratio[1]) : frame.width;
  const height = shape < ratio[0] ? roundHalfToEven(frame.width / ratio[0]) : frame.height;
  const x = Math.floor((frame.width - width) / 2), y = Math.floor((frame.height - height) / 2);
  return { x, y, width, height };
}

/** Draws the transform of one training clip: mirror, crop, grey, then whether colours change, their order and amounts. */
export function sampleFloatTransform(
  frame: PictureSize,
  recipe: FloatRecipe,
  prng: Pick<Prng, "uniform" | "integer">,
): FloatTransform {
  const mirror = prng.uniform() < 0.5;
  const crop = sampleFloatCrop(frame, recipe, prng);
  const grey = prng.uniform() < recipe.greyProbability;
  const changes = recipe.colourProbability > 0 && prng.uniform() < recipe.colourProbability;
  return {
    mirrorFrames: mirror && recipe.mirror === "frames",
    crop,
    grey,
    colours: changes ? sampleColours(recipe, prng) : [],
    mirrorResult: mirror && recipe.mirror === "result",
  };
}

function sampleColours(recipe: FloatRecipe, prng: Pick<Prng, "uniform" | "integer">): FloatColour[] {
  const around = (range: number) => range * (2 * prng.uniform() - 1);
  const left: FloatColour[] = [
    { kind: "brightness", factor: 1 + around(recipe.brightness) },
    { kind: "contrast", factor: 1 + around(recipe.contrast) },
    { kind: "saturation", factor: 1 + around(recipe.saturation) },
    { kind: "hue", turn: around(recipe.hue) },
  ];
  return Array.from({ length: 4 }, (_, i) => left.splice(prng.integer(4 - i), 1)[0]);
}

/** The network's input for one training clip, `[T 3 S S]`. */
export function floatTrainClip(
  clip: ByteClip,
  transform: FloatTransform,
  options: { size: number; statistics?: PixelStatistics },
): Float32Array {
  let result = floatClip(clip);
  if (transform.mirrorFrames) result = flipFloat(result);
  result = resizeFloat(cropFloat(result, transform.crop), options.size, options.size);
  if (transform.grey) result = greyFloat(result);
  for (const colour of transform.colours) result = applyFloatColour(result, colour);
  result = normaliseFloat(result, options.statistics);
  return (transform.mirrorResult ? flipFloat(result) : result).data;
}
