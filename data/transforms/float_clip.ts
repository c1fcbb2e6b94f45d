/**
 * Clips as planes `[T 3 H W]` of floats in 0 … 1, and what is done to their geometry: resizing without antialiasing, each step
 * rounded to f32 as PyTorch rounds it.
 */
import type { Box } from "../../pixels/clip_transform.ts";
import { bilinearTaps } from "../../pixels/float_transform.ts";
import { CLIP_STATISTICS, type PixelStatistics } from "../../pixels/normalise.ts";

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

/** The first product is exact in the sum, as where a processor multiplies and adds in one. */
function mixed(a: number, b: number, weight: number): number {
  return f32(a * f32(1 - weight) + f32(b * weight));
}

/** Resizes between pixel centres, bilinear, without antialiasing. */
export function resizeFloat(clip: FloatClip, width: number, height: number): FloatClip {
  const columns = bilinearTaps(clip.width, width), rows = bilinearTaps(clip.height, height);
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
