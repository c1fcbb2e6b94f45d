/**
 * Clip transforms of DiST (https://github.com/alibaba-mmai-research/DiST), which work on floats in 0 … 1 and resize without
 * antialiasing: the plain definition on the CPU, each step rounded to f32 as PyTorch rounds it. No command uses it yet.
 *
 * Clips are planes `[T 3 H W]` of floats.
 */
import type { Box } from "../../pixels/clip_transform.ts";
import { CLIP_STATISTICS, type PixelStatistics } from "../../pixels/normalise.ts";
import type { Prng } from "../../lib/random.ts";
import { applyDistColour, type DistColour, greyFloat } from "./float_colours.ts";
import { roundHalfToEven } from "../sampling/sampler.ts";
import type { PictureSize } from "./transforms.ts";

const f32 = Math.fround;

/** Frames of one size as floats, `[T 3 H W]`. */
export interface FloatClip {
  readonly data: Float32Array;
  readonly width: number;
  readonly height: number;
}

/** Frames one after the other, packed RGB bytes. */
export interface ByteClip {
  readonly frames: Uint8Array;
  readonly width: number;
  readonly height: number;
}

/** Which square of a test clip is read: the one in the centre, or one of three along the long side. */
export type DistTestCrop =
  | { readonly crops: 1; readonly crop: 0 }
  | { readonly crops: 3; readonly crop: 0 | 1 | 2 };

/** The decisions for one training clip, in the order in which they apply. */
export interface DistTransform {
  /** Mirror the frames before the crop (Kinetics). */
  readonly mirrorFrames: boolean;
  /** Region that is resized to the network's input. */
  readonly crop: Box;
  readonly grey: boolean;
  readonly colours: readonly DistColour[];
  /** Mirror the finished clip (Something-Something), whose label may then be another. */
  readonly mirrorResult: boolean;
}

