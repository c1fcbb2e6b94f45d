/**
 * The large files of a frame cache, `frames-00000.bin` and so on. A clip is written to one of them from begin to end, by
 * one writer; clips written at the same time go to different files. What lies behind the last clip of the index is
 * no clip, and is cut off when the cache is opened.
 */
import { type FileHandle, open, readdir, stat, statfs, truncate } from "node:fs/promises";
import { join } from "node:path";

const NAME = /^frames-(\d{5,})\.bin$/;
/** Bytes between two looks at the space that is left. */
const SPACE_CHECK_BYTES = 2 ** 26;

/** File of a shard. */
export function shardFile(folder: string, shard: number): string {
  return join(folder, `frames-${String(shard).padStart(5, "0")}.bin`);
}

/** Sizes of the shards that are there, by number. */
export async function shardSizes(folder: string): Promise<Map<number, number>> {
  const sizes = new Map<number, number>();
  for (const name of await readdir(folder)) {
    const match = NAME.exec(name);
    if (match) sizes.set(Number(match[1]), (await stat(join(folder, name))).size);
  }
  return sizes;
}

export interface ShardOptions {
  /** A shard of this size or more gets no further clip. */
  shardBytes: number;
  /** Bytes of the disk that are left free. */
  reserveBytes: number;
}

interface Shard {
  readonly number: number;
  readonly handle: FileHandle;
  /** Where the last whole clip ends. */
  end: number;
}

/** The disk has no room left for the cache. */
class NoSpaceError extends Error {
  constructor(reserveBytes: number) {
    super(
      `the disk has less than ${Math.ceil(reserveBytes / 2 ** 20)} MiB left, which are kept for other files`,
    );
  }
}

/** Shards open for writing. */
export class ShardWriters implements AsyncDisposable {
  readonly #folder: string;
  readonly #options: ShardOptions;
  /** Ends of the shards that are not open, by number. */
  readonly #ends: Map<number, number>;
  readonly #free: Shard[] = [];
  #next: number;
  #unchecked = Infinity;

  private constructor(folder: string, ends: Map<number, number>, options: ShardOptions) {
    this.#folder = folder;
    this.#options = options;
    this.#ends = ends;
    this.#next = Math.max(-1, ...ends.keys()) + 1;
  }

  /** Opens the shards of a folder, cut to where their last clips end; what the index does not know goes. */
  static async open(
    folder: string,
    ends: ReadonlyMap<number, number>,
    options: ShardOptions,
  ): Promise<ShardWriters> {
    const kept = new Map<number, number>(), sizes = await shardSizes(folder);
    for (const [shard, size] of sizes) {
      const end = ends.get(shard) ?? 0;
      if (size > end) await truncate(shardFile(folder, shard), end);
      kept.set(shard, end);
    }
    // One that lost bytes, or is gone, is not written to: lines of the index would then name what comes to lie there.
    for (const [shard, end] of ends) if ((sizes.get(shard) ?? 0) < end) kept.set(shard, Infinity);
    return new ShardWriters(folder, kept, options);
  }

  /** A place for one clip. */
  async begin(): Promise<ClipWriter> {
    await this.#checkSpace(0);
    const shard = this.#free.pop() ?? await this.#openNext();
    return new ClipWriter(shard, {
      written: (bytes) => this.#checkSpace(bytes),
      done: async () => {
        if (shard.end < this.#options.shardBytes) this.#free.push(shard);
        else await shard.handle.close();
      },
    });
  }

  async #openNext(): Promise<Shard> {
    for (const [number, end] of this.#ends) {
      this.#ends.delete(number);
      if (end < this.#options.shardBytes) {
        return { number, end, handle: await open(shardFile(this.#folder, number), "r+") };
      }
    }
    const number = this.#next++;
    return { number, end: 0, handle: await open(shardFile(this.#folder, number), "w") };
  }

  async #checkSpace(bytes: number): Promise<void> {
    this.#unchecked += bytes;
    if (this.#unchecked < SPACE_CHECK_BYTES) return;
    this.#unchecked = 0;
    const { bavail, bsize } = await statfs(this.#folder);
    if (bavail * bsize < this.#options.reserveBytes) throw new NoSpaceError(this.#options.reserveBytes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { handle } of this.#free.splice(0)) await handle.close();
  }
}

/** Writes one clip to the end of a shard. */
export class ClipWriter {
  readonly #shard: Shard;
  readonly #events: { written: (bytes: number) => Promise<void>; done: () => Promise<void> };
  readonly #lengths: number[] = [];
  #at: number;

  constructor(
    shard: Shard,
    events: { written: (bytes: number) => Promise<void>; done: () => Promise<void> },
  ) {
    this.#shard = shard;
    this.#events = events;
    this.#at = shard.end;
  }

  /** Adds frames. @param lengths bytes of each */
  async add(bytes: Uint8Array, lengths: readonly number[]): Promise<void> {
    for (const length of lengths) this.#lengths.push(length);
    await this.#write(bytes);
  }

  /** Adds the table of lengths and waits until all is on the disk. The clip counts once `keep` was called. */
  async finish(): Promise<{ shard: number; offset: number; bytes: number; stored: number }> {
    const { number, end, handle } = this.#shard;
    const bytes = this.#at - end;
    const table = new DataView(new ArrayBuffer(4 * this.#lengths.length));
    this.#lengths.forEach((length, i) => table.setUint32(4 * i, length, true));
    await this.#write(new Uint8Array(table.buffer));
    await handle.datasync();
    return { shard: number, offset: end, bytes, stored: this.#lengths.length };
  }

  /** The index knows the clip: the next one goes behind it. */
  async keep(): Promise<void> {
    this.#shard.end = this.#at;
    await this.#events.done();
  }

  /** Takes back what was written. */
  async discard(): Promise<void> {
    await this.#shard.handle.truncate(this.#shard.end).catch(() => {}); // the next clip is written over it
    await this.#events.done();
  }

  async #write(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      const { bytesWritten } = await this.#shard.handle.write(bytes, done, bytes.length - done, this.#at);
      done += bytesWritten;
      this.#at += bytesWritten;
    }
    await this.#events.written(bytes.length);
  }
}
