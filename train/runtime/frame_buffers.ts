/** The buffers that decoded frames pass through on their way into a model's input. */

import { framePrepBytes, type FramePrepOptions } from "../../gpu/frames.ts";
import { bufferBytes, MAX_OP_PIXELS, MAX_OP_SIDE } from "../../gpu/frames/options.ts";
import { type PlanLimits, TooLargeError } from "../../gpu/plan.ts";
import { MOST_FRAME_SIDE } from "../../data/frames/limits.ts";
import { picturesOf, type VideoModel } from "../../models/video_model.ts";

/** Side lengths of a frame in pixels. */
export interface FrameSize {
  readonly width: number;
  readonly height: number;
}

/** The largest of the frames that are expected. */
export interface ExpectedFrame extends FrameSize {
  /** The same without those that are far larger than most; absent: there are none such. */
  readonly usual?: FrameSize;
  /** The sizes found, smallest first, each with what it is shrunk to where the adapter cannot take it; absent: nobody looked. */
  readonly found?: readonly (FrameSize & { readonly shrunk: FrameSize })[];
  /** A session is to open whatever the sizes are: it is made for those that the adapter can take. */
  readonly anySize?: boolean;
}

/** Holds frames of either size. */
export function united(a: FrameSize, b: FrameSize): FrameSize {
  return { width: Math.max(a.width, b.width), height: Math.max(a.height, b.height) };
}

/** What the frames of a session are. */
export interface FrameOptions {
  /** Clips of a batch, at most. */
  readonly clips: number;
  /** Largest decoded frame. */
  readonly largestFrame: ExpectedFrame;
  /** What transforms of clips may hold besides geometry; nothing when absent. */
  readonly augmentation?: Pick<FramePrepOptions, "pixelOps" | "erase">;
}

/** Bytes of decoded frames that are uploaded at once, at most, unless one clip alone has more. */
const MOST_UPLOAD_BYTES = 2 ** 27;

/** Options of the upload buffers. They may hold a part of the batch, which then goes through them piece by piece. */
export function prepOptions(
  model: Pick<VideoModel, "config" | "window">,
  options: FrameOptions,
): FramePrepOptions {
  const { backbone: { imageSize } } = model.config, frames = picturesOf(model);
  const maxWidth = Math.max(options.largestFrame.width, imageSize);
  const maxHeight = Math.max(options.largestFrame.height, imageSize);
  const atOnce = Math.max(1, Math.floor(MOST_UPLOAD_BYTES / (frames * maxWidth * maxHeight * 3)));
  return {
    clips: Math.min(atOnce, options.clips),
    frames,
    maxWidth,
    maxHeight,
    size: imageSize,
    outType: "f32",
    ...options.augmentation,
  };
}

/**
 * GPU bytes of a frame preparation.
 *
 * @throws {TooLargeError} where a buffer of it exceeds the adapter's limits.
 */
export function checkedPrepBytes(options: FramePrepOptions, limits: PlanLimits): number {
  const { raw, clip, scratch, tables } = bufferBytes(options), binding = Math.max(clip, scratch, tables);
  if (raw > limits.maxBufferBytes) {
    throw new TooLargeError("the upload of decoded frames", raw, limits.maxBufferBytes);
  }
  if (binding > limits.maxBindingBytes) {
    throw new TooLargeError("the resize of frames", binding, limits.maxBindingBytes);
  }
  return framePrepBytes(options);
}

/**
 * The preparation for the frames that are expected. Where the largest are too large for the adapter, it is made for the others and
 * for what these are shrunk to when they come. Those that shrinking does not help, and that are far larger than most, decide
 * nothing: their clips are refused when they come.
 */
export function expectedPrep(
  model: Pick<VideoModel, "config" | "window">,
  options: FrameOptions,
  limits: PlanLimits,
): FramePrepOptions {
  const { largestFrame: { usual, found = [], anySize = false, ...largest } } = options;
  const prepOf = (size: FrameSize) => prepOptions(model, { ...options, largestFrame: size });
  const fitsOf = (size: FrameSize) => fits(prepOf(size), limits);
  const prep = prepOf(largest);
  if (fits(prep, limits)) return prep;
  const { imageSize } = model.config.backbone, isMost = !anySize && usual !== undefined && fitsOf(usual);
  let room: FrameSize = isMost ? usual : { width: imageSize, height: imageSize }, isRefused = false;
  for (const size of found) {
    const larger = united(room, size), shrunk = united(room, size.shrunk);
    if (fitsOf(larger)) room = isMost ? room : larger;
    else if (fitsOf(shrunk)) room = shrunk;
    else isRefused = true;
  }
  if (!anySize && !isMost && (isRefused || found.length === 0)) {
    return usual === undefined ? prep : prepOf(usual);
  }
  return prepOf(room);
}

/**
 * The largest frame that the upload buffers may grow to: a square, or as wide or high as what they are made for. Width and height
 * grow each for itself, so a frame is held to both.
 */
export function frameRoom(
  model: Pick<VideoModel, "config" | "window">,
  prep: FramePrepOptions,
  limits: PlanLimits,
): FrameSize {
  const { maxWidth, maxHeight, pixelOps, erase } = prep, augmentation = { pixelOps, erase };
  const room = (frameOf: (side: number) => FrameSize) =>
    frameOf(
      largestSide((side) =>
        fits(prepOptions(model, { clips: 1, largestFrame: frameOf(side), augmentation }), limits)
      ),
    );
  const square = room((side) => ({ width: side, height: side }));
  if (maxWidth > square.width) return room((side) => ({ width: maxWidth, height: side }));
  if (maxHeight > square.height) return room((side) => ({ width: side, height: maxHeight }));
  return square;
}

function largestSide(fitting: (side: number) => boolean): number {
  let low = 1, high = MOST_FRAME_SIDE;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (fitting(middle)) low = middle;
    else high = middle - 1;
  }
  return low;
}

function fits(prep: FramePrepOptions, limits: PlanLimits): boolean {
  const { raw, clip, scratch, tables } = bufferBytes(prep), { maxWidth, maxHeight, pixelOps = 0 } = prep;
  const inLimits = raw <= limits.maxBufferBytes && Math.max(clip, scratch, tables) <= limits.maxBindingBytes;
  const forOps = Math.max(maxWidth, maxHeight) <= MAX_OP_SIDE && maxWidth * maxHeight <= MAX_OP_PIXELS;
  return inLimits && (pixelOps === 0 || forOps);
}
