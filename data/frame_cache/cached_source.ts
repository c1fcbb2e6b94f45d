/**
 * Clips by way of the frame cache. A clip that is not in it is read whole, once, and answered from what was stored; where
 * nothing can be stored (a full disk, another process writes), the frames asked for go through their stored form all the
 * same. So what a loader gets does not depend on what the cache held.
 */
import { stat } from "node:fs/promises";
import PQueue from "p-queue";
import { ConfigError } from "../../lib/errors.ts";
import type { ClipSource, ClipSourceOptions } from "../clip_source.ts";
import { DecodePool } from "../frames/decode_pool.ts";
import { reasonOf } from "../files.ts";
import type { CachedClip, FrameCache } from "./frame_cache.ts";
import { badClip, type DecodedClip, type Substitution, tooManyBytes } from "../frames/decoded_clip.ts";
import { MOST_CLIP_BYTES, tooLongClip } from "../frames/limits.ts";
import { clipPath } from "../clip_path.ts";
import { FrameFolders } from "../frames/frame_folder.ts";
import { storedSize } from "../frames/shrink.ts";
import type { SourceStamp } from "./_index.ts";
import type { ClipWriter } from "./_shards.ts";
import { inTurn } from "../in_turn.ts";
import type { MissingFrame } from "./stored_frames.ts";
import { probeVideo, streamFrames } from "../video/decode.ts";
import { TIMEOUT_MS, UnfinishedError, withWords } from "../video/probe.ts";

/** Bytes of decoded frames that are encoded at once. */
const BATCH_BYTES = 2 ** 23;
/** Time that the encoding of a frame may take away from its decoder. */
const FRAME_TIMEOUT_MS = 100;

/** Opens a source that reads through a cache. */
export function createCachedSource(options: ClipSourceOptions, cache: FrameCache): ClipSource {
  return new CachedSource(options, cache);
}

/** A clip's source as it is found. */
interface FoundClip {
  readonly file: string;
  readonly isVideo: boolean;
  readonly stamp: SourceStamp;
}

class CachedSource implements ClipSource {
  readonly #options: ClipSourceOptions;
  readonly #cache: FrameCache;
  readonly #closed = new AbortController();
  /** Programs that read videos, and folders read at once: while one waits for the disk, a worker has another. */
  readonly #videos: PQueue;
  readonly #folders: PQueue;
  readonly #frames: FrameFolders;
  readonly #building = new Map<string, Promise<CachedClip | null>>();
  #pool: DecodePool | null = null;

  constructor(options: ClipSourceOptions, cache: FrameCache) {
    this.#options = options;
    this.#cache = cache;
    this.#frames = new FrameFolders(options.root, options);
    this.#videos = new PQueue({ concurrency: options.workers });
    this.#folders = new PQueue({ concurrency: 2 * options.workers });
  }

  async count(path: string, signal?: AbortSignal): Promise<number> {
    const found = await this.#find(path), { file, stamp } = found;
    const cached = this.#cache.find(file, stamp);
    if (cached !== null) {
      if (cached.frames === 0) throw new Error(cached.bad ?? "it has no frames");
      return cached.frames;
    }
    const either = this.#either(signal);
    try {
      return await this.#countFrames(path, found, either);
    } catch (error) {
      if (!either.aborted && isLasting(error)) {
        await this.#cache.keep({ path: file, stamp, frames: 0, bad: reasonOf(error) }, null);
      }
      throw error;
    }
  }

