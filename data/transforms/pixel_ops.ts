/**
 * Colour and geometry operations on packed 8-bit RGB, defined as Pillow defines them, bit for bit. Plain loops: the GPU
 * kernels of `gpu/frames/` are judged against these.
 */
import type { AffineMatrix, PixelOp } from "../../pixels/clip_transform.ts";
import { shiftHue } from "../../pixels/hue.ts";
import {
  autoContrastTable,
  blend,
  blendProducts,
  equalizeTable,
  LEVELS,
  pointTable,
} from "../../pixels/pixel_tables.ts";
import { greyRgb, type RgbImage } from "./picture.ts";

/** Colour of what lies outside the picture, in every channel. */
const FILL = 128;

/** Weights of the smoothing kernel: 1 around, 5 in the centre. */
const SMOOTH_CENTRE = 5, SMOOTH_SUM = 13;

/** Interpolation of an affine operation. */
export type AffineFilter = "bilinear" | "bicubic";

/**
 * Applies one operation.
 *
 * @example `applyPixelOp(frame, { kind: "solarize", threshold: 77 })`
 */
export function applyPixelOp(image: RgbImage, op: PixelOp): RgbImage {
  const table = pointTable(op);
  if (table) return applyTables(image, [table, table, table]);
  switch (op.kind) {
    case "autoContrast":
      return applyTables(image, histograms(image).map(stretchTable));
    case "equalize":
      return applyTables(image, histograms(image).map(equalizeTable));
    case "contrast":
      return blendImages(constantLike(image, meanGrey(image)), image, op.factor);
    case "color":
      return blendImages(greyRgb(image), image, op.factor);
    case "sharpness":
      return blendImages(smooth(image), image, op.factor);
    case "hue":
      return shiftHues(image, op.shift);
    case "affine":
      return affine(image, op.matrix, "bicubic");
    default:
      throw new TypeError(
        `Cannot apply pixel operation: its kind must be known, current value is "${op.kind}"`,
      );
  }
}

/** Replaces every level by its entry in the table of its channel. */
function applyTables(image: RgbImage, tables: readonly Uint8Array[]): RgbImage {
  const data = new Uint8Array(image.data.length);
  for (let i = 0; i < data.length; i++) data[i] = tables[i % 3][image.data[i]];
  return { ...image, data };
}

/** How often each level occurs, by channel. */
function histograms(image: RgbImage): Uint32Array[] {
  const counts = [0, 1, 2].map(() => new Uint32Array(LEVELS));
  for (let i = 0; i < image.data.length; i++) counts[i % 3][image.data[i]]++;
  return counts;
}

function stretchTable(histogram: Uint32Array): Uint8Array {
  const lowest = histogram.findIndex((count) => count > 0);
  const highest = histogram.findLastIndex((count) => count > 0);
  return autoContrastTable(lowest, highest);
}

/** Mean luminance, halves rounded up. */
function meanGrey(image: RgbImage): number {
  const grey = greyRgb(image).data;
  let sum = 0;
  for (let i = 0; i < grey.length; i += 3) sum += grey[i];
  return Math.floor(sum / (grey.length / 3) + 0.5);
}

function constantLike(image: RgbImage, level: number): RgbImage {
  return { ...image, data: new Uint8Array(image.data.length).fill(level) };
}

/** From one picture (factor 0) to another (factor 1) and beyond. */
function blendImages(from: RgbImage, to: RgbImage, factor: number): RgbImage {
  const products = blendProducts(factor);
  const data = new Uint8Array(to.data.length);
  for (let i = 0; i < data.length; i++) data[i] = blend(products, from.data[i], to.data[i]);
  return { ...to, data };
}

/** Turns the hue of every pixel. */
function shiftHues(image: RgbImage, shift: number): RgbImage {
  const data = new Uint8Array(image.data.length);
  for (let i = 0; i < data.length; i += 3) data.set(shiftHue(image.data.subarray(i, i + 3), shift), i);
  return { ...image, data };
}

