/**
 * Batches of decoded clips, prefetched by a worker pool and delivered in order.
 *
 * What a batch holds depends on the list, the files and (seed, epoch, clip, copy) only: not on the number of workers,
 * their timing or the cache. The number of clips in flight or waiting to be taken is bounded, so memory stays flat however
 * slow the consumer is.
 */
import { ConfigError } from "../lib/errors.ts";
import { createPrng, type Prng } from "../lib/random.ts";
import type { ClipRecord } from "./datasets/list.ts";
import { type ClipModality, createClipSource } from "./clip_source.ts";
import { defaultWorkerCount } from "./decode_pool.ts";
import { reasonOf } from "./files.ts";
import { badClip, type DecodedClip, parseFrameTemplate, type Substitution } from "./frames.ts";
import type { OrderEntry } from "./sampler.ts";

export interface ClipLoaderOptions {
  clips: readonly ClipRecord[];
  /** Folder that the clips' paths are relative to. */
  root: string;
  /** What the clips' paths name. Default "frames": folders. */
  modality?: ClipModality;
  /** Names of the frame files of a folder, such as `{:05d}.jpg`. */
  template: string;
  /** Which frames to read of a clip with this many; several test clips may come as a list of lists. */
  sampler: (frames: number, prng: Prng) => number[] | number[][];
  seed: number;
  /** Decode workers, or programs that decode a video, at once. Default: the cores but one, at most 4. */
  workers?: number;
  /** Clips in flight or waiting to be taken, at most. Default: two batches. */
  prefetch?: number;
  /** Bytes of decoded clips to keep for later epochs. Default 0. */
  cacheBytes?: number;
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
  /** Seeds of this copy's augmentation: `createPrng(...clip.seeds)`. */
  readonly seeds: readonly [seed: number, epoch: number, clip: number, copy: number];
  /** What had to be replaced; told with copy 0 only, so that it is counted once. */
  readonly substitutions: readonly Substitution[];
  /** Nothing of the clip could be read: its frames are black. */
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

/** A short clip is decoded whole into the cache if that is no more than this many times the frames asked for. */
const WHOLE_CLIP_FACTOR = 4;

/** Separates the draws of frame indices from those of the order and the augmentation. */
const FRAME_STREAM = 0x6672616d;

/**
 * Starts a loader and its workers.
 *
 * @example
 * await using loader = createClipLoader({ clips, root, template: "{:05d}.jpg", sampler, seed: 1 });
 * for await (const batch of loader.epoch(order, 16)) train(batch);
 */
export function createClipLoader(options: ClipLoaderOptions): ClipLoader {
  const { clips, sampler, seed, cacheBytes = 0, blankSize = { width: 32, height: 32 } } = options;
  const workers = options.workers ?? defaultWorkerCount();
  for (const [name, value] of Object.entries({ workers, prefetch: options.prefetch ?? 1 })) {
    if (!Number.isInteger(value) || value < 1) {
      throw new ConfigError(`Cannot load clips: ${name} must be at least 1, current value is ${value}`);
    }
  }
  parseFrameTemplate(options.template); // an error here and not in a worker
  const source = createClipSource({ ...options, modality: options.modality ?? "frames", workers });
  const frameCounts = new Map<number, number>();
  const cache = new Map<number, DecodedClip>();
  let cacheOpen = cacheBytes > 0; // closes for good with the first clip that does not fit
  const stats = { clips: 0, substitutions: 0, badClips: 0, cacheHits: 0, cachedBytes: 0 };

  async function frameCount(clip: number, signal: AbortSignal): Promise<number> {
    const known = frameCounts.get(clip);
    if (known !== undefined) return known;
    const count = await source.count(clips[clip].path, signal);
    frameCounts.set(clip, count);
    return count;
  }

  async function decode(
    clip: number,
    count: number,
    indices: number[],
    signal: AbortSignal,
  ): Promise<DecodedClip> {
    const cached = cache.get(clip);
    if (cached) {
      stats.cacheHits++;
      return pickFrames(cached, indices);
    }
    const whole = cacheOpen && count <= WHOLE_CLIP_FACTOR * new Set(indices).size;
    const wanted = whole ? Array.from({ length: count }, (_, i) => i + 1) : indices;
    const decoded = await source.decode(clips[clip].path, count, wanted, signal);
    if (!whole || decoded.bad) return decoded;
    cacheOpen = stats.cachedBytes + decoded.frames.length <= cacheBytes;
    if (cacheOpen && !cache.has(clip)) {
      cache.set(clip, decoded);
      stats.cachedBytes += decoded.frames.length;
    }
    return pickFrames(decoded, indices);
  }

  async function load(entry: OrderEntry, signal: AbortSignal): Promise<LoadedClip[]> {
    const { clip, epoch, repeat } = entry, { path, label } = clips[clip];
    let count: number, problem: string | null = null;
    try {
      count = await frameCount(clip, signal);
    } catch (error) {
      if (error instanceof ConfigError || signal.aborted) throw error; // not the clip's own fault
      problem = reasonOf(error);
      count = 1; // any count gives the number of frames to blacken
    }
    const frameIndices = sampler(count, createPrng(seed, epoch, clip, FRAME_STREAM)).flat();
    const outside = frameIndices.find((index) => !(index >= 1 && index <= count));
    if (problem === null && outside !== undefined) {
      throw new RangeError(
        `Cannot load "${path}": frames must be in 1 … ${count}, the sampler gave ${outside}`,
      );
    }
    let decoded = problem === null ? await decode(clip, count, frameIndices, signal) : badClip(path, problem);
    if (decoded.bad) {
      const { width, height } = blankSize;
      decoded = {
        ...decoded,
        width,
        height,
        frames: new Uint8Array(frameIndices.length * width * height * 3),
      };
    }
    const { width, height, frames, substitutions, bad } = decoded;
    return Array.from({ length: repeat }, (_, copy) => ({
      index: clip,
      path,
      label,
      width,
      height,
      frames,
      frameIndices,
      copy,
      seeds: [seed, epoch, clip, copy],
      substitutions: copy === 0 ? substitutions : [],
      bad,
    }));
  }

  async function* epoch(order: readonly OrderEntry[], batchSize: number): AsyncGenerator<ClipBatch> {
    const prefetch = options.prefetch ?? Math.max(2 * batchSize, 2 * workers);
    const inFlight: Promise<LoadedClip[]>[] = [], left = new AbortController();
    let next = 0;
    const fill = () => {
      while (inFlight.length < prefetch && next < order.length) {
        const promise = load(order[next++], left.signal);
        promise.catch(() => {}); // raised where it is awaited, in order
        inFlight.push(promise);
      }
    };
    try {
      for (let done = 0; done < order.length;) {
        const batch: LoadedClip[] = [], started = performance.now();
        for (const end = Math.min(done + batchSize, order.length); done < end; done++) {
          fill();
          const copies = await inFlight[0];
          inFlight.shift();
          batch.push(...copies);
          stats.clips++;
          stats.substitutions += copies[0].substitutions.length;
          if (copies[0].bad) stats.badClips++;
        }
        fill();
        yield { clips: batch, waitMs: performance.now() - started };
      }
    } finally {
      left.abort(new Error("Cannot load clips: the epoch was left"));
      await Promise.allSettled(inFlight);
    }
  }

  return { epoch, stats: () => ({ ...stats }), [Symbol.asyncDispose]: () => source[Symbol.asyncDispose]() };
}

/** Frames of a clip that was decoded whole (frame i at place i − 1). */
function pickFrames(clip: DecodedClip, indices: readonly number[]): DecodedClip {
  const frameBytes = clip.width * clip.height * 3;
  const frames = new Uint8Array(indices.length * frameBytes);
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
