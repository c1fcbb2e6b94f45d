/** What the reading of clips may take: frames that an adapter can prepare, and bytes that a machine has. */

import { READ_AHEAD_BYTES } from "../../data/loader.ts";
import { bytesOfFrames } from "../../data/frames/limits.ts";
import { isSameSize, type ShrinkRule, shrunkSize } from "../../data/frames/shrink.ts";
import { resizeInBuffers } from "../../data/transforms/recipe.ts";
import { resizeFor } from "../../data/transforms/sample.ts";
import { ConfigError } from "../../lib/errors.ts";
import { formatBytes, formatCount } from "../../lib/text.ts";
import { type Config, transformRecipe } from "../recipe/config.ts";
import type { ExpectedFrame, FrameSize } from "../runtime/frame_buffers.ts";
import { sideOf } from "./frame_cache.ts";
import { sizeInBuffers } from "./probe.ts";
import { picturesOfView } from "./sampling.ts";

/** Share of a machine's memory that decoded batches may take. */
const BATCH_SHARE = 0.5;

/** Why the crop of a split cannot be taken from frames of a size; null where it can. */
export function cropRefusal(
  config: Pick<Config, "data">,
  split: "train" | "val",
): (size: FrameSize) => string | null {
  const { resize, crop: ofTraining, size, float } = transformRecipe(config);
  if (float) return () => null; // parts of any size are resized to the input's
  const crop = split === "train" ? ofTraining : "centre";
  return (frame) => {
    const { width, height } = resizeFor(frame, resize) ?? frame;
    const fits = crop === "none" ? width === size && height === size : width >= size && height >= size;
    if (fits || crop === "randomResized") return null;
    const resized = width === frame.width && height === frame.height
      ? ""
      : `, resized to ${width}x${height},`;
    const must = crop === "none"
      ? `be ${size}x${size} for data.crop=none`
      : `hold the crop of ${size}x${size}`;
    return `its frames of ${frame.width}x${frame.height}${resized} must ${must}: change data.resize` +
      (split === "train"
        ? " or data.crop, such as data.resize=short data.crop=random_resized"
        : ", such as data.resize=short");
  };
}

/** Why frames of a size cannot be prepared for the network; null where they can. @param room null: nobody knows of a limit */
export function frameRefusal(
  config: Pick<Config, "data">,
  split: "train" | "val",
  room: FrameSize | null,
): (size: FrameSize) => string | null {
  const resize = resizeInBuffers(transformRecipe(config)), misfit = cropRefusal(config, split);
  return ({ width, height }) => {
    const reason = misfit({ width, height });
    if (reason !== null || room === null) return reason;
    const needed = sizeInBuffers({ width, height }, resize);
    if (needed.width <= room.width && needed.height <= room.height) return null;
    const resized = needed.width === width && needed.height === height
      ? ""
      : `, resized to ${needed.width}x${needed.height},`;
    return `its frames of ${width}x${height}${resized} are larger than the adapter can take with ` +
      `data.num_segments=${config.data.num_segments} (${room.width}x${room.height}), ` +
      `even with a short side of ${sideOf(config)}; use ${
        smallerSide(config) ? "a lower data.frame_cache_side, " : ""
      }fewer frames (data.num_segments), or scale or crop the files`;
  };
}

/** Whether the short side of shrunken frames is larger than what the transform looks at. */
function smallerSide({ data }: Pick<Config, "data">): boolean {
  return sideOf({ data: { ...data, frame_cache_side: 1 } }) < sideOf({ data });
}

/** How frames that are too large for the adapter are shrunk: as a frame cache would store them. @param room null: nobody knows of a limit */
export function shrinkRule(config: Pick<Config, "data">, room: FrameSize | null): ShrinkRule | undefined {
  return room === null ? undefined : { ...room, side: sideOf(config) };
}

/** Lets the first text through alone: several feeds have the same to say. */
export function noteOnce(note?: (text: string) => void): (text: string) => void {
  let isTold = false;
  return (text) => {
    if (!isTold) note?.(text);
    isTold = true;
  };
}

/** What a feed tells, once, of frames that are shrunk. */
export function shrinkTeller(
  config: Pick<Config, "data">,
  room: FrameSize | null,
  note?: (text: string) => void,
): (from: FrameSize) => void {
  const tell = noteOnce(note);
  return ({ width, height }) => {
    if (room === null) return;
    tell(
      `frames larger than the adapter can take with data.num_segments=${config.data.num_segments} ` +
        `(${room.width}x${room.height}) are shrunk to a short side of ${
          sideOf(config)
        } when they are decoded, such as ` +
        `those of ${width}x${height}`,
    );
  };
}

/** Decoded bytes that a batch may have on this machine. */
export function mostBatchBytes(): number {
  return Math.floor(BATCH_SHARE * Deno.systemMemoryInfo().total);
}

/** Host memory that the reading of clips takes at most: the batch under way, clips that are read ahead, frames that are kept. */
export function readingBytes(config: Pick<Config, "system" | "data">, frame: FrameSize): number {
  const { batch_size: clips, cache_mb } = config.data;
  const clip = bytesOfFrames(picturesOfView(config), frame);
  return clips * clip + Math.max(clip, Math.min(READ_AHEAD_BYTES, 2 * clips * clip)) + cache_mb * 2 ** 20;
}

/** The largest of most frames, as they come from the decoder. */
function shrunkFrame(
  config: Pick<Config, "data">,
  { usual, found = [], ...largest }: ExpectedFrame,
  room: FrameSize | null,
): FrameSize {
  const frame = usual ?? largest, rule = shrinkRule(config, room);
  if (isSameSize(shrunkSize(frame, rule), frame)) return frame;
  const given = found.map((size) => shrunkSize(size, rule));
  return given.reduce((a, b) => a.width * a.height >= b.width * b.height ? a : b, { width: 1, height: 1 });
}

/**
 * Refuses a recipe whose batches of decoded frames this machine cannot hold.
 *
 * @param room The largest frame that the adapter can take; larger ones are shrunk. null: nobody knows of a limit.
 * @throws {ConfigError} with the batch that it can
 */
export function requireHostMemory(
  config: Pick<Config, "system" | "data">,
  expected: ExpectedFrame,
  room: FrameSize | null,
): void {
  const frame = shrunkFrame(config, expected, room);
  const clip = bytesOfFrames(picturesOfView(config), frame), most = mostBatchBytes();
  const { batch_size: clips } = config.data, { width, height } = frame;
  if (clips * clip <= most) return;
  throw new ConfigError(
    `Cannot read batches: ${formatCount(clips)} clips with frames of ${width}x${height} must take at most ${
      formatBytes(most)
    } ` +
      `of this machine's memory, they take ${formatBytes(clips * clip)}; use data.batch_size=${
        Math.max(1, Math.floor(most / clip))
      }, ` +
      `or shrink the frames once with data.frame_cache`,
  );
}
