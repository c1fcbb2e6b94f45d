/**
 * What happens to the frames of one clip between the decoder and the network, as plain data: sampled once per clip in
 * `data/transforms/sample.ts`, carried out on the GPU by `gpu/frames.ts` and, as its definition, on the CPU by
 * `data/transforms/apply.ts`.
 */
import type { ResampleFilter } from "./resample.ts";

/** Target of a resize. */
export interface ResizeTo {
  readonly width: number;
  readonly height: number;
  readonly filter: ResampleFilter;
}

/** A rectangle in pixels. */
export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** Where the pixel centre (x, y) of an affine operation's result is read: `(a x + b y + c, d x + e y + f)`. */
export type AffineMatrix = readonly [a: number, b: number, c: number, d: number, e: number, f: number];

/** One colour or geometry operation on 8-bit frames of any size, with its argument; sizes stay. */
export type PixelOp =
  | { readonly kind: "autoContrast" | "equalize" }
  | { readonly kind: "invert" }
  | { readonly kind: "posterize"; /** Highest bits kept, 0 to 8. */ readonly bits: number }
  | { readonly kind: "solarize"; /** Lowest level that is inverted, 0 to 256. */ readonly threshold: number }
  | { readonly kind: "solarizeAdd"; /** Added to levels below 128. */ readonly amount: number }
  // Between the grey picture, its mean, black or the smoothed picture (factor 0), the picture (1) and beyond.
  | { readonly kind: "color" | "brightness" | "sharpness"; readonly factor: number }
  | { readonly kind: "contrast"; readonly factor: number }
  | { readonly kind: "hue"; /** Added to the 8-bit hue modulo 256; 0 to 255. */ readonly shift: number }
  | { readonly kind: "affine"; readonly matrix: AffineMatrix };

/** A part of the finished clip that noise replaces: standard normal values, in normalised units. */
export interface Erasure {
  /** Part of the output square, the same in all frames. */
  readonly box: Box;
  /** Chooses the noise (`pixels/noise.ts`); 32 bits. */
  readonly seed: number;
}

/**
 * The decisions for one clip, in the order in which they apply: `pixelOps`, `resize`, `crop`, `resizeCrop`, the square of
 * the output size at `outputAt`, `flip`, `grey`, and after the normalisation `erase`.
 */
export interface ClipTransform {
  /** Operations on the frames as decoded; none when absent. */
  readonly pixelOps?: readonly PixelOp[];
  /** Resize of the whole frame. */
  readonly resize: ResizeTo | null;
  /** Region of the resized frame. */
  readonly crop: Box;
  /** Resize of that region. */
  readonly resizeCrop: ResizeTo | null;
  /** Corner of the output square in the result so far; (0, 0) when absent. */
  readonly outputAt?: { readonly x: number; readonly y: number };
  /** Mirror left and right. */
  readonly flip: boolean;
  /** Replace the three channels by their luminance; false when absent. */
  readonly grey?: boolean;
  /** Part that noise replaces; none when absent. */
  readonly erase?: Erasure;
}

/** One resize with the only part of its result that is wanted. */
export interface ResizeStage {
  /** Size before. */
  readonly from: { readonly width: number; readonly height: number };
  /** Size after, and the kernel when a size changes. */
  readonly to: { readonly width: number; readonly height: number };
  readonly filter: ResampleFilter;
  /** Part of the result that later steps read. */
  readonly window: Box;
}

function sizeText(size: { width: number; height: number }): string {
  return `${size.width}x${size.height}`;
}

/** Fails unless `box` lies inside a picture of the given size. */
function checkInside(what: string, box: Box, picture: { width: number; height: number }): void {
  const numbers = [box.x, box.y, box.width, box.height];
  const ok = numbers.every(Number.isInteger) && box.x >= 0 && box.y >= 0 && box.width >= 1 &&
    box.height >= 1 &&
    box.x + box.width <= picture.width && box.y + box.height <= picture.height;
  if (!ok) {
    throw new RangeError(
      `Cannot transform clip: ${what} must lie inside ${sizeText(picture)}, current value is ` +
        `${sizeText(box)} at (${box.x}, ${box.y})`,
    );
  }
}

/**
 * Resolves a transform into its two resize stages and checks that every region lies inside its picture.
 *
 * @param frame Size of the decoded frames.
 * @param size Side of the square output.
 */
export function resizeStages(
  frame: { width: number; height: number },
  transform: ClipTransform,
  size: number,
): [ResizeStage, ResizeStage] {
  const { resize, crop, resizeCrop, outputAt } = transform;
  const resized = resize ?? frame;
  checkInside("the crop", crop, resized);
  const cropped = resizeCrop ?? crop;
  const output = { x: outputAt?.x ?? 0, y: outputAt?.y ?? 0, width: size, height: size };
  checkInside("the output square", output, cropped);
  if (transform.erase) checkInside("the erased part", transform.erase.box, { width: size, height: size });
  return [
    { from: frame, to: resized, filter: resize?.filter ?? "bicubic", window: crop },
    { from: crop, to: cropped, filter: resizeCrop?.filter ?? "bilinear", window: output },
  ];
}
