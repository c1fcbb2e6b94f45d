/**
 * Frames of a data set in a few large files instead of many small ones, or of videos that cost much to decode; built while
 * the clips are read for the first time.
 *
 * A folder with `cache.json` (what the cache was built for), `frames-NNNNN.bin` (picture after picture) and `index.jsonl` (which clip lies
 * where). Everything grows at its end only, the frames before the line that names them, so that a process may be killed
 * at any time: what no line names is cut off when the cache is opened again. One process writes, as long as it
 * holds the lock; others read what was there when they opened it.
 */
import { type FileHandle, mkdir, open, readdir, rm, truncate } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { z } from "zod";
import { ConfigError } from "../../lib/errors.ts";
import { formatBytes } from "../../lib/text.ts";
import type { ClipModality } from "../datasets/list.ts";
import { bytesOfFile, isTemporary, reasonOf, textOfFileIfAny, writeError, writeFileWhole } from "../files.ts";
import { LOCK_FILE, type LockAttempt, removeTemporary, tryLockFolder } from "../folder_lock.ts";
import { parseJson } from "../schema.ts";
import {
  formatEntry,
  FrameIndex,
  type IndexEntry,
  parseEntry,
  recordBytes,
  type SourceStamp,
} from "./_index.ts";
import { type ClipWriter, shardFile, shardSizes, ShardWriters } from "./_shards.ts";
import type { MissingFrame, StoredFrames } from "./stored_frames.ts";

export { storedSize } from "../frames/shrink.ts";

/** 2: folders whose numbers begin at 0 are held whole. */
const VERSION = 2;
const FILES = { settings: "cache.json", index: "index.jsonl" } as const;
const SHARD_BYTES = 2 ** 30;
/** Left on the disk for what must be written after the cache: checkpoints, reports. */
const RESERVE_BYTES = 2 ** 30;

/** `cache.json`: what a cache was built for. */
const SETTINGS = z.object({
  version: z.number(),
  "data.frame_cache_side": z.number(),
  "data.modality": z.string(),
  "data.image_tmpl": z.string().nullable(),
  "data.first_frame": z.number().nullable().default(null),
});

export interface FrameCacheOptions {
  /** Created where it is missing. */
  folder: string;
  /** Frames with a longer short side are shrunk to it, in pixels. */
  side: number;
  /** What the lists name. */
  modality: ClipModality;
  /** Names of the frame files of a folder. */
  template: string;
  /** Number of a folder's first frame; null or absent: the lowest that it holds. */
  firstFrame?: number | null;
  /** Takes a warning. */
  warn?: (text: string) => void;
  /** Size at which a file of frames is full. Default 1 GiB. */
  shardBytes?: number;
  /** Bytes of the disk that are left free. Default 1 GiB. */
  reserveBytes?: number;
  /** Size from which nothing more is added. Default: any. */
  mostBytes?: number;
  /** Begin anew where the folder was built for something else. */
  renew?: boolean;
}

/** A clip in the cache. */
export interface CachedClip {
  /** Frames of its source; 0 when they cannot be counted. */
  readonly frames: number;
  readonly stored: StoredFrames;
  /** What the decoder said of a video. */
  readonly complaint: string | null;
  /** Why nothing of the clip can be used; null: something can. */
  readonly bad: string | null;
}

/** What is known of a clip beside its frames. */
export interface ClipFacts {
  path: string;
  stamp: SourceStamp;
  frames: number;
  missing?: readonly MissingFrame[];
  complaint?: string | null;
  bad?: string;
}

/** An open cache; several loaders of a process may share it. */
export class FrameCache implements AsyncDisposable {
  readonly folder: string;
  readonly side: number;
  readonly modality: ClipModality;
  readonly template: string;
  readonly #warn: (text: string) => void;
  readonly #mostBytes: number;
  readonly #index: FrameIndex;
  #sizeBytes: number;
  #writing: { shards: ShardWriters; index: FileHandle; end: number; lock: Disposable } | null = null;
  #full = false;
  #lines: Promise<unknown> = Promise.resolve();

  private constructor(options: FrameCacheOptions, index: FrameIndex, sizeBytes: number) {
    this.folder = options.folder;
    this.side = options.side;
    this.modality = options.modality;
    this.template = options.template;
    this.#warn = options.warn ?? (() => {});
    this.#mostBytes = options.mostBytes ?? Infinity;
    this.#index = index;
    this.#sizeBytes = sizeBytes;
  }

