/**
 * Frames spread evenly over a clip, as DiST reads them: one in each of T equal segments, or T over an interval of fixed
 * duration. All frame indices count from 1, as everywhere here (the published code counts from 0).
 *
 * The published code computes positions in single precision, and so does this one: halves are rounded and whole numbers
 * truncated, where the last bit decides. Rules: https://github.com/alibaba-mmai-research/DiST.
 */
import { ConfigError } from "../../lib/errors.ts";
import { roundHalfToEven } from "../../lib/round.ts";

const f32 = Math.fround;

/** The one kind of random draw the rules make. `Prng` is one; tests replay recorded draws through another. */
export interface UniformSource {
  /** Uniform in [0, 1). */
  uniform(): number;
}

/** One frame in each of T equal segments: `segment_based`, the rule of the published recipes. */
export interface SegmentSampling {
  rule: "segment";
  /** T, dense frames of a clip. The sparse frames are every α-th of them: there is no other draw for those. */
  segments: number;
}

/** T frames spread evenly over an interval: `interval_based`. */
export interface IntervalSampling {
  rule: "interval";
  /** T, frames of a clip. */
  segments: number;
  /** Frames of the target rate from one sampled frame to the next. */
  samplingRate: number;
  /** Frames a second that `samplingRate` is meant for. */
  targetFps: number;
  /** Frames a second of the video. */
  fps: number;
  /** The last frame is a whole sampling step before the end of the interval, instead of one frame. */
  minusInterval?: boolean;
}

/** Which frames are read. */
export type SpreadSampling = SegmentSampling | IntervalSampling;

/** Random frame indices for training: T of 1 … `frames`. */
export function spreadTrainIndices(frames: number, options: SpreadSampling, draws: UniformSource): number[] {
  checkCounts(frames, options);
  const anywhere = (low: number, high: number) => low + (high - low) * draws.uniform();
  return options.rule === "segment"
    ? segmentIndices(frames, options, anywhere)
    : intervalIndices(frames, options, (room) => anywhere(0, room));
}

/**
 * Frame indices of the one view of validation inside training: the middle of each segment, or of the video.
 *
 * @param options.testClips Views that the recipe tests with (default 1). With more than one the published code validates, by
 * segments, on the first frame of each.
 */
export function spreadValidationIndices(
  frames: number,
  options: SpreadSampling & { testClips?: number },
): number[] {
  checkCounts(frames, options);
  if (options.rule === "interval") return intervalIndices(frames, options, (room) => room / 2);
  return segmentIndices(
    frames,
    options,
    (options.testClips ?? 1) > 1 ? (low) => low : (low, high) => f32(f32(low + high) / 2),
  );
}

/** Frame indices of M test views; one view is the middle. */
export function spreadTestIndices(frames: number, options: SpreadSampling & { clips: number }): number[][] {
  checkCounts(frames, options);
  const { clips: views } = options;
  if (!Number.isInteger(views) || views < 1) {
    throw new ConfigError(
      `Cannot sample test clips: their number must be at least 1, current value is ${views}`,
    );
  }
  if (views === 1) return [spreadValidationIndices(frames, options)];
  return Array.from(
    { length: views },
    (_, view) =>
      options.rule === "interval"
        ? intervalIndices(frames, options, (room) => room * view / views)
        : segmentIndices(
          frames,
          options,
          (low, high) => f32(low + f32(f32(f32(high - low) * (view + 1)) / views)),
        ),
  );
}

/** One frame of every segment, at the position that is chosen between its bounds. */
function segmentIndices(
  frames: number,
  { segments: T }: SegmentSampling,
  choose: (low: number, high: number) => number,
): number[] {
  const bounds = linspace(0, frames, T + 1);
  return Array.from({ length: T }, (_, i) => {
    const position = f32(choose(bounds[i], bounds[i + 1]));
    return roundHalfToEven(Math.min(position, frames - 1)) + 1;
  });
}

/** Frames spread over an interval that starts where it is chosen, between 0 and the room that the interval leaves. */
function intervalIndices(
  frames: number,
  { segments: T, samplingRate, fps, targetFps, minusInterval }: IntervalSampling,
  choose: (room: number) => number,
): number[] {
  const span = T * samplingRate * fps / targetFps;
  const start = choose(Math.max(frames - span, 0));
  const end = start + span - (minusInterval ? samplingRate : 1);
  return linspace(start, end, T).map((position) =>
    Math.trunc(Math.min(Math.max(position, 0), frames - 1)) + 1
  );
}

/**
 * `count` evenly spaced values with both ends in single precision, counted from the nearer end as torch does. Torch's vector loops
 * round some of them otherwise, machine by machine: about one frame in ten thousand of an interval is a neighbour there.
 */
function linspace(start: number, end: number, count: number): number[] {
  const first = f32(start), last = f32(end), step = f32(f32(last - first) / (count - 1));
  return Array.from({ length: count }, (_, i) => {
    if (count === 1) return first;
    return i < count / 2 ? f32(first + f32(step * i)) : f32(last - f32(step * (count - 1 - i)));
  });
}

function checkCounts(frames: number, options: SpreadSampling): void {
  const must = (holds: boolean, what: string, value: number) => {
    if (!holds) throw new ConfigError(`Cannot sample frames: ${what}, current value is ${value}`);
  };
  must(
    Number.isInteger(options.segments) && options.segments >= 1,
    "frames a clip must be at least 1",
    options.segments,
  );
  if (options.rule === "interval") {
    must(options.samplingRate > 0, "the sampling rate must be above 0", options.samplingRate);
    must(options.targetFps > 0, "the target rate must be above 0 frames a second", options.targetFps);
    must(options.fps > 0, "a video must have a rate above 0 frames a second", options.fps);
  }
  if (!Number.isInteger(frames) || frames < 1) {
    throw new RangeError(
      `Cannot sample frames: a video must have at least 1 frame, current value is ${frames}`,
    );
  }
}
