/**
 * Batches of decoded clips, prefetched by a worker pool and delivered in order.
 *
 * What a batch holds depends on the list, the files and (seed, epoch, clip, occurrence, copy) only: not on the number of
 * workers, their timing or the cache. The clips in flight or waiting to be taken are bounded, by their number and by their bytes,
 * so memory stays flat however slow the consumer is and however large a frame.
 */
import { sharedBytes } from "../lib/shared_bytes.ts";
import { ConfigError, DataError } from "../lib/errors.ts";
import { createPrng, type Prng } from "../lib/random.ts";
import type { ClipRecord } from "./datasets/list.ts";
import type { ClipModality } from "./datasets/list.ts";
import { createClipSource } from "./open_clip_source.ts";
import { defaultWorkerCount, mostWorkers } from "./frames/decode_pool.ts";
import { formatBytes } from "../lib/text.ts";
import { ReadAhead, type ReadAheadPlace } from "./read_ahead.ts";
import type { FrameCache } from "./frame_cache/frame_cache.ts";
import { reasonOf } from "./files.ts";
import { badClip, type DecodedClip, type Substitution } from "./frames/decoded_clip.ts";
import { releasedFrames } from "./frames/shared_garbage.ts";
import type { ShrinkRule } from "./frames/shrink.ts";
import { parseFrameTemplate } from "./frames/frame_folder.ts";
import type { OrderEntry } from "./sampling/epoch_order.ts";

export interface ClipLoaderOptions {
  clips: readonly ClipRecord[];
  /** Folder that the clips' paths are relative to. */
  root: string;
  /** What the clips' paths name. Default "frames": folders. */
  modality?: ClipModality;
  /** Names of the frame files of a folder, such as `{:05d}.jpg`. */
  template: string;
  /** Number of a folder's first frame; null or absent: the lowest that it holds. */
  firstFrame?: number | null;
  /**
   * Which frames to read of a clip with this many; several test clips may come as a list of lists.
   *
   * @param rate Frames a second; null where nobody asked (`needsRate`) or nothing tells.
   */
  sampler: (frames: number, prng: Prng, rate: number | null) => number[] | number[][];
  /** The sampler goes by the clips' rates. Default: it does not. */
  needsRate?: boolean;
  seed: number;
  /** Decode workers, or programs that decode a video, at once. Default: the cores but one, at most 4; more than `mostWorkers()` are not started. */
  workers?: number;
  /** Clips in flight or waiting to be taken, at most. Default: two batches. */
  prefetch?: number;
  /** The same in bytes of decoded frames, or one clip that has more. Default `READ_AHEAD_BYTES`. */
  prefetchBytes?: number;
  /** Bytes of decoded frames of a batch; more are an error. Default: any. */
  mostBatchBytes?: number;
  /** Why frames of a size cannot be used; null where they can. A clip of such frames is one of which nothing can be read. */
  refuses?: (size: { width: number; height: number }) => string | null;
  /** Frames that are too large are shrunk when they are decoded. Default: none are. */
  shrink?: ShrinkRule;
  /** Told when a clip's frames were shrunk, from this size. */
  onShrunk?: (from: { readonly width: number; readonly height: number }) => void;
  /** Bytes of decoded clips to keep for later epochs. Default 0. */
  cacheBytes?: number;
  /** Frames on disk, in a few large files; it stays the caller's, who closes it after the loader. */
  frameCache?: FrameCache;
  /** Put another clip of the same label in place of one of which nothing can be read, where there is a good one. */
  replaceBad?: boolean;
  /** Size of the black frames of a clip of which nothing can be read. Default 32x32. */
  blankSize?: { width: number; height: number };
}

/** One decoded clip of a batch. */
export interface LoadedClip {
  /** Position in the list. */
  readonly index: number;
  readonly path: string;
  readonly label: number;
  readonly width: number;
  readonly height: number;
  /** [T H W 3], 8-bit RGB. Copies of one clip share it. */
  readonly frames: Uint8Array;
  /** Frame numbers, from 1, as sampled (before substitution). */
  readonly frameIndices: readonly number[];
  /** Which of the `repeat` copies this is, from 0. */
  readonly copy: number;
  /** Seeds of this copy's augmentation: `createPrng(...clip.seeds)`; copies are counted on where a clip comes again. */
  readonly seeds: readonly [seed: number, epoch: number, clip: number, copy: number];
  /** What had to be replaced; told with copy 0 only, so that it is counted once. */
  readonly substitutions: readonly Substitution[];
  /** Nothing of the clip could be read, and none stands in for it: its frames are black. */
  readonly bad: boolean;
}

