/**
 * Decoding clips that are stored as numbered pictures.
 *
 * A frame that is missing or broken never stops a run and never passes unnoticed: the published rule takes frame 1
 * instead; if that fails as well the nearest good frame is taken; if there is none the clip is black and marked bad. Every
 * such step is reported as a `Substitution`.
 */
import { sharedBytes } from "../../lib/shared_bytes.ts";
import { reasonOf } from "../files.ts";
import { badClip, type DecodedClip, type Substitution, tooManyBytes } from "./decoded_clip.ts";
import { folderFrames } from "./frame_folder.ts";
import { type Picture, resizePicture, shrinkPicture } from "./jpeg.ts";
import { bytesOfFrames, MOST_CLIP_BYTES, tooLongClip } from "./limits.ts";
import { decodePicture, pictureSize } from "./picture.ts";
import { isSameSize, type ShrinkRule, shrunkSize } from "./shrink.ts";

/** Which frames of a clip to read. */
export interface FramesWanted {
  /** The clip's name in reports. */
  readonly path: string;
  /** Number of frames of the clip. */
  readonly frameCount: number;
  /** Frames to read, from 1; may repeat. */
  readonly indices: readonly number[];
  /** A clip with more decoded bytes is not decoded, and says how many it has. Absent: any that a clip may have. */
  readonly mostBytes?: number;
  /** Frames that are too large are shrunk. Absent: none are. */
  readonly shrink?: ShrinkRule;
}

export interface ClipRequest extends FramesWanted {
  readonly task?: undefined;
  /** Folder of the clip on disk. */
  readonly folder: string;
  readonly template: string;
  /** Number of the first frame's file. */
  readonly first: number;
}

/** Gives the file of a frame, or throws why there is none. */
export type FrameBytes = (frame: number) => Uint8Array | Promise<Uint8Array>;

/** Reads and decodes frames of a clip. Every size is that of the folder's first readable frame. */
export async function decodeClip(request: ClipRequest): Promise<DecodedClip> {
  return await decodeFramesOf(request, folderFrames(request));
}

/** The same for frames that come from elsewhere. */
export async function decodeFramesOf(request: FramesWanted, read: FrameBytes): Promise<DecodedClip> {
  const { path, frameCount, indices, shrink } = request;
  const reader = new FrameReader(frameCount, read);
  let size = await reader.clipSize();
  if (size === null) {
    return badClip(path, `none of its ${frameCount} frames can be read; frame 1: ${reader.reason(1)}`);
  }
  const { mostBytes = MOST_CLIP_BYTES } = request,
    stated = bytesOfFrames(indices.length, shrunkSize(size, shrink));
  if (mostBytes < MOST_CLIP_BYTES && stated > mostBytes) {
    // What it has in truth is for the caller to find, with room for it.
    return tooManyBytes(
      Math.min(stated, MOST_CLIP_BYTES),
      await reader.allState(size, indices) ? shrunkSize(size, shrink) : null,
    );
  }
  const first = (await reader.goodFrame(indices[0]))?.picture;
  if (!first) {
    return badClip(path, `none of its ${frameCount} frames can be decoded; frame 1: ${reader.reason(1)}`);
  }
  // A broken header may state any size, and gigabytes with it: where pictures disagree, one that decodes decides.
  if (first.width !== size.width || first.height !== size.height) size = await reader.decodedSize() ?? first;

  const { width, height } = size, given = shrunkSize(size, shrink), isShrunk = !isSameSize(given, size);
  const frameBytes = bytesOfFrames(1, given);
  const total = indices.length * frameBytes;
  if (total > MOST_CLIP_BYTES) return badClip(path, tooLongClip(indices.length, given));
  if (total > mostBytes) return tooManyBytes(total, given);
  const frames = sharedBytes(total);
  const substitutions: Substitution[] = [];
  const placed = new Map<number, number>(); // frame number → where its pixels already are
  for (const [position, frame] of indices.entries()) {
    const earlier = placed.get(frame);
    if (earlier !== undefined) {
      frames.copyWithin(position * frameBytes, earlier * frameBytes, (earlier + 1) * frameBytes);
      continue;
    }
    // One picture after the other: several at once inside a worker spread over many native threads, whose allocators
    // then keep memory (two workers, 340x256 frames, 2,400 clips: resident memory grew by 600 MB; so it stays level).
    const good = (await reader.goodFrame(frame))!; // there is one, as for the first
    if (good.frame !== frame) {
      substitutions.push({ path, frame, reason: reader.reason(frame), used: good.frame });
    }
    let picture = good.picture;
    if (picture.width !== width || picture.height !== height) {
      const reason = `its size ${picture.width}x${picture.height} is not the clip's ${width}x${height}`;
      substitutions.push({ path, frame, reason, used: "resized" });
      picture = await resizePicture(picture, size);
    }
    if (isShrunk) picture = await shrinkPicture(picture, given);
    frames.set(picture.rgb, position * frameBytes);
    placed.set(frame, position);
    reader.forget(good.frame);
  }
  return { ...given, frames, substitutions, bad: false, ...isShrunk && { shrunkFrom: { width, height } } };
}

