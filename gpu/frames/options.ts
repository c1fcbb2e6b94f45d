/** Options of the frame preparation, their checks, and the bytes they cost before anything is allocated. */
import type { PixelStatistics } from "../../pixels/normalise.ts";
import type { MemoryLedger } from "../device.ts";
import { BINDING_ALIGNMENT } from "../graph.ts";
import { align } from "../plan.ts";
import { FLOAT_LAUNCHES, meanBytes } from "./float_kernels.ts";
import { passTableWords } from "./passes.ts";
import { OP_LAUNCHES, pixelOpBytes } from "./pixel_ops.ts";
import { NOISE_LEVELS } from "../../pixels/noise.ts";

/** Largest batch that a frame preparation takes, and the form of its result. */
export interface FramePrepOptions {
  /** Clips in a batch, at most. */
  clips: number;
  /** Frames in every clip. */
  frames: number;
  /** Largest frame, before or after its first resize. */
  maxWidth: number;
  maxHeight: number;
  /** Side of the square output. */
  size: number;
  /** Type of the output; f16 needs an even size and no feature of the adapter. */
  outType: "f32" | "f16";
  /** Mean and standard deviation of each channel; CLIP's when absent. */
  statistics?: PixelStatistics;
  /** Colour and geometry operations of a clip, at most; 0 when absent. */
  pixelOps?: number;
  /** Whether transforms may erase a part. */
  erase?: boolean;
  /** Ledger that the buffers are booked in. */
  memory?: Pick<MemoryLedger, "create" | "destroy">;
}

/** Launches of a clip at most, besides its pixel operations: unpack, then two resizes of two passes and gather, or those of floats. */
const CLIP_LAUNCHES = 1 + Math.max(5, FLOAT_LAUNCHES);
/** Resize passes of a clip at most. */
const CLIP_TABLES = 4;

/** Largest side, for the error bound of `affine.wgsl`, and frame, for sums of levels in 32 bits. */
export const MAX_OP_SIDE = 2 ** 13, MAX_OP_PIXELS = 2 ** 24;

/** Sizes of the buffers in bytes. */
export function bufferBytes(options: FramePrepOptions) {
  const { clips, frames, maxWidth, maxHeight, size, pixelOps = 0, erase = false } = options;
  // The unpacking kernel works on whole groups of four pixels, 12 bytes in.
  const groups = Math.ceil(frames * maxWidth * maxHeight / 4);
  const clip = align(groups * 12);
  const widest = Math.max(maxWidth, size), tallest = Math.max(maxHeight, size);
  const scratch = 16 * Math.ceil(frames * Math.max(maxWidth * maxHeight, size * tallest) / 4);
  const tables = 4 * clips * CLIP_TABLES * passTableWords(Math.max(widest, tallest));
  return {
    clip,
    raw: clip * clips,
    scratch,
    tables,
    means: meanBytes(frames),
    values: 4 * (3 * 256 + (erase ? NOISE_LEVELS : 0)),
    params: clips * (CLIP_LAUNCHES + OP_LAUNCHES * pixelOps) * BINDING_ALIGNMENT,
    pixelOps: pixelOpBytes({ clips, frames, pixelOps }),
  };
}

/** GPU bytes that a frame preparation with these options allocates. */
export function framePrepBytes(options: FramePrepOptions): number {
  const { raw, scratch, tables, means, values, params, pixelOps } = bufferBytes(options);
  return raw + 2 * scratch + tables + means + values + params + pixelOps.tables + pixelOps.counts;
}

export function checkOptions(device: GPUDevice, options: FramePrepOptions): void {
  for (const name of ["clips", "frames", "maxWidth", "maxHeight", "size"] as const) {
    if (!Number.isInteger(options[name]) || options[name] < 1) {
      throw new RangeError(
        `Cannot prepare frames: "${name}" must be a positive integer, current value is ${options[name]}`,
      );
    }
  }
  const { pixelOps = 0, maxWidth, maxHeight } = options;
  if (!Number.isInteger(pixelOps) || pixelOps < 0) {
    throw new RangeError(
      `Cannot prepare frames: "pixelOps" must be a whole number from 0 on, current value is ${pixelOps}`,
    );
  }
  if (pixelOps > 0 && (Math.max(maxWidth, maxHeight) > MAX_OP_SIDE || maxWidth * maxHeight > MAX_OP_PIXELS)) {
    throw new RangeError(
      `Cannot prepare frames with pixel operations: they must be at most ${MAX_OP_SIDE} on a side and of ` +
        `${MAX_OP_PIXELS} pixels, current size is ${maxWidth}x${maxHeight}`,
    );
  }
  if (options.outType === "f16" && options.size % 2 !== 0) {
    throw new RangeError(
      `Cannot prepare frames in f16: "size" must be even, current value is ${options.size}`,
    );
  }
  const bytes = bufferBytes(options);
  const { maxBufferSize, maxStorageBufferBindingSize } = device.limits;
  const binding = Math.max(bytes.clip, bytes.scratch, bytes.tables);
  if (bytes.raw > maxBufferSize || binding > maxStorageBufferBindingSize) {
    throw new RangeError(
      `Cannot prepare frames: the batch needs a buffer of ${bytes.raw} bytes and a binding of ${binding}, ` +
        `current limits of the adapter are ${maxBufferSize} and ${maxStorageBufferBindingSize}`,
    );
  }
}