export interface ClipBatch {
  readonly clips: LoadedClip[];
  /** How long the consumer waited for this batch. */
  readonly waitMs: number;
}

/** Totals since the loader was made. */
export interface LoaderStats {
  readonly clips: number;
  readonly substitutions: number;
  readonly badClips: number;
  readonly cacheHits: number;
  readonly cachedBytes: number;
}

export interface ClipLoader extends AsyncDisposable {
  /** Batches of the clips in this order; the last may be short. `repeat` copies of a clip stand next to each other. */
  epoch(order: readonly OrderEntry[], batchSize: number): AsyncIterable<ClipBatch>;
  stats(): LoaderStats;
}

/** Bytes of decoded frames in flight or waiting to be taken, where nothing else is said. */
export const READ_AHEAD_BYTES = 2 ** 30;

/** A short clip is decoded whole into the cache if that is no more than this many times the frames asked for. */
const WHOLE_CLIP_FACTOR = 4;

/** Separates the draws of frame indices from those of the order and the augmentation. */
const FRAME_STREAM = 0x6672616d;
/** The same for the choice of a clip in place of a bad one. */
const REPLACEMENT_STREAM = 0x7265706c;
/** Clips tried in place of a bad one, as many as the published loader of videos tries. */
const MOST_REPLACEMENTS = 10;

/** How a clip is read: what ends it, and how large it may be. */
interface Reading {
  signal: AbortSignal;
  place: ReadAheadPlace;
}

/** What was read for a place of the order. */
interface ReadClip {
  /** Position in the list: of the clip itself, or of the one that stands in for it. */
  clip: number;
  frameIndices: number[];
  decoded: DecodedClip;
}

/**
 * Starts a loader and its workers.
 *
 * @example
 * await using loader = createClipLoader({ clips, root, template: "{:05d}.jpg", sampler, seed: 1 });
 * for await (const batch of loader.epoch(order, 16)) train(batch);
 */
