/**
 * What a frame cache holds of which clip: `index.jsonl`, a line a clip, and the same in memory, in columns: 200,000 clips
 * are a file of 33 MB and 37 MB of memory.
 */
import { z } from "zod";

/** How a clip's source was when it was read: size of a file (0: a folder) and time of its last change. */
export interface SourceStamp {
  readonly size: number;
  /** In milliseconds. */
  readonly mtime: number;
}

const count = z.int().nonnegative();

const INDEX_ENTRY = z.object({
  /** Absolute path of the clip. */
  path: z.string().min(1),
  size: count,
  mtime: z.number(),
  /** Frames of the source; 0 when they cannot be counted. */
  frames: count,
  /** Frames in the cache: fewer where a video ends early. */
  stored: count,
  shard: count,
  /** Of the first frame in the shard. */
  offset: count,
  /** Of all frames, without the table of their lengths behind them. */
  bytes: count,
  missing: z.array(z.tuple([count, z.string()]).readonly()).readonly().optional(),
  /** What the decoder said of a video. */
  complaint: z.string().optional(),
  /** Why nothing of the clip can be used. */
  bad: z.string().optional(),
});

/** A line of the index; with how the source was when it was read. */
export type IndexEntry = Readonly<z.infer<typeof INDEX_ENTRY>>;

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
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return null;
  }
  return INDEX_ENTRY.safeParse(value).data ?? null;
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
