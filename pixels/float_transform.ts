/**
 * What happens to the frames of a clip by DiST's rules (https://github.com/alibaba-mmai-research/DiST), which work on floats in 0 … 1
 * and resize without antialiasing, as plain data: drawn in `data/transforms/float_transforms.ts`, carried out on the GPU by
 * `gpu/frames/float_kernels.ts` and, as its definition, on the CPU by `data/transforms/float_clip.ts` and `float_colours.ts`.
 */
import type { Box, ClipTransform, Erasure, PixelOp } from "./clip_transform.ts";

/** A change of the colours; values stay in 0 … 1. */
export type FloatColour =
  // Between black, the frame's mean luminance or the luminance (factor 0), the frame (1) and beyond.
  | { readonly kind: "brightness" | "contrast" | "saturation"; readonly factor: number }
  | { readonly kind: "hue"; /** Share of the circle. */ readonly turn: number };

/** Changes of the colours of a clip, at most. */
export const MOST_FLOAT_COLOURS = 4;

/** How far the GPU may be from the definition on the CPU, in normalised units: both round, but not at the same places. */
export const FLOAT_TOLERANCE = 1e-5;

/** Luminance by channel. */
export const LUMINANCE = [0.299, 0.587, 0.114] as const;

/**
 * The decisions for one clip, in the order in which they apply: `pixelOps` on the bytes, `mirrorFrames`, `crop`, `resizeTo`, the square of
 * the output size at `outputAt`, `grey`, `colours`, the normalisation, `mirrorResult` and `erase`.
 */
export interface FloatTransform {
  /** Operations on the 8-bit frames as decoded; none when absent. */
  readonly pixelOps?: readonly PixelOp[];
  /** Mirror the frames before the crop (Kinetics). */
  readonly mirrorFrames: boolean;
  /** Region of the frames. */
  readonly crop: Box;
  /** Size that the region is resized to. */
  readonly resizeTo: { readonly width: number; readonly height: number };
  /** Corner of the output square in that. */
  readonly outputAt: { readonly x: number; readonly y: number };
  readonly grey: boolean;
  /** `MOST_FLOAT_COLOURS` at most. */
  readonly colours: readonly FloatColour[];
  /** Mirror the finished clip (Something-Something), whose label may then be another. */
  readonly mirrorResult: boolean;
  /** Part that noise replaces; none when absent. */
  readonly erase?: Erasure;
}

/** What happens to the frames of a clip, by either kind of rules. */
export type FrameTransform = ClipTransform | FloatTransform;

/** Whether a clip is transformed in floats. */
export function isFloatTransform(transform: FrameTransform): transform is FloatTransform {
  return "colours" in transform;
}

/** Whether the finished clip is its own mirror image. */
export function isMirrored(transform: FrameTransform): boolean {
  return isFloatTransform(transform) ? transform.mirrorFrames || transform.mirrorResult : transform.flip;
}

/** Where one sample of a resized axis lies between two of the source. */
export interface BilinearTap {
  readonly first: number;
  readonly second: number;
  /** Share of the second, f32. */
  readonly weight: number;
}

/**
 * Samples of an axis resized between pixel centres, without antialiasing; weights and scale are f32, positions f64.
 *
 * @param part The samples that are wanted; all of them by default.
 */
export function bilinearTaps(
  inSize: number,
  outSize: number,
  part: { start: number; count: number } = { start: 0, count: outSize },
): BilinearTap[] {
  const scale = Math.fround(inSize / outSize);
  return Array.from({ length: part.count }, (_, i) => {
    const at = Math.max(0, scale * (part.start + i + 0.5) - 0.5);
    const first = Math.min(Math.floor(at), inSize - 1);
    return { first, second: Math.min(first + 1, inSize - 1), weight: Math.fround(Math.min(1, at - first)) };
  });
}