/** Weighted mean of 3x3 pixels, rounded; pixels at the border stay. */
function smooth(image: RgbImage): RgbImage {
  const { width, height, data: input } = image;
  const data = Uint8Array.from(input);
  const row = width * 3;
  for (let y = 1; y < height - 1; y++) {
    for (let at = y * row + 3; at < (y + 1) * row - 3; at++) {
      let sum = (SMOOTH_CENTRE - 1) * input[at];
      for (let above = at - row; above <= at + row; above += row) {
        sum += input[above - 3] + input[above] + input[above + 3];
      }
      data[at] = Math.floor((2 * sum + SMOOTH_SUM) / (2 * SMOOTH_SUM));
    }
  }
  return { ...image, data };
}

/** Interpolates between `v2` and `v3`; the order of the operations is part of the definition. */
function cubic(v1: number, v2: number, v3: number, v4: number, d: number): number {
  const p2 = -v1 + v3, p3 = 2 * (v1 - v2) + v3 - v4, p4 = -v1 + v2 - v3 + v4;
  return v2 + d * (p2 + d * (p3 + d * p4));
}

function clamp(value: number, low: number, high: number): number {
  return value < low ? low : value > high ? high : value;
}

/** Reads the picture at transformed positions; grey where they lie outside. */
export function affine(image: RgbImage, matrix: AffineMatrix, filter: AffineFilter): RgbImage {
  const { width, height } = image;
  const [a, b, c, d, e, f] = matrix;
  const data = new Uint8Array(width * height * 3).fill(FILL);
  const sample = filter === "bicubic" ? sampleBicubic : sampleBilinear;
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const x = a * (column + 0.5) + b * (row + 0.5) + c;
      const y = d * (column + 0.5) + e * (row + 0.5) + f;
      if (x < 0 || x >= width || y < 0 || y >= height) continue;
      sample(image, x - 0.5, y - 0.5, data.subarray((row * width + column) * 3));
    }
  }
  return { data, width, height };
}

/** Position in the bytes of the row that holds `y`, clamped. */
function rowStart(image: RgbImage, y: number): number {
  return clamp(y, 0, image.height - 1) * image.width * 3;
}

function sampleBilinear(image: RgbImage, x: number, y: number, out: Uint8Array): void {
  const left = Math.floor(x), top = Math.floor(y), dx = x - left, dy = y - top;
  const upper = rowStart(image, top), lower = rowStart(image, top + 1);
  const [x0, x1] = [left, left + 1].map((column) => clamp(column, 0, image.width - 1) * 3);
  for (let channel = 0; channel < 3; channel++) {
    const across = (row: number) => {
      const from = image.data[row + x0 + channel];
      return from + (image.data[row + x1 + channel] - from) * dx;
    };
    const above = across(upper);
    out[channel] = above + (across(lower) - above) * dy;
  }
}

function sampleBicubic(image: RgbImage, x: number, y: number, out: Uint8Array): void {
  const { data, width, height } = image;
  const left = Math.floor(x) - 1, top = Math.floor(y) - 1;
  const dx = x - (left + 1), dy = y - (top + 1);
  const x0 = clamp(left, 0, width - 1) * 3, x1 = clamp(left + 1, 0, width - 1) * 3;
  const x2 = clamp(left + 2, 0, width - 1) * 3, x3 = clamp(left + 3, 0, width - 1) * 3;
  for (let channel = 0; channel < 3; channel++) {
    const across = (line: number) => {
      const at = rowStart(image, line) + channel;
      return cubic(data[at + x0], data[at + x1], data[at + x2], data[at + x3], dx);
    };
    // Lines past an edge repeat the line before; above the picture that is the first line.
    const v1 = across(top);
    const v2 = top + 1 >= 0 && top + 1 < height ? across(top + 1) : v1;
    const v3 = top + 2 >= 0 && top + 2 < height ? across(top + 2) : v2;
    const v4 = top + 3 >= 0 && top + 3 < height ? across(top + 3) : v3;
    const value = cubic(v1, v2, v3, v4, dy);
    out[channel] = value <= 0 ? 0 : value >= 255 ? 255 : value; // truncated when stored
  }
}
