/**
 * What a frame cache holds of which clip: `index.jsonl`, a line a clip, and the same in memory, in columns: 200,000 clips
 * are a file of 33 MB and 37 MB of memory.
 */
import type { MissingFrame } from "./stored_frames.ts";

/** How a clip's source was when it was read: size of a file (0: a folder) and time of its last change. */
export interface SourceStamp {
  readonly size: number;
  /** In milliseconds. */
  readonly mtime: number;
}

/** A line of the index. */
export interface IndexEntry extends SourceStamp {
  /** Absolute path of the clip. */
  readonly path: string;
  /** Frames of the source; 0 when they cannot be counted. */
  readonly frames: number;
  /** Frames in the cache: fewer where a video ends early. */
  readonly stored: number;
  readonly shard: number;
  /** Of the first frame in the shard. */
  readonly offset: number;
  /** Of all frames, without the table of their lengths behind them. */
  readonly bytes: number;
  readonly missing?: readonly MissingFrame[];
  /** What the decoder said of a video. */
  readonly complaint?: string;
  /** Why nothing of the clip can be used. */
  readonly bad?: string;
}

/** Bytes of an entry's frames and of the table of their lengths. */
export function recordBytes({ bytes, stored }: Pick<IndexEntry, "bytes" | "stored">): number {
  return bytes + 4 * stored;
}

/** One line, with its newline. */
export function formatEntry(entry: IndexEntry): string {
  const { missing, ...rest } = entry;
  return JSON.stringify(missing && missing.length > 0 ? { ...rest, missing } : rest) + "\n";
}

/** The entry of a line, or null for one that is none. */
export function parseEntry(line: string): IndexEntry | null {
  let entry: IndexEntry;
  try {
    entry = JSON.parse(line);
  } catch {
    return null;
  }
  const { path, size, mtime, frames, stored, shard, offset, bytes, missing, complaint, bad } = entry ?? {};
  const isCount = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0;
  const isText = (value: unknown) => value === undefined || typeof value === "string";
  const good = typeof path === "string" && Number.isFinite(mtime) && Number.isFinite(size) &&
    isCount(frames) && isCount(stored) && isCount(shard) && isCount(offset) && isCount(bytes) &&
    isText(complaint) && isText(bad) &&
    (missing === undefined ||
      Array.isArray(missing) &&
        missing.every((one) => Array.isArray(one) && isCount(one[0]) && typeof one[1] === "string"));
  return good ? entry : null;
}

const COLUMNS = ["size", "mtime", "frames", "stored", "shard", "offset", "bytes"] as const;
type Rare = Pick<IndexEntry, "missing" | "complaint" | "bad">;

/** Entries by path; a later one takes the place of an earlier. */
export class FrameIndex {
  readonly #places = new Map<string, number>();
  #numbers = new Float64Array(64 * COLUMNS.length);
  /** 1: the source was looked at in this process and is as it was. */
  #verified = new Uint8Array(64);
  readonly #rare = new Map<number, Rare>();

  /** Clips. */
  get size(): number {
    return this.#places.size;
  }

  set(entry: IndexEntry): void {
    let place = this.#places.get(entry.path);
    if (place === undefined) {
      place = this.#places.size;
      this.#places.set(entry.path, place);
      if (place === this.#verified.length) this.#grow();
    }
    let at = place * COLUMNS.length;
    for (const column of COLUMNS) this.#numbers[at++] = entry[column];
    this.#verified[place] = 0;
    const { missing, complaint, bad } = entry;
    if (missing?.length || complaint !== undefined || bad !== undefined) {
      this.#rare.set(place, { missing, complaint, bad });
    } else this.#rare.delete(place);
  }

  /** The entry of a path. @param options.verified only if its source was looked at */
  get(path: string, options: { verified?: boolean } = {}): IndexEntry | null {
    const place = this.#places.get(path);
    if (place === undefined || options.verified && this.#verified[place] === 0) return null;
    const at = place * COLUMNS.length;
    const [size, mtime, frames, stored, shard, offset, bytes] = this.#numbers.subarray(
      at,
      at + COLUMNS.length,
    );
    return { path, size, mtime, frames, stored, shard, offset, bytes, ...this.#rare.get(place) };
  }

  /** Notes whether the source of an entry is as it was. */
  verify(path: string, holds: boolean): void {
    const place = this.#places.get(path);
    if (place !== undefined) this.#verified[place] = holds ? 1 : 0;
  }

  #grow(): void {
    const numbers = new Float64Array(2 * this.#numbers.length);
    numbers.set(this.#numbers);
    this.#numbers = numbers;
    const verified = new Uint8Array(2 * this.#verified.length);
    verified.set(this.#verified);
    this.#verified = verified;
  }
}