  /** The file's own: the cache keeps pictures and no times. */
  async rate(path: string, signal?: AbortSignal): Promise<number | null> {
    const { isVideo, file } = await this.#find(path), either = this.#either(signal);
    if (!isVideo) return null;
    return await inTurn(this.#videos, async () => (await probeVideo(file, { signal: either })).rate, {
      signal: either,
    });
  }

  async decode(
    path: string,
    count: number,
    indices: number[],
    signal?: AbortSignal,
    mostBytes?: number,
  ): Promise<DecodedClip> {
    const either = this.#either(signal), file = clipPath(this.#options.root, path);
    try {
      const cached = this.#cache.findKnown(file) ?? await this.#build(path, file, either);
      if (cached !== null) return await this.#decodeCached(path, cached, { indices, mostBytes });
      const { isVideo } = await this.#ofClip(either, () => this.#find(path));
      if (isVideo) {
        return await inTurn(
          this.#videos,
          () => this.#passVideo(path, { indices, mostBytes }, either),
          { signal: either },
        );
      }
      const { template } = this.#options, { side } = this.#cache;
      return await this.#workers().decode({
        task: "asStored",
        ...await this.#ofClip(either, () => this.#frames.place(path)),
        path,
        template,
        frameCount: count,
        indices,
        side,
        mostBytes,
      });
    } catch (error) {
      if (!(error instanceof ClipError)) throw error;
      return badClip(path, error.message);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort(new Error("Cannot read clips: the source is closed"));
    await this.#videos.onIdle();
    await this.#folders.onIdle();
    await this.#pool?.[Symbol.asyncDispose]();
  }

  #workers(): DecodePool {
    return this.#pool ??= new DecodePool(this.#options.workers);
  }

  #either(signal?: AbortSignal): AbortSignal {
    return signal ? AbortSignal.any([signal, this.#closed.signal]) : this.#closed.signal;
  }

  /** Looks at a clip's source. */
  async #find(path: string): Promise<FoundClip> {
    const { root, modality } = this.#options, file = clipPath(root, path);
    const info = await stat(file);
    const isVideo = modality === "video" || modality === "either" && !info.isDirectory();
    return { file, isVideo, stamp: { size: info.isDirectory() ? 0 : info.size, mtime: info.mtimeMs } };
  }

  async #countFrames(path: string, { file, isVideo }: FoundClip, signal: AbortSignal): Promise<number> {
    if (!isVideo) return await this.#frames.count(path);
    return await inTurn(this.#videos, async () => (await probeVideo(file, { signal })).frames, { signal });
  }

  async #decodeCached(
    path: string,
    cached: CachedClip,
    { indices, mostBytes }: { indices: number[]; mostBytes?: number },
  ): Promise<DecodedClip> {
    const { stored, bad, frames, complaint } = cached;
    if (bad !== null) return badClip(path, bad);
    const last = stored.count < frames ? stored.count : Infinity; // a video that ends early
    const clip = await this.#workers().decode({
      task: "stored",
      stored,
      path,
      frameCount: stored.count,
      indices: indices.map((index) => Math.min(index, last)),
      mostBytes,
    });
    return {
      ...clip,
      substitutions: [...substitutionsOf(path, indices, { last, complaint }), ...clip.substitutions],
    };
  }

  /** Takes a clip into the cache; null where it cannot be kept. Whoever wants it meanwhile waits. */
  async #build(path: string, file: string, signal: AbortSignal): Promise<CachedClip | null> {
    for (let other = this.#building.get(file); other; other = this.#building.get(file)) {
      await other.catch(() => {}); // its own caller is told
      const cached = this.#cache.findKnown(file);
      if (cached !== null) return cached;
    }
    const building = this.#buildClip(path, signal);
    this.#building.set(file, building);
    try {
      return await building;
    } finally {
      this.#building.delete(file);
    }
  }

  async #buildClip(path: string, signal: AbortSignal): Promise<CachedClip | null> {
    const found = await this.#ofClip(signal, () => this.#find(path));
    const frames = await this.#ofClip(signal, () => this.#countFrames(path, found, signal));
    return await inTurn(found.isVideo ? this.#videos : this.#folders, async () => {
      const writer = await this.#cache.begin();
      if (writer === null) return null;
      let cached: CachedClip | null = null;
      try {
        cached = await (found.isVideo
          ? this.#buildVideo(path, found, writer, signal)
          : this.#buildFolder(path, found, frames, writer, signal));
      } finally {
        if (cached === null || cached.bad !== null) await writer.discard();
      }
      return cached;
    }, { signal });
  }

  async #buildFolder(
    path: string,
    { file, stamp }: FoundClip,
    frames: number,
    writer: ClipWriter,
    signal: AbortSignal,
  ): Promise<CachedClip | null> {
    const { template } = this.#options, { side } = this.#cache;
    const missing: MissingFrame[] = [];
    const place = await this.#ofClip(signal, () => this.#frames.place(path));
    for (let from = 1; from <= frames;) {
      signal.throwIfAborted();
      const piece = await this.#workers().decode({
        task: "copy",
        path,
        ...place,
        template,
        range: [from, frames],
        side,
      });
      if (piece.passing || !await this.#cache.add(writer, piece.bytes, piece.lengths)) return null;
      missing.push(...piece.missing);
      from += piece.lengths.length;
    }
    if (!await this.#isStill(path, stamp)) return null;
    return await this.#cache.keep({ path: file, stamp, frames, missing }, writer);
  }

  async #buildVideo(
    path: string,
    { file, stamp }: FoundClip,
    writer: ClipWriter,
    signal: AbortSignal,
  ): Promise<CachedClip | null> {
    const { frames, ...info } = await this.#ofClip(signal, () => probeVideo(file, { signal }));
    const size = storedSize(info, this.#cache.side), frameBytes = size.width * size.height * 3;
    const batch = Math.max(1, Math.floor(BATCH_BYTES / frameBytes));
    let waiting: Uint8Array[] = [], encoded = Promise.resolve(true);
    const encode = async (pictures: Uint8Array[]) => {
      const rgb = new Uint8Array(pictures.length * frameBytes);
      pictures.forEach((picture, i) => rgb.set(picture, i * frameBytes));
      const encoding = this.#workers().decode({ task: "encode", path, ...size, rgb });
      const { bytes, lengths } = await encoding.catch((error) =>
        Promise.reject(new WorkerError(error.message))
      );
      return await this.#cache.add(writer, bytes, lengths);
    };
    /** One batch is encoded while the decoder fills the next. */
    const flush = async () => {
      const pictures = waiting;
      waiting = [];
      if (!await encoded) throw new NotKept();
      encoded = encode(pictures);
      encoded.catch(() => {}); // raised where it is awaited
    };
    try {
      const { count, complaint } = await this.#ofClip(signal, () =>
        streamFrames(file, {
          frames,
          size,
          signal,
          timeoutMs: TIMEOUT_MS + FRAME_TIMEOUT_MS * frames,
          onFrame(rgb) {
            waiting.push(rgb);
            if (waiting.length === batch) return flush();
          },
        }));
      if (waiting.length > 0) await flush();
      if (!await encoded || !await this.#isStill(path, stamp)) return null;
      const words = info.complaint ?? complaint;
      if (count > 0) return await this.#cache.keep({ path: file, stamp, frames, complaint: words }, writer);
      const bad = withWords("none of its frames can be decoded", words);
      return await this.#cache.keep({ path: file, stamp, frames, bad }, null) ?? badCached(frames, bad);
    } catch (error) {
      await encoded.catch(() => {}); // nothing may be written behind the end of a discarded clip
      if (error instanceof NotKept) return null;
      if (!(error instanceof ClipError)) throw error;
      if (error.lasting && await this.#isStill(path, stamp)) {
        await this.#cache.keep({ path: file, stamp, frames, bad: error.message }, null);
      }
      throw error;
    }
  }

  /** Frames of a video through their stored form, without keeping them: all are decoded, as if they were kept. */
  async #passVideo(
    path: string,
    { indices, mostBytes = MOST_CLIP_BYTES }: { indices: number[]; mostBytes?: number },
    signal: AbortSignal,
  ): Promise<DecodedClip> {
    const file = clipPath(this.#options.root, path);
    const { frames, ...info } = await this.#ofClip(signal, () => probeVideo(file, { signal }));
    const size = storedSize(info, this.#cache.side), frameBytes = size.width * size.height * 3;
    const total = indices.length * frameBytes;
    if (total > MOST_CLIP_BYTES) throw new ClipError(tooLongClip(indices.length, size), true);
    if (total > mostBytes) return tooManyBytes(total, size);
    const wanted = new Set(indices), taken = new Map<number, Uint8Array>();
    let latest: Uint8Array | null = null;
    const { count, complaint } = await this.#ofClip(signal, () =>
      streamFrames(file, {
        frames,
        size,
        signal,
        onFrame(rgb, frame) {
          latest = rgb;
          if (wanted.has(frame + 1)) taken.set(frame + 1, rgb);
        },
      }));
    const words = info.complaint ?? complaint;
    if (latest === null) throw new ClipError(withWords("none of its frames can be decoded", words), true);
    taken.set(count, latest);
    const last = count < frames ? count : Infinity;
    const rgb = new Uint8Array(indices.length * frameBytes);
    indices.forEach((index, i) => rgb.set(taken.get(Math.min(index, last))!, i * frameBytes));
    const { frames: recoded } = await this.#workers().decode({ task: "recode", path, ...size, rgb });
    const substitutions = substitutionsOf(path, indices, { last, complaint: words });
    return { ...size, frames: recoded, substitutions, bad: false };
  }

  async #isStill(path: string, { size, mtime }: SourceStamp): Promise<boolean> {
    try {
      const { stamp } = await this.#find(path);
      return stamp.size === size && stamp.mtime === mtime;
    } catch {
      return false;
    }
  }

  /** What fails in here is the clip's fault, unless the work was ended or a program is missing. */
  async #ofClip<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const others = [ConfigError, NotKept, WorkerError];
      if (signal.aborted || others.some((kind) => error instanceof kind)) throw error;
      throw new ClipError(reasonOf(error), isLasting(error));
    }
  }
}

