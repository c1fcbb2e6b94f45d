/**
 * Files on disk: random-access reading, and writing whole (temporary name, fsync, rename), so that a crash or a full disk
 * never leaves half a file under the real name and never costs the previous one.
 */
import { type FileHandle, mkdir, open, rename, rm, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { DataError } from "../lib/errors.ts";
import type { RangeSource } from "./checkpoint/safetensors.ts";

/** A file open for random access; close it when done (`await using` does). */
export interface FileRange extends RangeSource, AsyncDisposable {
  close(): Promise<void>;
}

/**
 * Opens a file for random access.
 *
 * @example `await using range = await fileRange("vit.safetensors")`
 */
export async function fileRange(path: string): Promise<FileRange> {
  let handle: FileHandle | undefined;
  let sizeBytes: number;
  try {
    handle = await open(path, "r");
    const info = await handle.stat();
    if (!info.isFile()) throw new Error("it must be a file");
    sizeBytes = info.size;
  } catch (error) {
    await handle?.close();
    throw new DataError(`Cannot open "${path}": ${reasonOf(error)}`);
  }
  const file = handle;
  const close = () => file.close();
  return {
    sizeBytes,
    close,
    [Symbol.asyncDispose]: close,
    async read(offset, length) {
      const bytes = new Uint8Array(length);
      for (let filled = 0; filled < length;) {
        const { bytesRead } = await file.read(bytes, filled, length - filled, offset + filled);
        if (bytesRead === 0) {
          throw new DataError(
            `Cannot read "${path}": it must have ${offset + length} bytes, it ended at ${offset + filled}`,
          );
        }
        filled += bytesRead;
      }
      return bytes;
    },
  };
}

/**
 * Writes a file whole: the chunks go to `<path>.partial`, which is synced to disk and then renamed. If anything fails the
 * temporary file is removed and a previous file of that name is untouched. Missing folders are created.
 */
export async function writeFileWhole(
  path: string,
  chunks: string | Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<void> {
  const partial = `${path}.partial`;
  const parts = typeof chunks === "string"
    ? [new TextEncoder().encode(chunks)]
    : chunks instanceof Uint8Array
    ? [chunks]
    : chunks;
  let handle: FileHandle | undefined;
  try {
    await mkdir(dirname(path), { recursive: true });
    handle = await open(partial, "w");
    for await (const chunk of parts) await writeAll(handle, chunk);
    await handle.sync();
    await handle.close();
    handle = undefined;
    await rename(partial, path);
  } catch (error) {
    await handle?.close().catch(() => {}); // the first error is the one to tell
    await rm(partial, { force: true }).catch(() => {});
    if (!isSystemError(error)) throw error;
    throw new DataError(
      `Cannot write "${path}": ${reasonOf(error)}; a previous file of this name is unchanged`,
    );
  }
  await syncFolder(dirname(path));
}

/**
 * Refuses a folder that results could not be written to, before the work is done. A missing one is not made yet.
 *
 * @throws {DataError} where a file is in its place, or nothing can be written there
 */
export async function requireWritableFolder(path: string): Promise<void> {
  const refuse = (reason: string) => new DataError(`Cannot write to "${path}": ${reason}`);
  let at = resolve(path);
  for (;;) {
    const info = await stat(at).catch((error) => {
      if (isSystemError(error) && error.code === "ENOENT" && at !== dirname(at)) return null;
      throw refuse(reasonOf(error));
    });
    if (info?.isDirectory() === false) throw refuse("it must be a folder, current value is a file");
    if (info) break;
    at = dirname(at);
  }
  const probe = join(at, `.sidenet-${crypto.randomUUID()}.partial`);
  try {
    await (await open(probe, "wx")).close();
  } catch (error) {
    throw refuse(reasonOf(error));
  }
  await rm(probe, { force: true });
}

async function writeAll(handle: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let written = 0; written < chunk.length;) {
    const { bytesWritten } = await handle.write(chunk, written, chunk.length - written);
    written += bytesWritten;
  }
}

/** Makes the rename itself durable. Some file systems cannot sync a folder; the data is safe there all the same. */
async function syncFolder(path: string): Promise<void> {
  try {
    const folder = await open(path, "r");
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  } catch (error) {
    if (!isSystemError(error)) throw error;
  }
}

function isSystemError(error: unknown): error is Error & { code: string } {
  return error instanceof Error && typeof (error as { code?: unknown }).code === "string";
}

const REASONS: Record<string, string> = {
  ENOENT: "it does not exist",
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is used up",
  EACCES: "permission is denied",
  EROFS: "the file system is read-only",
  EEXIST: "a file of that name is there",
  EISDIR: "it is a folder",
  ENOTDIR: "a part of the path is not a folder",
  ELOOP: "its symbolic links lead back to themselves",
};

/** What went wrong, in words, for one line of an error message. */
export function reasonOf(error: unknown): string {
  if (isSystemError(error) && REASONS[error.code]) return REASONS[error.code];
  return error instanceof Error ? error.message : String(error);
}
