/**
 * Predictions of long clips: a window slides over the clip, each of its places is a clip of its own, and what the
 * network says of them is a timeline. A clip without windows is the case of one place.
 */

import type { ClipRecord, FrameRange } from "../../data/datasets/list.ts";
import type { ScoredClip, Task } from "../tasks/task.ts";
import { topShares } from "../tasks/class_shares.ts";
import { topClasses } from "../tasks/class_metrics.ts";
import type { DataProblem } from "../feed/problems.ts";

/** When the frames of a clip are shown. */
export interface ClipTimes {
  /** Of each frame, in seconds since the first. */
  readonly frames: Float64Array;
  /** Of the whole clip. */
  readonly seconds: number;
}

/** How long a clip's windows are and how far apart they start, in seconds. */
export interface WindowLength {
  window: number;
  stride: number;
}

/** A place of the window. */
export interface ClipWindow {
  /** Seconds since the clip's start. */
  readonly from: number;
  readonly to: number;
  readonly range: FrameRange;
}

/** A clip to predict. */
export interface PredictedInput {
  readonly path: string;
  /** null: the whole clip at once. */
  readonly windows: readonly ClipWindow[] | null;
}

/** What the network said of a place of the window. */
export interface WindowPrediction extends ClipWindow {
  /** By class; null where no frame could be read. */
  readonly probabilities: Float64Array | null;
}

/** What the network said of a clip. */
export interface ClipOutcome {
  readonly path: string;
  /** By class, averaged over the windows. */
  readonly probabilities: Float64Array;
  readonly windows: readonly WindowPrediction[] | null;
  /** What had to be replaced, each told once. */
  readonly problems: readonly DataProblem[];
  /** Nothing of the clip could be read. */
  readonly bad: boolean;
}

/** Time in which one class is the best throughout. */
export interface Segment {
  from: number;
  to: number;
  /** The class. */
  index: number;
  /** Mean of its probability over the windows. */
  p: number;
}

/** Frames a second of a folder of frames, unless the user says otherwise: that of the published Something-Something. */
export const FOLDER_FRAME_RATE = 12;

/** Two times this near are one: far below a frame, far above the rounding of time stamps. */
const SAME_SECONDS = 1e-6;

/** Frames that are all shown equally long. */
export function evenTimes(count: number, seconds: number): ClipTimes {
  return { frames: Float64Array.from({ length: count }, (_, i) => i * seconds / count), seconds };
}

/** The frame, from 0, that is shown at a time: the last one that is not later. */
export function frameAt({ frames }: ClipTimes, seconds: number): number {
  return Math.max(0, firstFrom(frames, seconds + 2 * SAME_SECONDS) - 1);
}