/** How training clips are transformed. */
export interface DistRecipe {
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
export function publishedDistRecipe(family: "sth" | "kinetics"): DistRecipe {
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

/** Bytes as floats in 0 … 1. */
export function floatClip({ frames, width, height }: ByteClip): FloatClip {
  const pixels = width * height, count = frames.length / (3 * pixels);
  const data = new Float32Array(frames.length);
  for (let frame = 0; frame < count; frame++) {
    for (let pixel = 0; pixel < pixels; pixel++) {
      for (let channel = 0; channel < 3; channel++) {
        const from = (frame * pixels + pixel) * 3 + channel;
        data[(frame * 3 + channel) * pixels + pixel] = frames[from] / 255;
      }
    }
  }
  return { data, width, height };
}

/** Where the samples of an axis lie between two of the source; weights and scale are f32, positions f64. */
function taps(inSize: number, outSize: number): { first: number; second: number; weight: number }[] {
  const scale = f32(inSize / outSize);
  return Array.from({ length: outSize }, (_, i) => {
    const at = Math.max(0, scale * (i + 0.5) - 0.5);
    const first = Math.min(Math.floor(at), inSize - 1);
    return { first, second: Math.min(first + 1, inSize - 1), weight: f32(Math.min(1, at - first)) };
  });
}

/** The first product is exact in the sum, as where a processor multiplies and adds in one. */
function mixed(a: number, b: number, weight: number): number {
  return f32(a * f32(1 - weight) + f32(b * weight));
}

/** Resizes between pixel centres, bilinear, without antialiasing. */
export function resizeFloat(clip: FloatClip, width: number, height: number): FloatClip {
  const columns = taps(clip.width, width), rows = taps(clip.height, height);
  const from = clip.width * clip.height, planes = clip.data.length / from;
  const data = new Float32Array(planes * width * height);
  let at = 0;
  for (let plane = 0; plane < planes; plane++) {
    for (const row of rows) {
      const upper = plane * from + row.first * clip.width, lower = plane * from + row.second * clip.width;
      for (const { first, second, weight } of columns) {
        const above = mixed(clip.data[upper + first], clip.data[upper + second], weight);
        const below = mixed(clip.data[lower + first], clip.data[lower + second], weight);
        data[at++] = mixed(above, below, row.weight);
      }
    }
  }
  return { data, width, height };
}

/** Copies a region, which must lie inside the frames. */
export function cropFloat(clip: FloatClip, box: Box): FloatClip {
  const { x, y, width, height } = box;
  if (x < 0 || y < 0 || width < 1 || height < 1 || x + width > clip.width || y + height > clip.height) {
    throw new RangeError(
      `Cannot transform clip: the crop must lie inside ${clip.width}x${clip.height}, current value is ` +
        `${width}x${height} at (${x}, ${y})`,
    );
  }
  const lines = clip.data.length / clip.width;
  const data = new Float32Array(lines / clip.height * width * height);
  let at = 0;
  for (let line = 0; line < lines; line++) {
    const row = line % clip.height;
    if (row < y || row >= y + height) continue;
    data.set(clip.data.subarray(line * clip.width + x, line * clip.width + x + width), at);
    at += width;
  }
  return { data, width, height };
}

/** Mirrors left and right. */
export function flipFloat(clip: FloatClip): FloatClip {
  const data = clip.data.slice();
  for (let start = 0; start < data.length; start += clip.width) {
    data.subarray(start, start + clip.width).reverse();
  }
  return { ...clip, data };
}

/** `(value − mean) / std` of each channel. */
export function normaliseFloat(
  clip: FloatClip,
  statistics: PixelStatistics = CLIP_STATISTICS,
): FloatClip {
  const pixels = clip.width * clip.height;
  const mean = statistics.mean.map(f32), std = statistics.std.map(f32);
  const data = clip.data.map((value, i) => {
    const channel = Math.floor(i / pixels) % 3;
    return f32(value - mean[channel]) / std[channel];
  });
  return { ...clip, data };
}

/** Size of test frames: the short side as given, the long one in proportion, cut off. */
export function distTestSize({ width, height }: PictureSize, side: number): PictureSize {
  if (width <= height) return { width: side, height: Math.trunc(height / width * side) };
  return { width: Math.trunc(width / height * side), height: side };
}

/** The square of `size` that a test reads; the centre of an odd rest is rounded down. */
export function distTestBox(frame: PictureSize, size: number, { crops, crop }: DistTestCrop): Box {
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
 * @example `distTestClip(clip, { side: 224, size: 224, view: { crops: 1, crop: 0 } })`
 */
export function distTestClip(
  clip: ByteClip,
  options: { side: number; size: number; view: DistTestCrop; statistics?: PixelStatistics },
): Float32Array {
  const { side, size, view, statistics } = options;
  const to = distTestSize(clip, side);
  const resized = resizeFloat(floatClip(clip), to.width, to.height);
  return normaliseFloat(cropFloat(resized, distTestBox(to, size, view)), statistics).data;
}

/** Tries of the random crop before it falls back. */
const CROP_TRIES = 10;

/**
 * A region of random area and shape (log-uniform). Each try draws area and shape, the accepted one y and x; after ten misses
 * the largest region of an allowed shape in the centre.
 */
export function sampleDistCrop(
  frame: PictureSize,
  { area, ratio }: Pick<DistRecipe, "area" | "ratio">,
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
export function sampleDistTransform(
  frame: PictureSize,
  recipe: DistRecipe,
  prng: Pick<Prng, "uniform" | "integer">,
): DistTransform {
  const mirror = prng.uniform() < 0.5;
  const crop = sampleDistCrop(frame, recipe, prng);
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

function sampleColours(recipe: DistRecipe, prng: Pick<Prng, "uniform" | "integer">): DistColour[] {
  const around = (range: number) => range * (2 * prng.uniform() - 1);
  const left: DistColour[] = [
    { kind: "brightness", factor: 1 + around(recipe.brightness) },
    { kind: "contrast", factor: 1 + around(recipe.contrast) },
    { kind: "saturation", factor: 1 + around(recipe.saturation) },
    { kind: "hue", turn: around(recipe.hue) },
  ];
  return Array.from({ length: 4 }, (_, i) => left.splice(prng.integer(4 - i), 1)[0]);
}

/** The network's input for one training clip, `[T 3 S S]`. */
export function distTrainClip(
  clip: ByteClip,
  transform: DistTransform,
  options: { size: number; statistics?: PixelStatistics },
): Float32Array {
  let result = floatClip(clip);
  if (transform.mirrorFrames) result = flipFloat(result);
  result = resizeFloat(cropFloat(result, transform.crop), options.size, options.size);
  if (transform.grey) result = greyFloat(result);
  for (const colour of transform.colours) result = applyDistColour(result, colour);
  result = normaliseFloat(result, options.statistics);
  return (transform.mirrorResult ? flipFloat(result) : result).data;
}
