/**
 * The stored form of frames, as the decode workers make it and read it back.
 *
 * A frame is a JPEG, or a picture of another kind. The file of a frame that is small enough is kept byte for byte, broken or not: whatever reading it leads to
 * happens again, the same way, when it is read from the cache. A larger one is shrunk (libvips, bicubic, as ffmpeg
 * does for videos: Pillow's arithmetic in plain loops took 12 times as long, 221 against 18 ms for 1920x1080 on one core,
 * 2026-11-21; the two differ by 0.8 of 255 on average) and encoded anew.
 */
import { closeSync, openSync, readSync } from "node:fs";
import { reasonOf } from "../files.ts";
import type { DecodedClip } from "../frames/decoded_clip.ts";
import { decodeFramesOf, type FrameBytes, type FramesWanted } from "../frames/decode.ts";
import { folderFrames } from "../frames/frame_folder.ts";
import { decodeJpeg, encodeJpeg, shrinkPicture } from "../frames/jpeg.ts";
import { decodePicture, pictureSize } from "../frames/picture.ts";
import { storedSize } from "../frames/shrink.ts";

const QUALITY = 95;
/** A worker hands frames back when it holds so many bytes of them. */
const PIECE_BYTES = 2 ** 23;
/** Errors that stay until the folder changes; others may have gone by the next time. */
const LASTING = new Set(["ENOENT", "ENOTDIR", "EISDIR", "ELOOP"]);

/** Where the frames of a clip lie: one behind the other, and behind them their lengths (32-bit, little-endian). */
export interface StoredFrames {
  readonly file: string;
  readonly offset: number;
  /** Of all frames. */
  readonly bytes: number;
  readonly count: number;
  /** Frames, from 1, that could not be read, with the reason; they have no bytes. */
  readonly missing: readonly MissingFrame[];
}

export type MissingFrame = readonly [frame: number, reason: string];

/** Decodes frames of a clip in the cache. */
export interface StoredRequest extends FramesWanted {
  readonly task: "stored";
  readonly stored: StoredFrames;
}

/** Decodes frames of a folder by way of their stored form. */
export interface AsStoredRequest extends FramesWanted {
  readonly task: "asStored";
  readonly folder: string;
  readonly template: string;
  /** Number of the first frame's file. */
  readonly first: number;
  readonly side: number;
}

/** Puts frames of a folder into their stored form, as many from the start of a range on as make a piece. */
export interface CopyRequest {
  readonly task: "copy";
  readonly path: string;
  readonly folder: string;
  readonly template: string;
  /** Number of the first frame's file. */
  readonly first: number;
  /** Frames, from 1. */
  readonly range: readonly [from: number, to: number];
  readonly side: number;
}

/** Encodes pictures. */
export interface EncodeRequest extends Pictures {
  readonly task: "encode";
  readonly path: string;
}

/** Decodes pictures by way of their stored form. */
export interface RecodeRequest extends Pictures {
  readonly task: "recode";
  readonly path: string;
}

interface Pictures {
  readonly width: number;
  readonly height: number;
  /** [n H W 3] */
  readonly rgb: Uint8Array<ArrayBuffer>;
}

/** Frames in their stored form. */
export interface StoredPiece {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Of each frame; 0 for one that is missing, or empty. */
  readonly lengths: number[];
  readonly missing: MissingFrame[];
  /** A frame could not be read for a reason that may pass. */
  readonly passing: boolean;
}

/** Decodes frames that are in the cache. */
export async function decodeStored(request: StoredRequest): Promise<DecodedClip> {
  using frames = openStored(request.stored);
  return await decodeFramesOf(request, frames.read);
}

/** Decodes frames of a folder as they would be after a way through the cache. */
export async function decodeAsStored(request: AsStoredRequest): Promise<DecodedClip> {
  const read = folderFrames(request);
  return await decodeFramesOf(request, (frame) => storedForm(read(frame), request.side));
}

/** Reads frames of a folder for the cache. */
export async function copyFrames(request: CopyRequest): Promise<StoredPiece> {
  const { range: [from, to], side } = request;
  const read = folderFrames(request);
  const parts: Uint8Array[] = [], missing: MissingFrame[] = [];
  let size = 0, passing = false;
  for (let frame = from; frame <= to && size < PIECE_BYTES; frame++) {
    let part: Uint8Array = new Uint8Array(0);
    try {
      part = await storedForm(read(frame), side);
    } catch (error) {
      const code = (error as { code?: unknown }).code;
      passing ||= typeof code === "string" && !LASTING.has(code);
      missing.push([frame, reasonOf(error)]);
    }
    parts.push(part);
    size += part.length;
  }
  return { ...joined(parts), missing, passing };
}

/** Encodes pictures for the cache. */
export async function encodePictures(pictures: Pictures): Promise<StoredPiece> {
  const parts: Uint8Array[] = [];
  for (const picture of each(pictures)) parts.push(await encodeJpeg(picture, { quality: QUALITY }));
  return { ...joined(parts), missing: [], passing: false };
}

/** Pictures as they would be after a way through the cache, in place. */
export async function recodePictures(pictures: Pictures): Promise<Uint8Array<ArrayBuffer>> {
  for (const { rgb, ...size } of each(pictures)) {
    rgb.set((await decodeJpeg(await encodeJpeg({ ...size, rgb }, { quality: QUALITY }))).rgb);
  }
  return pictures.rgb;
}

async function storedForm(bytes: Uint8Array, side: number): Promise<Uint8Array> {
  try {
    const { width, height } = await pictureSize(bytes);
    if (Math.min(width, height) <= side) return bytes;
    const picture = await decodePicture(bytes);
    return await encodeJpeg(await shrinkPicture(picture, storedSize(picture, side)), { quality: QUALITY });
  } catch {
    return bytes; // what is wrong with it is found again, and told, when it is read
  }
}

/** The frames of a clip in the cache, open for reading. */
function openStored(
  { file, offset, bytes, count, missing }: StoredFrames,
): Disposable & { read: FrameBytes } {
  const handle = openSync(file, "r");
  try {
    const table = readAt(handle, offset + bytes, 4 * count);
    const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
    const starts = new Float64Array(count + 1);
    for (let i = 0; i < count; i++) starts[i + 1] = starts[i] + view.getUint32(4 * i, true);
    const reasons = new Map(missing);
    const read = (frame: number) => {
      const reason = reasons.get(frame);
      if (reason !== undefined) throw new Error(reason);
      if (frame > count) throw new Error("it does not exist");
      const length = starts[frame] - starts[frame - 1];
      if (!(starts[frame] <= bytes)) throw new Error(`its entry in "${file}" is damaged`);
      return readAt(handle, offset + starts[frame - 1], length);
    };
    return { read, [Symbol.dispose]: () => closeSync(handle) };
  } catch (error) {
    closeSync(handle);
    throw error;
  }
}

function readAt(handle: number, offset: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let filled = 0; filled < length;) {
    const count = readSync(handle, bytes, filled, length - filled, offset + filled);
    if (count === 0) throw new Error(`the frame cache ends at byte ${offset + filled}`);
    filled += count;
  }
  return bytes;
}

function joined(parts: readonly Uint8Array[]): { bytes: Uint8Array<ArrayBuffer>; lengths: number[] } {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return { bytes, lengths: parts.map(({ length }) => length) };
}

/** The pictures one by one, each a view. */
function* each({ width, height, rgb }: Pictures) {
  const frameBytes = width * height * 3;
  for (let at = 0; at < rgb.length; at += frameBytes) {
    yield { width, height, rgb: rgb.subarray(at, at + frameBytes) };
  }
}
