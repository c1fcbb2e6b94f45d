/**
 * Draws the decisions of DiST's transforms (https://github.com/alibaba-mmai-research/DiST), which work on floats in 0 … 1 and resize without
 * antialiasing, places those of its tests, and carries them out: the definition on the CPU of what `gpu/frames.ts` computes.
 */
import type { Prng } from "../../lib/random.ts";
import { roundHalfToEven } from "../../lib/round.ts";
import type { Box } from "../../pixels/clip_transform.ts";
import type { FloatColour, FloatTransform } from "../../pixels/float_transform.ts";
import type { PixelStatistics } from "../../pixels/normalise.ts";
import type { ColourJitterPolicy } from "./colour_jitter.ts";
import { type ByteClip, cropFloat, flipFloat, floatClip, normaliseFloat, resizeFloat } from "./float_clip.ts";
import { applyFloatColour, greyFloat } from "./float_colours.ts";
import type { PictureSize } from "./picture.ts";
import type { FloatRecipe, FloatRules } from "./recipe.ts";

/** Which square of a test clip is read: the one in the centre, or one of three along the long side. */
export type FloatTestCrop =
  | { readonly crops: 1; readonly crop: 0 }
  | { readonly crops: 3; readonly crop: 0 | 1 | 2 };

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

/** The transform of a test clip, and with one crop that of validation: short side as the recipe has it, a square, no change of colours. */
export function floatTestTransform(
  frame: PictureSize,
  { float, size }: Pick<FloatRecipe, "float" | "size">,
  view: FloatTestCrop,
): FloatTransform {
  const resizeTo = floatTestSize(frame, float.testSide), { x, y } = floatTestBox(resizeTo, size, view);
  return {
    mirrorFrames: false,
    crop: { x: 0, y: 0, width: frame.width, height: frame.height },
    resizeTo,
    outputAt: { x, y },
    grey: false,
    colours: [],
    mirrorResult: false,
  };
}

/** Tries of the random crop before it falls back. */
const CROP_TRIES = 10;

/**
 * A region of random area and shape (log-uniform). Each try draws area and shape, the accepted one y and x; after ten misses
 * the largest region of an allowed shape in the centre.
 */
export function sampleFloatCrop(
  frame: PictureSize,
  { area, ratio }: Pick<FloatRules, "area" | "ratio">,
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
  // A frame of a few pixels may be so narrow that nothing is left of the other side.
  const width = shape > ratio[1] ? Math.max(1, roundHalfToEven(frame.height * ratio[1])) : frame.width;
  const height = shape < ratio[0] ? Math.max(1, roundHalfToEven(frame.width / ratio[0])) : frame.height;
  const x = Math.floor((frame.width - width) / 2), y = Math.floor((frame.height - height) / 2);
  return { x, y, width, height };
}

/**
 * Draws the transform of one training clip: mirror, crop, grey, then whether colours change, their order and amounts. What a recipe does
 * not ask for draws nothing.
 */
export function sampleFloatTransform(
  frame: PictureSize,
  recipe: FloatRecipe,
  prng: Pick<Prng, "uniform" | "integer">,
): FloatTransform {
  const { float, size, colourJitter } = recipe;
  const mirror = recipe.flipProbability > 0 && prng.uniform() < recipe.flipProbability;
  const centre = floatTestTransform(frame, recipe, { crops: 1, crop: 0 });
  const place = recipe.crop === "centre" ? centre : {
    crop: sampleFloatCrop(frame, float, prng),
    resizeTo: { width: size, height: size },
    outputAt: { x: 0, y: 0 },
  };
  const grey = recipe.greyProbability > 0 && prng.uniform() < recipe.greyProbability;
  return {
    ...centre,
    ...place,
    mirrorFrames: mirror && float.mirror === "frames",
    grey,
    colours: colourJitter ? sampleFloatColours(colourJitter, prng) : [],
    mirrorResult: mirror && float.mirror === "result",
  };
}

/** Draws the changes of a clip's colours: whether there are any, amounts, order. A range of 0 leaves a change out. */
function sampleFloatColours(
  policy: ColourJitterPolicy,
  prng: Pick<Prng, "uniform" | "integer">,
): FloatColour[] {
  const { probability, brightness, contrast, saturation, hue } = policy;
  if (probability === 0 || probability < 1 && prng.uniform() >= probability) return [];
  const factor = (kind: "brightness" | "contrast" | "saturation", range: number): FloatColour[] => {
    if (range === 0) return [];
    const least = Math.max(0, 1 - range);
    return [{ kind, factor: least + (1 + range - least) * prng.uniform() }];
  };
  const left: FloatColour[] = [
    ...factor("brightness", brightness),
    ...factor("contrast", contrast),
    ...factor("saturation", saturation),
    ...hue === 0 ? [] : [{ kind: "hue", turn: hue * (2 * prng.uniform() - 1) } as const],
  ];
  const ordered: FloatColour[] = [];
  while (left.length > 0) ordered.push(...left.splice(prng.integer(left.length), 1));
  return ordered;
}

/** The network's input for one clip, `[T 3 S S]`: all steps of its transform but those on bytes and the erasing. */
export function floatClipOf(
  clip: ByteClip,
  transform: FloatTransform,
  options: { size: number; statistics?: PixelStatistics },
): Float32Array {
  const { resizeTo, outputAt } = transform, { size } = options;
  let result = floatClip(clip);
  if (transform.mirrorFrames) result = flipFloat(result);
  result = resizeFloat(cropFloat(result, transform.crop), resizeTo.width, resizeTo.height);
  result = cropFloat(result, { ...outputAt, width: size, height: size });
  if (transform.grey) result = greyFloat(result);
  for (const colour of transform.colours) result = applyFloatColour(result, colour);
  result = normaliseFloat(result, options.statistics);
  return (transform.mirrorResult ? flipFloat(result) : result).data;
}