  /**
   * Opens a cache, or begins one.
   *
   * @throws {ConfigError} the folder was built for something else, or is no cache, or cannot be used
   * @example `await using cache = await FrameCache.open({ folder: "cache", side: 256, modality: "video", template })`
   */
  static async open(options: FrameCacheOptions): Promise<FrameCache> {
    const { folder } = options;
    let attempt: LockAttempt | null = null;
    try {
      await mkdir(folder, { recursive: true });
      const names = await checkFolder(folder);
      attempt = await lockIfWritable(folder);
      if (attempt.lock) await removeTemporary(folder, names.filter(isTemporary));
      await checkSettings(options, attempt.lock !== undefined);
    } catch (error) {
      attempt?.lock?.[Symbol.dispose]();
      throw writeError(folder, error);
    }
    const { lock, refusal } = attempt;
    try {
      const file = join(folder, FILES.index),
        { index, ends, end, size, lost, damaged } = await readIndex(folder);
      const cache = new FrameCache(options, index, [...ends.values()].reduce((sum, bytes) => sum + bytes, 0));
      if (lost > 0) {
        cache.#warn(
          `frame cache "${folder}": files of frames are cut short; ${lost} clips are read again`,
        );
      }
      if (damaged > 0) {
        cache.#warn(
          `frame cache "${folder}": lines of its index are damaged; ${damaged} clips are read again`,
        );
      }
      if (refusal) {
        cache.#warn(`frame cache "${folder}": ${refusal.reason}; it is read, and nothing is added to it`);
        return cache;
      }
      if (size > end) await truncate(file, end);
      const { shardBytes = SHARD_BYTES, reserveBytes = RESERVE_BYTES } = options;
      const shards = await ShardWriters.open(folder, ends, { shardBytes, reserveBytes });
      cache.#writing = { shards, index: await open(file, end > 0 ? "r+" : "w"), end, lock };
      return cache;
    } catch (error) {
      lock?.[Symbol.dispose]();
      throw writeError(folder, error);
    }
  }

  /** Clips in the cache. */
  get clips(): number {
    return this.#index.size;
  }

  /** Whether nothing more can be added to it. */
  get isFull(): boolean {
    return this.#full || this.#writing === null;
  }

  /** Size of the files of frames. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** A clip whose source is as it was when it was read. */
  find(path: string, stamp: SourceStamp): CachedClip | null {
    const entry = this.#index.get(resolve(path));
    if (entry === null) return null;
    const holds = entry.size === stamp.size && entry.mtime === stamp.mtime;
    this.#index.verify(entry.path, holds);
    return holds ? this.#clip(entry) : null;
  }

  /** The same for a source that `find` or `keep` has looked at already. */
  findKnown(path: string): CachedClip | null {
    const entry = this.#index.get(resolve(path), { verified: true });
    return entry && this.#clip(entry);
  }

  /** A place for the frames of a clip; null: nothing can be added. */
  async begin(): Promise<ClipWriter | null> {
    return await this.#write(({ shards }) => {
      if (this.#sizeBytes < this.#mostBytes) return shards.begin();
      throw new Error(`it has reached its limit of ${formatBytes(this.#mostBytes)}`);
    });
  }

  /** Adds to a clip's frames. Returns false where that is not possible; then the clip is not kept. */
  async add(writer: ClipWriter, bytes: Uint8Array, lengths: readonly number[]): Promise<boolean> {
    return await this.#write(() => writer.add(bytes, lengths).then(() => true)) ?? false;
  }

  /** Takes a clip into the index. @param writer has all its frames; null: it has none */
  async keep(facts: ClipFacts, writer: ClipWriter | null): Promise<CachedClip | null> {
    return await this.#write(async () => {
      const place = await writer?.finish() ?? { shard: 0, offset: 0, bytes: 0, stored: 0 };
      const { path, stamp, frames, missing, complaint, bad } = facts;
      const entry = {
        path: resolve(path),
        ...stamp,
        frames,
        ...place,
        missing,
        complaint: complaint ?? undefined,
        bad,
      };
      const line = this.#lines.then(() => this.#appendLine(entry));
      this.#lines = line.catch(() => {});
      await line;
      await writer?.keep();
      this.#index.set(entry);
      this.#index.verify(entry.path, true);
      this.#sizeBytes += recordBytes(entry);
      return this.#clip(entry);
    });
  }

  /** Ends the writing; readers must be done. */
  async [Symbol.asyncDispose](): Promise<void> {
    const writing = this.#writing;
    this.#writing = null;
    await this.#lines;
    await writing?.shards[Symbol.asyncDispose]();
    await writing?.index.close();
    writing?.lock[Symbol.dispose]();
  }

  async #appendLine(entry: IndexEntry): Promise<void> {
    const writing = this.#writing;
    if (writing === null) throw new Error("the cache is closed");
    const line = new TextEncoder().encode(formatEntry(entry));
    try {
      for (let done = 0; done < line.length;) {
        const { bytesWritten } = await writing.index.write(
          line,
          done,
          line.length - done,
          writing.end + done,
        );
        done += bytesWritten;
      }
    } catch (error) {
      await writing.index.truncate(writing.end).catch(() => {}); // opening cuts it off as well
      throw error;
    }
    writing.end += line.length;
  }

  /** Where something cannot be written, as on a full disk, the run goes on and nothing more is added. */
  async #write<T>(work: (writing: { shards: ShardWriters }) => Promise<T>): Promise<T | null> {
    if (this.#writing === null || this.#full) return null;
    try {
      return await work(this.#writing);
    } catch (error) {
      if (!this.#full) {
        this.#warn(
          `frame cache "${this.folder}": ${
            reasonOf(error)
          }; nothing more is added to it, and clips that it does not hold are read from their files every time`,
        );
      }
      this.#full = true;
      return null;
    }
  }

  #clip(entry: IndexEntry): CachedClip {
    const { shard, offset, bytes, stored, missing = [], complaint = null, bad = null, frames } = entry;
    const file = shardFile(this.folder, shard);
    return { frames, bad, complaint, stored: { file, offset, bytes, count: stored, missing } };
  }
}