/** The first frame that is not before a time; their number where none is. */
function firstFrom(frames: Float64Array, seconds: number): number {
  let low = 0, high = frames.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (frames[middle] < seconds - SAME_SECONDS) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * The places of a window over a clip, in order. The last one ends with the clip, and starts earlier than its turn for
 * that; a clip that is shorter than the window is one place. A window holds the frames that start in it, or, where a frame
 * stands longer than the window, that frame.
 *
 * @throws {Error} when the stride is shorter than a frame
 */
export function windowsOf(times: ClipTimes, { window, stride }: WindowLength): ClipWindow[] {
  const { frames, seconds } = times, least = leastSpacing(times);
  if (seconds > window && stride < least - SAME_SECONDS) throw tooShort(least, { window, stride });
  // A last window that would start within half a frame of the one before is the one before.
  const before = Math.max(0, Math.ceil((seconds - window - least / 2) / stride));
  const places = Array.from({ length: before }, (_, i) => [i * stride, i * stride + window]);
  places.push([before === 0 ? 0 : seconds - window, seconds]);
  return places.map(([from, to], i) => {
    const end = i === before ? frames.length : firstFrom(frames, to);
    const first = Math.min(firstFrom(frames, from), frames.length - 1);
    return first < end
      ? { from, to, range: { first: first + 1, count: end - first } }
      : { from, to, range: { first: frameAt(times, from) + 1, count: 1 } };
  });
}

/** The shortest time that a frame is shown before the next; the mean over all, where two frames come at once. In seconds. */
export function leastSpacing({ frames, seconds }: ClipTimes): number {
  const mean = seconds / frames.length;
  let least = mean;
  for (let i = 1; i < frames.length; i++) {
    const spacing = frames[i] - frames[i - 1];
    if (spacing > SAME_SECONDS) least = Math.min(least, spacing);
  }
  return least;
}

/** The error of windows that start less than a frame apart: of the flag that was given. */
function tooShort(least: number, { window, stride }: WindowLength): Error {
  return new Error(
    stride === defaultStride(window)
      ? `--window must be at least ${
        roundTime(2 * least)
      } s, twice that of a frame, unless --stride is given, ` +
        `current value is ${window}`
      : `--stride must be at least the ${roundTime(least)} s of a frame, current value is ${stride}`,
  );
}

/** The stride of a window of which none is given: half of it. */
export function defaultStride(window: number): number {
  return window / 2;
}

/** The clips to score for these inputs: one each, or one a window, in order. */
export function recordsOf(inputs: readonly PredictedInput[]): ClipRecord[] {
  return inputs.flatMap(({ path, windows }) => {
    const record = { path, label: 0, frames: null, line: 0 };
    return windows ? windows.map(({ range }) => ({ ...record, range })) : [record];
  });
}

/** What is kept of a scored clip until its input is complete: an hour has thousands. */
type Score = { probabilities: Float64Array } & Pick<ScoredClip, "problems" | "bad">;

/** Puts the scores of `recordsOf(inputs)` together, input by input, as they come. */
export async function* outcomesOf(
  scores: AsyncIterable<ScoredClip>,
  inputs: readonly PredictedInput[],
  task: Required<Pick<Task, "read" | "shares">>,
): AsyncGenerator<ClipOutcome> {
  let next = 0, own: Score[] = [];
  for await (const { views, problems, bad } of scores) {
    own.push({ probabilities: task.shares(task.read(views)), problems, bad });
    const input = inputs[next];
    if (own.length < (input.windows?.length ?? 1)) continue;
    yield outcomeOf(input, own);
    next++;
    own = [];
  }
}

function outcomeOf({ path, windows }: PredictedInput, scores: readonly Score[]): ClipOutcome {
  const read = scores.filter(({ bad }) => !bad), used = read.length > 0 ? read : scores;
  const probabilities = new Float64Array(used[0].probabilities.length);
  for (const one of used) one.probabilities.forEach((p, k) => probabilities[k] += p / used.length);
  const problems = new Map<string, DataProblem>();
  for (const problem of scores.flatMap((one) => one.problems)) {
    problems.set(JSON.stringify([problem.path, problem.problem]), problem); // overlapping windows meet the same frame
  }
  return {
    path,
    probabilities,
    windows: windows && windows.map((window, i) => ({
      ...window,
      probabilities: scores[i].bad ? null : scores[i].probabilities,
    })),
    problems: [...problems.values()],
    bad: read.length === 0,
  };
}

/**
 * The time that each window stands for: what is nearer to its middle than to its neighbours'. Overlapping windows so
 * share their time without gaps.
 */
export function spansOf(windows: readonly Pick<ClipWindow, "from" | "to">[]): [from: number, to: number][] {
  const middle = windows.map(({ from, to }) => (from + to) / 2);
  return windows.map(({ from, to }, i) => [
    i === 0 ? from : Math.max(from, (middle[i - 1] + middle[i]) / 2),
    i === windows.length - 1 ? to : Math.min(to, (middle[i] + middle[i + 1]) / 2),
  ]);
}

/** Neighbouring windows with the same best class as one; windows of which nothing could be read are left out. */
export function segmentsOf(windows: readonly WindowPrediction[]): Segment[] {
  const segments: (Segment & { windows: number })[] = [];
  let follows = false;
  spansOf(windows).forEach(([from, to], i) => {
    const { probabilities } = windows[i];
    if (probabilities === null) return void (follows = false);
    const [index] = topClasses(probabilities, 1), last = segments.at(-1);
    if (follows && last?.index === index) {
      last.to = to;
      last.p = (last.p * last.windows + probabilities[index]) / (last.windows + 1);
      last.windows++;
    } else segments.push({ from, to, index, p: probabilities[index], windows: 1 });
    follows = true;
  });
  return segments.map(({ windows: _, ...segment }) => segment);
}

/** What `predict --json` prints for a clip; times in seconds. */
export function outcomeJson(
  { path, probabilities, windows }: ClipOutcome,
  options: { labels: readonly string[]; top: number; length: WindowLength | null; seconds: number | null },
) {
  const { labels, top: count, length, seconds } = options;
  const top = topShares(probabilities, labels, count);
  if (!windows || !length) return { path, top };
  return {
    path,
    top,
    window_seconds: length.window,
    stride_seconds: length.stride,
    seconds: seconds === null ? null : roundTime(seconds),
    timeline: windows.map(({ from, to, probabilities: own }) => ({
      from: roundTime(from),
      to: roundTime(to),
      top: own ? topShares(own, labels, count) : [],
    })),
  };
}

/** To milliseconds. */
export function roundTime(seconds: number): number {
  return Math.round(1000 * seconds) / 1000;
}

/** A place in a video: `01:05`, `1:02:05`, `00:03.4` with a digit. */
export function formatClock(seconds: number, digits = 0): string {
  const unit = 10 ** digits, ticks = Math.round(Math.max(0, seconds) * unit);
  const whole = Math.floor(ticks / unit), two = (n: number) => String(n).padStart(2, "0");
  const hours = Math.floor(whole / 3600), minutes = two(Math.floor(whole % 3600 / 60));
  const rest = digits === 0 ? "" : "." + String(ticks % unit).padStart(digits, "0");
  return `${hours > 0 ? `${hours}:` : ""}${minutes}:${two(whole % 60)}${rest}`;
}

/** Digits after a second that tell the segments of a timeline apart: none begins and ends at the same time as it is shown. */
export function clockDigits(
  seconds: number,
  stride: number | null,
  segments: readonly Pick<Segment, "from" | "to">[] = [],
): number {
  const isFine = (stride ?? seconds) < 1 || seconds < 10 ||
    segments.some(({ from, to }) => Math.round(from) === Math.round(to));
  return isFine ? 1 : 0;
}