/**
 * Reads frames of one clip. What failed is remembered with its reason, and the first frame, which stands in for others; the rest
 * is forgotten once it was used, so that a clip is in memory once.
 */
class FrameReader {
  readonly #frameCount: number;
  readonly #read: FrameBytes;
  readonly #failures = new Map<number, string>();
  readonly #pictures = new Map<number, Promise<Picture | null>>();

  constructor(frameCount: number, read: FrameBytes) {
    this.#frameCount = frameCount;
    this.#read = read;
  }

  /** Why a frame could not be used. */
  reason(frame: number): string {
    return this.#failures.get(frame) ?? "unknown";
  }

  /** Lets go of a frame's picture. */
  forget(frame: number): void {
    if (frame !== 1) this.#pictures.delete(frame);
  }

  /** The size stated by the first frame whose header can be read. */
  async clipSize(): Promise<{ width: number; height: number } | null> {
    for (let frame = 1; frame <= this.#frameCount; frame++) {
      try {
        return await pictureSize(await this.#read(frame));
      } catch (error) {
        this.#failures.set(frame, reasonOf(error));
        this.#pictures.set(frame, Promise.resolve(null));
      }
    }
    return null;
  }

  /** Whether the headers of these frames state this size; one that cannot be read says nothing. */
  async allState(
    { width, height }: { width: number; height: number },
    frames: readonly number[],
  ): Promise<boolean> {
    for (const frame of new Set(frames)) {
      try {
        const stated = await pictureSize(await this.#read(frame));
        if (stated.width !== width || stated.height !== height) return false;
      } catch {
        continue;
      }
    }
    return true;
  }

  /** The size of the first frame that can be decoded. */
  async decodedSize(): Promise<{ width: number; height: number } | null> {
    for (let frame = 1; frame <= this.#frameCount; frame++) {
      const picture = await this.#picture(frame);
      if (picture !== null) return picture;
    }
    return null;
  }

  /** The frame, or frame 1, or the good frame nearest to it (the earlier of two). */
  async goodFrame(frame: number): Promise<{ frame: number; picture: Picture } | null> {
    for (const candidate of candidates(frame, this.#frameCount)) {
      const picture = await this.#picture(candidate);
      if (picture !== null) return { frame: candidate, picture };
    }
    return null;
  }

  #picture(frame: number): Promise<Picture | null> {
    let picture = this.#pictures.get(frame);
    if (!picture) this.#pictures.set(frame, picture = this.#decode(frame));
    return picture;
  }

  async #decode(frame: number): Promise<Picture | null> {
    try {
      return await decodePicture(await this.#read(frame));
    } catch (error) {
      this.#failures.set(frame, reasonOf(error));
      return null;
    }
  }
}

function* candidates(frame: number, count: number): Generator<number> {
  yield frame;
  yield 1;
  for (let step = 1; step <= Math.max(frame, count); step++) {
    if (frame - step >= 1) yield frame - step;
    if (frame + step <= count) yield frame + step;
  }
}
