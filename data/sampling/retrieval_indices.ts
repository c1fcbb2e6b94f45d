/**
 * Which frames of a video are read for retrieval: Side4Video's four strategies and its choice among too many frames. All frame
 * indices count from 1; frames are taken to be 30 a second.
 *
 * Rules: https://github.com/HJYao00/Side4Video (retrieval).
 */
import { ConfigError } from "../../lib/errors.ts";
import type { IntegerSource } from "./frame_indices.ts";

/** Frames a second of the published frame folders. */
const FRAMES_PER_SECOND = 30;
/** The last offset that strategy 2 draws, exclusive. */
const OFFSETS = 29;

export interface RetrievalSampling {
  /** n, frames of a video, at most. */
  maxFrames: number;
  /**
   * 1: every ⌊F/n⌋-th frame; 2: one frame a second, with one random offset; 3: a random frame in each of n segments; 4: the
   * middle of each of n segments.
   */
  strategy: 1 | 2 | 3 | 4;
  /** Which of too many frames stay. 0: the first; 1: the last; 2: evenly spread ones, the first and the last among them. */
  slice: 0 | 1 | 2;
}

/**
 * Frame indices of a video, `maxFrames` at most (fewer: the network is given a mask).
 *
 * The strategies 1 and 2 take a video for one of a second at least; where the published code then misses files, the last frame
 * is taken.
 */
export function retrievalIndices(frames: number, options: RetrievalSampling, draws: IntegerSource): number[] {
  const { maxFrames: n } = options;
  if (!Number.isInteger(n) || n < 1) {
    throw new ConfigError(`Cannot sample frames: frames a video must be at least 1, current value is ${n}`);
  }
  if (!Number.isInteger(frames) || frames < 1) {
    throw new RangeError(
      `Cannot sample frames: a video must have at least 1 frame, current value is ${frames}`,
    );
  }
  const candidates = candidateIndices(frames, options, draws);
  return chosen(candidates, options).map((index) => Math.min(index, frames));
}

function candidateIndices(
  frames: number,
  { maxFrames: n, strategy }: RetrievalSampling,
  draws: IntegerSource,
) {
  const of = (count: number, index: (i: number) => number) =>
    Array.from({ length: count }, (_, i) => index(i));
  const length = Math.max(frames, FRAMES_PER_SECOND);
  switch (strategy) {
    case 1: {
      const step = Math.max(1, Math.floor(length / n));
      return of(Math.ceil(length / step), (i) => i * step + 1);
    }
    case 2: {
      const offset = draws.integer(OFFSETS);
      const indices = of(
        Math.ceil((length - 1) / FRAMES_PER_SECOND),
        (i) => 1 + i * FRAMES_PER_SECOND + offset,
      );
      return indices.at(-1)! >= length ? indices.slice(0, -1) : indices;
    }
    case 3: {
      if (frames < n) return of(n, () => 1);
      const segment = Math.floor(frames / n);
      return of(n, (i) => i * segment + draws.integer(segment) + 1);
    }
    case 4: {
      const tick = frames / n;
      return frames > n ? of(n, (i) => Math.trunc(tick / 2 + tick * i) + 1) : of(n, () => 1);
    }
  }
}

function chosen(indices: number[], { maxFrames: n, slice }: RetrievalSampling): number[] {
  const count = indices.length;
  if (count <= n) return indices;
  if (slice === 0) return indices.slice(0, n);
  if (slice === 1) return indices.slice(-n);
  const step = (count - 1) / (n - 1);
  return Array.from(
    { length: n },
    (_, i) => indices[i === n - 1 && n > 1 ? count - 1 : n === 1 ? 0 : Math.trunc(i * step)],
  );
}