/** A folder with other files in it is no place for a cache. Returns what is there. */
async function checkFolder(folder: string): Promise<string[]> {
  const names = await readdir(folder);
  if (names.includes(FILES.settings)) return names;
  const foreign = names.find((name) => name !== LOCK_FILE && !isTemporary(name));
  if (foreign !== undefined) {
    throw new ConfigError(
      `Cannot use data.frame_cache "${folder}": it must be a frame cache or an empty folder, it holds ${
        JSON.stringify(foreign)
      }`,
    );
  }
  return names;
}

/** The lock; a cache that cannot be written, on a read-only disk for one, is read all the same. */
async function lockIfWritable(folder: string): Promise<LockAttempt> {
  try {
    return await tryLockFolder(folder, "fill a frame cache");
  } catch (error) {
    return { refusal: { reason: reasonOf(error instanceof Error ? error.cause : error), held: false } };
  }
}

async function checkSettings(options: FrameCacheOptions, writable: boolean): Promise<void> {
  const { folder, side, modality, template, firstFrame = null } = options;
  const settings: z.infer<typeof SETTINGS> = {
    version: VERSION,
    "data.frame_cache_side": side,
    "data.modality": modality === "frames" ? "RGB" : modality,
    // Videos have no frame files.
    "data.image_tmpl": modality === "video" ? null : template,
    "data.first_frame": modality === "video" ? null : firstFrame,
  };
  const file = join(folder, FILES.settings);
  const text = await textOfFileIfAny(file);
  if (text === null) {
    if (writable) await begin(file, settings);
    return;
  }
  const found = parseJson(
    text,
    SETTINGS,
    (what) => new ConfigError(`Cannot use data.frame_cache "${folder}": ${FILES.settings}: ${what}`),
  );
  for (const key of SETTINGS.keyof().options) {
    const value = settings[key];
    if (found[key] === value) continue;
    if (options.renew && writable) return await begin(file, settings);
    throw new ConfigError(
      `Cannot use data.frame_cache "${folder}": ${key} must be ${
        JSON.stringify(found[key])
      }, for which it was ` +
        `built, current value is ${JSON.stringify(value)}; name another folder`,
    );
  }
}

/** Writes what a cache is for; an index of another one goes first, and opening cuts off what it named. */
async function begin(file: string, settings: z.infer<typeof SETTINGS>): Promise<void> {
  await rm(join(dirname(file), FILES.index), { force: true });
  await writeFileWhole(file, JSON.stringify(settings, null, 2) + "\n");
}

/**
 * Reads the index. Behind its last entry may lie what a crash has left, which is no part of it; a line among the entries that is none
 * is a clip that has been lost.
 */
async function readIndex(folder: string) {
  const index = new FrameIndex(), ends = new Map<number, number>();
  let bytes: Uint8Array;
  try {
    bytes = await bytesOfFile(join(folder, FILES.index), Infinity);
  } catch (error) {
    if ((error as { code?: unknown }).code !== "ENOENT") throw error;
    return { index, ends, end: 0, size: 0, lost: 0, damaged: 0 };
  }
  // Looked at after the index: another process may be adding to both, the frames first.
  const sizes = await shardSizes(folder), decoder = new TextDecoder();
  let end = 0, lost = 0, damaged = 0, behind = 0;
  for (let from = 0, next = bytes.indexOf(10); next >= 0; from = next + 1, next = bytes.indexOf(10, from)) {
    const entry = parseEntry(decoder.decode(bytes.subarray(from, next)));
    if (entry === null) {
      behind++;
      continue;
    }
    damaged += behind;
    behind = 0;
    end = next + 1;
    const { shard, offset, stored } = entry, last = offset + recordBytes(entry);
    if (stored > 0) ends.set(shard, Math.max(ends.get(shard) ?? 0, last));
    if (stored === 0 || last <= (sizes.get(shard) ?? 0)) index.set(entry);
    else lost++;
  }
  return { index, ends, end, size: bytes.length, lost, damaged };
}
