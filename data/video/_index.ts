/**
 * Which picture of a video is shown when, and where a decoder may start.
 *
 * Made from the list of packets, in the order in which they are decoded. A start is safe when the decoder delivers every
 * later picture as it would have from the beginning: a key packet of which no picture decoded before is shown after.
 */

/** One coded picture as the file lists it, in decoding order. */
export interface Packet {
  /** Presentation time in ticks of the stream; NaN where the file has none. */
  readonly time: number;
  readonly key: boolean;
  /** The decoder needs it but does not deliver it (edit lists). */
  readonly hidden: boolean;
  /** The file itself marks it as damaged. */
  readonly corrupt: boolean;
}

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

  /** The index of these packets; null when their times do not tell the pictures apart. */
  static from(packets: readonly Packet[], tickSeconds: number): VideoIndex | null {
    const times = Float64Array.from(packets.filter(({ hidden }) => !hidden), ({ time }) => time).sort();
    if (times.length === 0 || !(tickSeconds > 0)) return null;
    if (!times.every((time, i) => Number.isFinite(time) && (i === 0 || time > times[i - 1]))) return null;
    const starts: number[] = [];
    // Pictures that are shown before the first one decoded may be dropped: then numbers are known by decoding only.
    const whole = packets[0].key && times[0] >= packets[0].time && !packets.some(({ corrupt }) => corrupt);
    let latest = -Infinity;
    for (const { time, key, hidden } of whole ? packets : []) {
      if (hidden) continue;
      if (key && time > latest) starts.push(placeOf(times, time));
      latest = Math.max(latest, time);
    }
    return new VideoIndex(tickSeconds, times, starts);
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

/** The middle of the steps of which all ticks are rounded multiples, if there are any. */
function commonStep(ticks: Float64Array): number {
  let low = 0, high = Infinity;
  for (let i = 1; i < ticks.length; i++) {
    low = Math.max(low, (ticks[i] - 0.5) / i);
    high = Math.min(high, (ticks[i] + 0.5) / i);
  }
  return high === Infinity ? 0 : (low + high) / 2;
}

/** Where a value that occurs stands in ascending values. */
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
