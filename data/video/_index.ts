/**
 * Which picture of a video is shown when, and where a decoder may start.
 *
 * A start is safe when the decoder delivers every later picture as it would have from the beginning: a key packet of which no
 * picture decoded before is shown after.
 */
import { cleanStarts, type Packet } from "./_packets.ts";

/** What an array takes beside its elements. */
const ARRAY_BYTES = 300;

/** Presentation times of pictures and the pictures at which a decoder may start, both ascending. */
export class VideoIndex {
  /** Pictures. */
  readonly length: number;
  /** Seconds of a tick. */
  readonly #tickSeconds: number;
  readonly #firstTime: number;
  /** Ticks between pictures. */
  readonly #step: number;
  /** Ticks since the first picture; null where they are the multiples of the step, rounded, as in most files. */
  readonly #ticks: Int32Array | Float64Array | null;
  readonly #starts: Uint32Array;

  private constructor(tickSeconds: number, times: Float64Array, starts: number[]) {
    this.length = times.length;
    this.#tickSeconds = tickSeconds;
    this.#firstTime = times[0];
    this.#starts = Uint32Array.from(starts);
    const ticks = times.map((time) => time - times[0]);
    this.#step = commonStep(ticks);
    const even = ticks.every((tick, i) => tick === Math.round(i * this.#step));
    this.#ticks = even ? null : ticks[ticks.length - 1] < 2 ** 31 ? Int32Array.from(ticks) : ticks;
  }

  /**
   * The index of pictures with these times, ascending; null where there are none or a tick has no length.
   *
   * @param packets Where starts are looked for: the packets of just these pictures, in decoding order.
   */
  static from(times: Float64Array, tickSeconds: number, packets: readonly Packet[]): VideoIndex | null {
    if (times.length === 0 || !(tickSeconds > 0)) return null;
    return new VideoIndex(tickSeconds, times, safeStarts(packets, times));
  }

  /** Memory it takes beyond a few numbers, roughly. */
  get sizeBytes(): number {
    return (this.#ticks === null ? 0 : ARRAY_BYTES + this.#ticks.byteLength) + this.#starts.byteLength;
  }

  #ticksTo(picture: number): number {
    return this.#ticks?.[picture] ?? Math.round(picture * this.#step);
  }

  /** Presentation time of a picture, in ticks. */
  time(picture: number): number {
    return this.#firstTime + this.#ticksTo(picture);
  }

  /** Seconds from the first picture to this one. */
  seconds(picture: number): number {
    return this.#ticksTo(picture) * this.#tickSeconds;
  }

  /** The time that finds a picture by seeking, in seconds of the file: a little after it, so that rounding does no harm. */
  seekSeconds(picture: number): number {
    const next = Math.min(picture + 1, this.length - 1);
    return (this.time(picture) + (this.time(next) - this.time(picture)) / 4) * this.#tickSeconds;
  }

  /** The last safe start at or before a picture; 0, the beginning, where there is none. */
  startFor(picture: number): number {
    let low = 0, high = this.#starts.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#starts[middle] <= picture) low = middle + 1;
      else high = middle;
    }
    return low === 0 ? 0 : this.#starts[low - 1];
  }
}

/** The pictures, by number, at which decoding may start; none where damage or missing times leave them uncertain. */
function safeStarts(packets: readonly Packet[], times: Float64Array): number[] {
  if (packets.some(({ time, hidden, doubtful }) => doubtful || !hidden && Number.isNaN(time))) return [];
  return [...cleanStarts(packets)].flatMap((packet) => {
    const { time } = packets[packet], place = placeOf(times, time);
    return times[place] === time ? [place] : [];
  });
}

/** The middle of the steps of which all ticks are rounded multiples, if there are any. */
function commonStep(ticks: Float64Array): number {
  let low = 0, high = Infinity;
  for (let i = 1; i < ticks.length; i++) {
    low = Math.max(low, (ticks[i] - 0.5) / i);
    high = Math.min(high, (ticks[i] + 0.5) / i);
  }
  return high === Infinity ? 0 : (low + high) / 2;
}

/** Where a value stands in ascending values: at the first that is not less, or the last. */
function placeOf(values: Float64Array, value: number): number {
  let low = 0, high = values.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Neighbouring frames that one process decodes. */
export interface Run {
  /** The picture at which decoding starts; 0 is the beginning of the file. */
  readonly start: number;
  /** Frames wanted, ascending. */
  readonly frames: number[];
}

/** What a process and a seek cost, in pixels decoded in the same time. */
export interface SeekCosts {
  readonly process: number;
  readonly seek: number;
}

/**
 * On two cores (November 2026) ffmpeg 5.1 took 80 ms from its start
 * to its first picture, 5 ms more at most with a seek, and decoded H.264 of 320x240 at 300 M pixels a second.
 */
const COSTS: SeekCosts = { process: 24e6, seek: 2e6 };

/** Splits frames into runs: what lies between is skipped where that saves more than it costs. */
export function planRuns(
  frames: readonly number[],
  index: VideoIndex,
  framePixels: number,
  costs: SeekCosts = COSTS,
): Run[] {
  const runs: Run[] = [];
  let next = 0; // the picture that the process would decode next
  for (const frame of frames) {
    const start = index.startFor(frame), saved = (start - next) * framePixels;
    const run = runs.at(-1);
    if (run === undefined) runs.push({ start: saved > costs.seek ? start : 0, frames: [frame] });
    else if (saved > costs.process) runs.push({ start, frames: [frame] });
    else run.frames.push(frame);
    next = frame + 1;
  }
  return runs;
}