export function createClipLoader(options: ClipLoaderOptions): ClipLoader {
  const { clips, sampler, seed, cacheBytes = 0, blankSize = { width: 32, height: 32 } } = options;
  const { prefetchBytes = READ_AHEAD_BYTES, mostBatchBytes = Infinity } = options;
  const workers = Math.min(options.workers ?? defaultWorkerCount(), mostWorkers());
  for (const [name, value] of Object.entries({ workers, prefetch: options.prefetch ?? 1 })) {
    if (!Number.isInteger(value) || value < 1) {
      throw new ConfigError(`Cannot load clips: ${name} must be at least 1, current value is ${value}`);
    }
  }
  parseFrameTemplate(options.template); // an error here and not in a worker
  const source = createClipSource({ ...options, modality: options.modality ?? "frames", workers });
  const frameCounts = new Map<string, number>();
  const toldCounts = new Set<number>();
  let byLabel: Map<number, number[]> | undefined;
  const cache = new Map<number, DecodedClip>();
  let cacheOpen = cacheBytes > 0; // closes for good with the first clip that does not fit
  const stats = { clips: 0, substitutions: 0, badClips: 0, cacheHits: 0, cachedBytes: 0 };

  async function frameCount(path: string, signal: AbortSignal): Promise<number> {
    const known = frameCounts.get(path);
    if (known !== undefined) return known;
    const count = await source.count(path, signal);
    frameCounts.set(path, count);
    return count;
  }

  async function decode(
    clip: number,
    count: number,
    indices: number[],
    { signal, place }: Reading,
  ): Promise<DecodedClip> {
    const cached = cache.get(clip);
    if (cached) {
      stats.cacheHits++;
      return pickFrames(cached, indices);
    }
    const whole = cacheOpen && !clips[clip].range && count <= WHOLE_CLIP_FACTOR * new Set(indices).size;
    const { path } = clips[clip];
    /** Decodes what there is room for; what is refused, or larger than `most`, is not decoded. */
    const within = async (wanted: number[], most: number): Promise<DecodedClip> => {
      const decoded = await source.decode(path, count, wanted, signal, Math.min(place.bytes, most));
      const { needsBytes, width } = decoded;
      if (needsBytes === undefined) return decoded;
      const refused = width > 0 ? options.refuses?.(decoded) ?? null : null;
      if (refused !== null) return badClip(path, refused);
      if (needsBytes > most) return decoded;
      await place.grow(needsBytes);
      return await source.decode(path, count, wanted, signal, most < Infinity ? most : undefined);
    };
    if (whole) {
      const all = Array.from({ length: count }, (_, i) => i + 1);
      const decoded = await within(all, cacheBytes - stats.cachedBytes);
      if (decoded.bad) return decoded;
      if (decoded.needsBytes === undefined) return keep(clip, decoded, indices);
      cacheOpen = false;
    }
    return await within(indices, Infinity);
  }

  /** Takes a whole clip into the cache, where there is still room. */
  function keep(clip: number, decoded: DecodedClip, indices: number[]): DecodedClip {
    cacheOpen &&= stats.cachedBytes + decoded.frames.length <= cacheBytes;
    if (cacheOpen && !cache.has(clip)) {
      cache.set(clip, decoded);
      stats.cachedBytes += decoded.frames.length;
    }
    return pickFrames(decoded, indices);
  }

  /** Frames of a clip as `entry` draws them: of its own clip, or of one that stands in for it. */
  async function read(clip: number, entry: OrderEntry, reading: Reading): Promise<ReadClip> {
    const { signal } = reading;
    const { path, range } = clips[clip], { epoch, occurrence = 0 } = entry;
    let count: number, rate: number | null = null, problem: string | null = null;
    try {
      count = await frameCount(path, signal);
      if (options.needsRate) rate = await source.rate(path, signal);
    } catch (error) {
      if (error instanceof ConfigError || signal.aborted) throw error; // not the clip's own fault
      problem = reasonOf(error);
      count = 1; // any count gives the number of frames to blacken
    }
    const draws = createPrng(seed, epoch, entry.clip, FRAME_STREAM, ...occurrence > 0 ? [occurrence] : []);
    const offset = range ? range.first - 1 : 0;
    const frameIndices = sampler(range?.count ?? count, draws, rate).flat().map((index) => index + offset);
    const outside = frameIndices.find((index) => !(index >= 1 && index <= count));
    if (problem === null && outside !== undefined) {
      throw new RangeError(
        `Cannot load "${path}": frames must be in 1 … ${count}, the sampler gave ${outside}`,
      );
    }
    if (problem !== null) return { clip, frameIndices, decoded: badClip(path, problem) };
    const decoded = await decode(clip, count, frameIndices, reading);
    if (decoded.shrunkFrom) options.onShrunk?.(decoded.shrunkFrom);
    const refused = decoded.bad ? null : options.refuses?.(decoded) ?? null;
    if (refused !== null) return { clip, frameIndices, decoded: badClip(path, refused) };
    const substitutions = [...miscounted(clip, count), ...decoded.substitutions];
    return { clip, frameIndices, decoded: { ...decoded, substitutions } };
  }

  /** Told once: the list states another number of frames than there are. Off by one is common in published lists. */
  function miscounted(clip: number, count: number): Substitution[] {
    const { path, frames: stated } = clips[clip];
    if (stated === null || Math.abs(stated - count) <= 1 || toldCounts.has(clip)) return [];
    toldCounts.add(clip);
    const reason = `the list states ${stated} frames, it has ${count}`;
    return [{ path, frame: 0, reason, used: "its own count" }];
  }

  /** A good clip of the same label in place of one of which nothing can be read; the bad one where none is found. */
  async function replace(bad: ReadClip, entry: OrderEntry, reading: Reading): Promise<ReadClip> {
    const { clip, epoch, occurrence = 0 } = entry, { label } = clips[clip];
    byLabel ??= Map.groupBy(clips.keys(), (index) => clips[index].label);
    const others = byLabel.get(label)!.filter((index) => index !== clip);
    const draws = createPrng(seed, epoch, clip, REPLACEMENT_STREAM, occurrence);
    for (let tries = 0; tries < MOST_REPLACEMENTS && others.length > 0; tries++) {
      const [other] = others.splice(draws.integer(others.length), 1);
      const found = await read(other, entry, reading);
      if (found.decoded.bad) continue;
      const used = { clip: clips[other].path };
      const told = bad.decoded.substitutions.map((one) => one.used === "black" ? { ...one, used } : one);
      const substitutions = [...told, ...found.decoded.substitutions];
      return { ...found, decoded: { ...found.decoded, substitutions } };
    }
    return bad;
  }

  async function load(entry: OrderEntry, reading: Reading): Promise<LoadedClip[]> {
    const { epoch, repeat, occurrence = 0 } = entry;
    let found = await read(entry.clip, entry, reading);
    const isBad = found.decoded.bad;
    if (isBad && options.replaceBad) found = await replace(found, entry, reading);
    const { frameIndices, decoded: { substitutions, bad } } = found, { path, label } = clips[found.clip];
    const { width, height, frames } = bad
      ? { ...blankSize, frames: sharedBytes(frameIndices.length * blankSize.width * blankSize.height * 3) }
      : found.decoded;
    if (isBad) stats.badClips++;
    return Array.from({ length: repeat }, (_, copy) => ({
      index: found.clip,
      path,
      label,
      width,
      height,
      frames,
      frameIndices,
      copy,
      seeds: [seed, epoch, entry.clip, occurrence * repeat + copy],
      substitutions: copy === 0 ? substitutions : [],
      bad,
    }));
  }

  async function* epoch(order: readonly OrderEntry[], batchSize: number): AsyncGenerator<ClipBatch> {
    const prefetch = options.prefetch ?? Math.max(2 * batchSize, 2 * workers);
    const inFlight: { copies: Promise<LoadedClip[]>; place: ReadAheadPlace }[] = [];
    const left = new AbortController(), room = new ReadAhead(prefetchBytes);
    let next = 0;
    const start = (entry: OrderEntry, place: ReadAheadPlace) => {
      const copies = load(entry, { signal: left.signal, place });
      // An error is raised where the clip is awaited, in order.
      copies.then(([{ frames }]) => place.settle(frames.length), () => place.release());
      inFlight.push({ copies, place });
    };
    const fill = () => {
      while (inFlight.length < prefetch && next < order.length) {
        const place = room.take(inFlight.length === 0);
        if (place === null) break;
        start(order[next++], place);
      }
      inFlight[0]?.place.becomeNext();
    };
    try {
      for (let done = 0; done < order.length;) {
        const batch: LoadedClip[] = [], started = performance.now();
        let batchBytes = 0;
        for (const end = Math.min(done + batchSize, order.length); done < end; done++) {
          fill();
          const copies = await inFlight[0].copies;
          inFlight.shift()!.place.release();
          releasedFrames(copies[0].frames.length); // by the time that as many others have come
          batchBytes += copies[0].frames.length;
          if (batchBytes > mostBatchBytes) throw batchTooLarge(copies[0], batch.length, mostBatchBytes);
          batch.push(...copies);
          stats.clips++;
          stats.substitutions += copies[0].substitutions.length;
        }
        fill();
        yield { clips: batch, waitMs: performance.now() - started };
      }
    } finally {
      const reason = new Error("Cannot load clips: the epoch was left");
      left.abort(reason);
      room.close(reason);
      await Promise.allSettled(inFlight.map(({ copies }) => copies));
    }
  }

  return { epoch, stats: () => ({ ...stats }), [Symbol.asyncDispose]: () => source[Symbol.asyncDispose]() };
}

function batchTooLarge(clip: LoadedClip, clips: number, mostBytes: number): DataError {
  const { path, width, height } = clip;
  return new DataError(
    `Cannot load a batch: its decoded frames must be at most ${
      formatBytes(mostBytes)
    }, after ${clips} clips they are more ` +
      `("${path}" has frames of ${width}x${height}); lower data.batch_size, or shrink the frames once with data.frame_cache`,
  );
}

/** Frames of a clip that was decoded whole (frame i at place i − 1). */
function pickFrames(clip: DecodedClip, indices: readonly number[]): DecodedClip {
  const frameBytes = clip.width * clip.height * 3;
  const frames = sharedBytes(indices.length * frameBytes);
  indices.forEach((index, position) => {
    frames.set(clip.frames.subarray((index - 1) * frameBytes, index * frameBytes), position * frameBytes);
  });
  const wanted = new Set(indices);
  return {
    ...clip,
    frames,
    substitutions: clip.substitutions.filter(({ frame }) => frame === 0 || wanted.has(frame)),
  };
}
