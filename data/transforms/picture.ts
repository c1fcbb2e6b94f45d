/**
 * Pictures as packed 8-bit RGB, and their geometry: defined as Pillow defines it. Plain loops: the GPU kernels of
 * `gpu/frames.ts` are judged against these.
 */
import { type ResampleFilter, resampleTable, ROW_HEADER, WEIGHT_BITS } from "../../pixels/resample.ts";
import type { Box } from "../../pixels/clip_transform.ts";

/** Size of a picture in pixels. */
export interface PictureSize {
  readonly width: number;
  readonly height: number;
}

/** A picture: rows of packed red, green, blue bytes. */
export interface RgbImage {
  readonly data: Uint8Array | Uint8ClampedArray;
  readonly width: number;
  readonly height: number;
}

/** Positions of the samples of one axis in the bytes of a picture. */
interface AxisSteps {
  /** Lines across the axis: how many, and bytes from one to the next on both sides. */
  lines: number;
  inLine: number;
  outLine: number;
  /** Bytes from one sample to the next on both sides. */
  inStep: number;
  outStep: number;
}

/** One pass of a resize along one axis. */
function resizeAxis(
  input: Uint8Array | Uint8ClampedArray,
  output: Uint8ClampedArray,
  options: { inSize: number; outSize: number; filter: ResampleFilter; steps: AxisSteps },
): void {
  const { inSize, outSize, filter, steps } = options;
  const { rows, stride } = resampleTable(inSize, outSize, filter);
  for (let line = 0; line < steps.lines; line++) {
    for (let out = 0; out < outSize; out++) {
      const row = out * stride;
      const first = rows[row], taps = rows[row + 1];
      for (let channel = 0; channel < 3; channel++) {
        let sum = 1 << (WEIGHT_BITS - 1);
        let at = line * steps.inLine + first * steps.inStep + channel;
        for (let tap = 0; tap < taps; tap++) {
          sum += rows[row + ROW_HEADER + tap] * input[at];
          at += steps.inStep;
        }
        output[line * steps.outLine + out * steps.outStep + channel] = sum >> WEIGHT_BITS; // clamps to 8 bits
      }
    }
  }
}

/**
 * Resizes a picture along x and then along y, rounding to 8 bits after each; an axis that keeps its size is left alone.
 *
 * @example `resizeRgb(frame, 320, 256, "bicubic")`
 */
export function resizeRgb(image: RgbImage, width: number, height: number, filter: ResampleFilter): RgbImage {
  let { data } = image;
  if (width !== image.width) {
    const wide = new Uint8ClampedArray(width * image.height * 3);
    const steps = { lines: image.height, inLine: image.width * 3, outLine: width * 3, inStep: 3, outStep: 3 };
    resizeAxis(data, wide, { inSize: image.width, outSize: width, filter, steps });
    data = wide;
  }
  if (height !== image.height) {
    const tall = new Uint8ClampedArray(width * height * 3);
    const steps = { lines: width, inLine: 3, outLine: 3, inStep: width * 3, outStep: width * 3 };
    resizeAxis(data, tall, { inSize: image.height, outSize: height, filter, steps });
    data = tall;
  }
  return { data, width, height };
}

/** Copies a region, which must lie inside the picture. */
export function cropRgb(image: RgbImage, box: Box): RgbImage {
  const data = new Uint8Array(box.width * box.height * 3);
  for (let y = 0; y < box.height; y++) {
    const from = ((box.y + y) * image.width + box.x) * 3;
    data.set(image.data.subarray(from, from + box.width * 3), y * box.width * 3);
  }
  return { data, width: box.width, height: box.height };
}

/** Mirrors left and right. */
export function flipRgb(image: RgbImage): RgbImage {
  const { width, height } = image;
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const from = (y * width + x) * 3, to = (y * width + width - 1 - x) * 3;
      data.set(image.data.subarray(from, from + 3), to);
    }
  }
  return { data, width, height };
}

/** Luminance in all three channels (ITU-R 601-2 in 16-bit fixed point). */
export function greyRgb(image: RgbImage): RgbImage {
  const data = new Uint8Array(image.data.length);
  for (let i = 0; i < data.length; i += 3) {
    const grey = (19595 * image.data[i] + 38470 * image.data[i + 1] + 7471 * image.data[i + 2] + 32768) >> 16;
    data.fill(grey, i, i + 3);
  }
  return { ...image, data };
}