/** The cache takes no more of a clip. */
class NotKept extends Error {}

/** A decode worker failed: that is nothing of a clip's. */
class WorkerError extends Error {}

/** A clip cannot be used. */
class ClipError extends Error {
  constructor(message: string, readonly lasting: boolean) {
    super(message);
  }
}

function badCached(frames: number, bad: string): CachedClip {
  return { frames, bad, complaint: null, stored: { file: "", offset: 0, bytes: 0, count: 0, missing: [] } };
}

/** Whether an error will come again for as long as the file is as it is. */
function isLasting(error: unknown): boolean {
  return error instanceof Error && !(error instanceof ConfigError) && !(error instanceof UnfinishedError) &&
    typeof (error as { code?: unknown }).code !== "string";
}

/** What is told of a video, whichever of its frames are asked for. */
function substitutionsOf(
  path: string,
  indices: readonly number[],
  video: { last: number; complaint: string | null },
): Substitution[] {
  const { last, complaint } = video;
  const substitutions: Substitution[] = complaint === null
    ? []
    : [{ path, frame: 0, reason: complaint, used: "concealed" }];
  for (const frame of [...new Set(indices)].sort((a, b) => a - b)) {
    if (frame > last) {
      substitutions.push({ path, frame, reason: "the video ends before it", used: last });
    }
  }
  return substitutions;
}
