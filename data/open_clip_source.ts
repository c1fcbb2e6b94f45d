/** Opens the source of clips: folders of pictures, video files, both, or a frame cache around them. */
import { stat } from "node:fs/promises";
import PQueue from "p-queue";
import type { ClipSource, ClipSourceOptions } from "./clip_source.ts";
import { createCachedSource } from "./frame_cache/cached_source.ts";
import { DecodePool } from "./frames/decode_pool.ts";
import { clipPath } from "./clip_path.ts";
import { badClip, tooManyBytes } from "./frames/decoded_clip.ts";
import { bytesOfFrames, MOST_CLIP_BYTES, tooLongClip } from "./frames/limits.ts";
import { FrameFolders } from "./frames/frame_folder.ts";
import { shrunkSize } from "./frames/shrink.ts";
import { inTurn } from "./in_turn.ts";
import { decodeVideoClip, probeVideo } from "./video/decode.ts";

/** Opens a source. */
export function createClipSource(options: ClipSourceOptions): ClipSource {
  const { frameCache } = options,
    onlyVideos = options.modality === "either" && frameCache?.modality === "video";
  if (frameCache && !onlyVideos) return createCachedSource(options, frameCache);
  if (options.modality === "frames") return createFolderSource(options);
  if (options.modality === "video") return createVideoSource(options);
  const folders = createFolderSource(options);
  const videos = onlyVideos
    ? createCachedSource({ ...options, modality: "video" }, frameCache!)
    : createVideoSource(options);
  const sourceOf = async (path: string) =>
    (await stat(clipPath(options.root, path))).isDirectory() ? folders : videos;
  return {
    count: async (path, signal) => (await sourceOf(path)).count(path, signal),
    rate: async (path, signal) => (await sourceOf(path)).rate(path, signal),
    decode: async (path, ...wanted) => (await sourceOf(path)).decode(path, ...wanted),
    async [Symbol.asyncDispose]() {
      await folders[Symbol.asyncDispose]();
      await videos[Symbol.asyncDispose]();
    },
  };
}

function createFolderSource(options: ClipSourceOptions): ClipSource {
  const { root, template, workers, modality, shrink } = options, folders = new FrameFolders(root, options);
  let pool = modality === "frames" ? new DecodePool(workers) : undefined;
  return {
    count: (path) => folders.count(path),
    rate: () => Promise.resolve(null),
    async decode(path, frameCount, indices, _signal, mostBytes) {
      pool ??= new DecodePool(workers);
      return await pool.decode({
        ...await folders.place(path),
        path,
        template,
        frameCount,
        indices,
        mostBytes,
        shrink,
      });
    },
    async [Symbol.asyncDispose]() {
      await pool?.[Symbol.asyncDispose]();
    },
  };
}

function createVideoSource({ root, workers, shrink }: ClipSourceOptions): ClipSource {
  const queue = new PQueue({ concurrency: workers }), closed = new AbortController();
  const within = <T>(signal: AbortSignal | undefined, work: (signal: AbortSignal) => Promise<T>) => {
    const either = signal ? AbortSignal.any([signal, closed.signal]) : closed.signal;
    return inTurn(queue, () => work(either), { signal: either });
  };
  return {
    count: (path, signal) =>
      within(signal, async (either) => (await probeVideo(clipPath(root, path), { signal: either })).frames),
    rate: (path, signal) =>
      within(signal, async (either) => (await probeVideo(clipPath(root, path), { signal: either })).rate),
    decode: (path, _count, indices, signal, mostBytes = MOST_CLIP_BYTES) =>
      within(signal, async (either) => {
        const file = clipPath(root, path);
        // A video that cannot be probed is told by its decoding.
        const info = await probeVideo(file, { signal: either }).catch(() => null);
        const size = info && shrunkSize(info, shrink);
        const bytes = size === null ? 0 : bytesOfFrames(indices.length, size);
        if (bytes > MOST_CLIP_BYTES) return badClip(path, tooLongClip(indices.length, size!));
        if (bytes > mostBytes) return tooManyBytes(bytes, size);
        return await decodeVideoClip({ file, path, indices }, { signal: either, shrink });
      }),
    async [Symbol.asyncDispose]() {
      closed.abort(new Error("Cannot decode videos: the source is closed"));
      await queue.onIdle();
    },
  };
}
