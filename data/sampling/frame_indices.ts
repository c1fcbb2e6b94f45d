/**
 * Which frames of a clip are read.
 *
 * The rules are those of the published Side4Video recognition code, whose two dataset families differ on purpose:
 * "sth" (Something-Something) and "kinetics" (everything else). All frame indices count from 1.
 */
import { ConfigError } from "../../lib/errors.ts";
import { roundHalfToEven } from "../../lib/round.ts";

/** The one kind of random draw the rules make. `Prng` is one; tests replay recorded draws through another. */
export interface IntegerSource {
  /** Uniform integer in 0 … n − 1. */
  integer(n: number): number;
}

/** The family of index rules. */
export type SamplingRule = "sth" | "kinetics";

export interface SamplingOptions {
  rule: SamplingRule;
  /** T, frames a clip. */
  segments: number;
  /** Take frames from a window of 128 with a fixed stride, instead of from the whole video. */
  dense?: boolean;
}

/** Span of the dense window, in frames. */
const DENSE_SPAN_FRAMES = 128;

/** The published choice: a data set whose name contains "something" takes the "sth" rules. */
export function samplingRuleOf(dataset: string): SamplingRule {
  return dataset.includes("something") ? "sth" : "kinetics";
}

/** Random frame indices for training: T of 1 … `frames`. */
export function trainIndices(frames: number, options: SamplingOptions, draws: IntegerSource): number[] {
  checkCounts(frames, options);
  const { rule, segments: T } = options;
  if (options.dense) return denseIndices(frames, T, randomDenseStart(frames, draws));
  if (rule === "kinetics") {
    const segment = (frames - 1) / T;
    return range(T, (i) => {
      const low = roundHalfToEven(segment * i), high = roundHalfToEven(segment * (i + 1));
      return low + draws.integer(high - low + 1) + 1; // both ends: neighbouring segments share a frame
    });
  }
  if (frames <= T) {
    const taken = range(frames, (i) => i);
    const repeated = range(T - frames, () => draws.integer(frames));
    return [...taken, ...repeated].sort((a, b) => a - b).map((i) => i + 1);
  }
  return range(T, (i) => {
    const low = Math.floor((i * frames) / T), next = Math.floor(((i + 1) * frames) / T);
    return low + draws.integer(next - low) + 1;
  });
}

/** Frame indices of the one view of validation. Only the dense rule draws (its window's start). */
export function validationIndices(frames: number, options: SamplingOptions, draws?: IntegerSource): number[] {
  checkCounts(frames, options);
  const { rule, segments: T } = options;
  if (options.dense) {
    if (!draws) throw new TypeError("Cannot sample a dense validation view: it must be given random draws");
    return denseIndices(frames, T, randomDenseStart(frames, draws));
  }
  if (rule === "sth") return testIndices(frames, { ...options, clips: 1 })[0];
  return range(T, (i) => (Math.trunc((frames / T) * i) % frames) + 1);
}

/** Frame indices of K test clips. */
export function testIndices(frames: number, options: SamplingOptions & { clips: number }): number[][] {
  checkCounts(frames, options);
  const { rule, segments: T, clips: K } = options;
  if (!Number.isInteger(K) || K < 1) {
    throw new ConfigError(`Cannot sample test clips: their number must be at least 1, current value is ${K}`);
  }
  if (options.dense) {
    // The published code divides by zero for one clip; the window then starts where all first windows start.
    const step = K === 1 ? 0 : Math.floor(Math.max(0, frames - DENSE_SPAN_FRAMES) / (K - 1));
    return range(K, (k) => denseIndices(frames, T, k * step));
  }
  if (rule === "sth") {
    const segment = (frames - 1) / T;
    return range(K, (k) => {
      const shift = Math.floor((segment / (K + 1)) * (k + 1));
      return range(T, (i) => roundHalfToEven(segment * i) + shift + 1);
    });
  }
  const tick = frames / T;
  return range(K, (k) => {
    const start = Math.floor(linspace(0, tick - 1, K)[k]);
    return range(T, (i) => (((Math.trunc(start + tick * i) % frames) + frames) % frames) + 1);
  });
}

/** How a frame's neighbours are taken (TDS-CLIP, spec tds-clip §6.1). */
export interface WindowOptions {
  /** Frames of a window, the middle one included: odd. */
  size: number;
  /**
   * Frames before the first: "clamp" takes the first again; "wrap" counts from the end, as the published code does with
   * video files. Frames after the last are always the last again.
   */
  edge: "clamp" | "wrap";
}

/** The sampled frames, each with its neighbours in order: `size` indices for every one of `indices`. */
export function windowIndices(indices: readonly number[], frames: number, options: WindowOptions): number[] {
  const { size, edge } = options;
  if (!Number.isInteger(size) || size < 1 || size % 2 === 0) {
    throw new ConfigError(
      `Cannot sample windows: the frames of a window must be an odd number, current value is ${size}`,
    );
  }
  const inside = (index: number) => {
    if (index > frames) return frames;
    if (index >= 1) return index;
    return edge === "clamp" ? 1 : (((index - 1) % frames) + frames) % frames + 1;
  };
  const half = (size - 1) / 2;
  return indices.flatMap((index) => range(size, (j) => inside(index - half + j)));
}

function denseIndices(frames: number, segments: number, start: number): number[] {
  const stride = Math.floor(DENSE_SPAN_FRAMES / segments);
  return range(segments, (i) => ((start + i * stride) % frames) + 1);
}

function randomDenseStart(frames: number, draws: IntegerSource): number {
  return frames <= DENSE_SPAN_FRAMES ? 0 : draws.integer(frames - DENSE_SPAN_FRAMES);
}

/** `count` evenly spaced values with both ends, in NumPy's order of operations, on which the floors above depend. */
function linspace(start: number, stop: number, count: number): number[] {
  const step = (stop - start) / (count - 1);
  return range(count, (i) => (count > 1 && i === count - 1 ? stop : count === 1 ? start : i * step + start));
}

function range<T>(count: number, value: (i: number) => T): T[] {
  return Array.from({ length: count }, (_, i) => value(i));
}

function checkCounts(frames: number, { segments }: SamplingOptions): void {
  if (!Number.isInteger(segments) || segments < 1) {
    throw new ConfigError(
      `Cannot sample frames: frames a clip must be at least 1, current value is ${segments}`,
    );
  }
  if (!Number.isInteger(frames) || frames < 1) {
    throw new RangeError(
      `Cannot sample frames: a video must have at least 1 frame, current value is ${frames}`,
    );
  }
}
