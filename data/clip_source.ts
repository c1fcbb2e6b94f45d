/** Where the frames of clips come from: folders of pictures or video files, behind one interface. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import PQueue from "p-queue";
import { DecodePool } from "./frames/decode_pool.ts";
import { createCachedSource } from "./frame_cache/cached_source.ts";
import type { FrameCache } from "./frame_cache/frame_cache.ts";
import { countFrames, type DecodedClip, parseFrameTemplate } from "./frames/frames.ts";
import { inTurn } from "./in_turn.ts";
import { decodeVideoClip, probeVideo } from "./video/video.ts";

/** What a list names. "either": each path is what is found there. */
export type ClipModality = "frames" | "video" | "either";

export interface ClipSourceOptions {
  modality: ClipModality;
  /** Folder that the clips' paths are relative to. */
  root: string;
  /** Names of the frame files of a folder. */
  template: string;
  /** Folders or videos decoded at once. */
  workers: number;
  /** Answers for the clips that it holds, and takes up the others. */
  frameCache?: FrameCache;
}

/** Reads clips; how many are asked for at once is the caller's to bound. */
export interface ClipSource extends AsyncDisposable {
  /**
   * How many frames a clip has, at least one.
   *
   * @throws {Error} with the reason why there are none
   */
  count(path: string, signal?: AbortSignal): Promise<number>;
  /** Frames of a clip with `count` frames. @param indices from 1; may repeat */
  decode(path: string, count: number, indices: number[], signal?: AbortSignal): Promise<DecodedClip>;
}

/** Opens a source. */
export function createClipSource(options: ClipSourceOptions): ClipSource {
  if (options.frameCache) return createCachedSource(options, options.frameCache);
  if (options.modality === "frames") return createFolderSource(options);
  if (options.modality === "video") return createVideoSource(options);
  const folders = createFolderSource(options), videos = createVideoSource(options);
  const sourceOf = async (path: string) =>
    (await stat(join(options.root, path))).isDirectory() ? folders : videos;
  return {
    count: async (path, signal) => (await sourceOf(path)).count(path, signal),
    decode: async (path, count, indices, signal) =>
      (await sourceOf(path)).decode(path, count, indices, signal),
    async [Symbol.asyncDispose]() {
      await folders[Symbol.asyncDispose]();
      await videos[Symbol.asyncDispose]();
    },
  };
}

function createFolderSource({ root, template, workers, modality }: ClipSourceOptions): ClipSource {
  const names = parseFrameTemplate(template);
  let pool = modality === "frames" ? new DecodePool(workers) : undefined;
  return {
    async count(path) {
      const count = await countFrames(join(root, path), names);
      if (count === 0) throw new Error(`no file of the folder matches "${template}"`);
      return count;
    },
    decode(path, frameCount, indices) {
      pool ??= new DecodePool(workers);
      return pool.decode({ folder: join(root, path), path, template, frameCount, indices });
    },
    async [Symbol.asyncDispose]() {
      await pool?.[Symbol.asyncDispose]();
    },
  };
}

function createVideoSource({ root, workers }: ClipSourceOptions): ClipSource {
  const queue = new PQueue({ concurrency: workers }), closed = new AbortController();
  const within = <T>(signal: AbortSignal | undefined, work: (signal: AbortSignal) => Promise<T>) => {
    const either = signal ? AbortSignal.any([signal, closed.signal]) : closed.signal;
    return inTurn(queue, () => work(either), { signal: either });
  };
  return {
    count: (path, signal) =>
      within(signal, async (either) => (await probeVideo(join(root, path), { signal: either })).frames),
    decode: (path, _count, indices, signal) =>
      within(
        signal,
        (either) => decodeVideoClip({ file: join(root, path), path, indices }, { signal: either }),
      ),
    async [Symbol.asyncDispose]() {
      closed.abort(new Error("Cannot decode videos: the source is closed"));
      await queue.onIdle();
    },
  };
}
