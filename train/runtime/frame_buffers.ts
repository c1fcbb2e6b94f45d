/** The buffers that decoded frames pass through on their way into a model's input. */

import { framePrepBytes, type FramePrepOptions } from "../../gpu/frames.ts";
import { bufferBytes } from "../../gpu/frames/options.ts";
import { type PlanLimits, TooLargeError } from "../../gpu/plan.ts";
import { picturesOf, type VideoModel } from "../../models/video_model.ts";

/** Side lengths of a frame in pixels. */
export interface FrameSize {
  readonly width: number;
  readonly height: number;
}

/** What the frames of a session are. */
export interface FrameOptions {
  /** Clips of a batch, at most. */
  readonly clips: number;
  /** Largest decoded frame. */
  readonly largestFrame: FrameSize;
  /** What transforms of clips may hold besides geometry; nothing when absent. */
  readonly augmentation?: Pick<FramePrepOptions, "pixelOps" | "erase">;
}

/** Bytes of decoded frames that are uploaded at once, at most, unless one clip alone has more. */
const MOST_UPLOAD_BYTES = 2 ** 27;

/** Options of the upload buffers. They may hold a part of the batch, which then goes through them piece by piece. */
export function prepOptions(model: VideoModel, options: FrameOptions): FramePrepOptions {
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
