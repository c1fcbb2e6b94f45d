/** What a frame, a file and a clip may take at most, so that no single file decides how much memory a run needs. */
import { formatBytes, formatCount } from "../../lib/text.ts";

/** Pixels of a frame: 8192 x 8192, twice what 8K has. */
export const MOST_FRAME_PIXELS = 2 ** 26;
/** Pixels of a frame's side. */
export const MOST_FRAME_SIDE = 2 ** 14;
/** Bytes of the file of one frame. */
export const MOST_FRAME_FILE_BYTES = 2 ** 28;
/** Decoded bytes of one clip. */
export const MOST_CLIP_BYTES = 2 ** 31;

/**
 * Refuses a size that a header states, before anything of it is decoded.
 *
 * @throws {Error} with the reason
 */
export function requireFrameSize({ width, height }: { width: number; height: number }): void {
  if (width * height > MOST_FRAME_PIXELS) throw new Error(tooManyPixels(`${width}x${height}`));
  if (Math.max(width, height) > MOST_FRAME_SIDE) {
    throw new Error(
      `its size ${width}x${height} has a side of more than ${formatCount(MOST_FRAME_SIDE)} pixels`,
    );
  }
}

/** Why a frame of this size is not decoded. */
export function tooManyPixels(size: string): string {
  return `its size ${size} is more than ${formatCount(MOST_FRAME_PIXELS)} pixels`;
}

/**
 * Refuses the file of a frame that is too large to be one, before it is read.
 *
 * @throws {Error} with the reason
 */
export function requireFrameFileSize(bytes: number): void {
  if (bytes <= MOST_FRAME_FILE_BYTES) return;
  throw new Error(`its file of ${formatBytes(bytes)} is larger than ${formatBytes(MOST_FRAME_FILE_BYTES)}`);
}

/** Decoded bytes of frames. */
export function bytesOfFrames(frames: number, { width, height }: { width: number; height: number }): number {
  return frames * width * height * 3;
}

/** Why a clip with so many decoded bytes is not read. */
export function tooLongClip(frames: number, { width, height }: { width: number; height: number }): string {
  return `its ${formatCount(frames)} frames of ${width}x${height} are more than ${
    formatBytes(MOST_CLIP_BYTES)
  }`;
}
