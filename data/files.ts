/**
 * Files on disk: random-access reading, and writing whole (temporary name, fsync, rename), so that a crash or a full disk
 * never leaves half a file under the real name and never costs the previous one.
 */
import { rmSync } from "node:fs";
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { constants } from "node:os";
import process from "node:process";
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
    await requireEnd(path);
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
 * Refuses what reading would not come to an end of: a pipe that nobody writes to is waited for as soon as it is opened, a device
 * gives bytes for ever. Every file that a user names is asked for here first. Pipes in /dev are those of a shell, which writes.
 *
 * @throws {Error} of the system, or that it must be a file; for `readError`
 */
export async function requireEnd(path: string): Promise<void> {
  const info = await stat(path);
  const kind = info.isFIFO()
    ? path.startsWith("/dev/") ? null : "a pipe"
    : info.isSocket()
    ? "a socket"
    : info.isCharacterDevice() || info.isBlockDevice()
    ? "a device"
    : null;
  if (kind === null) return;
  throw Object.assign(new Error(`it must be a file, current value is ${kind}`), { code: "NO_FILE" });
}

/** No list or record is larger; a runtime's text has no more than 2^29 characters. */
const MOST_TEXT_BYTES = 500_000_000;
const READ_BYTES = 2 ** 16;

/**
 * The bytes of a whole file.
 *
 * @param most Bytes that it may have.
 * @throws {Error} of the system, or of what it must be; for `readError`
 */
export async function bytesOfFile(path: string, most = MOST_TEXT_BYTES): Promise<Uint8Array<ArrayBuffer>> {
  await requireEnd(path);
  await using file = await open(path, "r");
  const { size } = await file.stat();
  let bytes = new Uint8Array(size > most ? 0 : size + 1), filled = 0;
  for (;;) {
    if (size > most || filled > most) {
      const current = size > most ? `current size is ${size}` : "it has more";
      throw Object.assign(new Error(`it must have at most ${most} bytes, ${current}`), { code: "TOO_LARGE" });
    }
    if (filled === bytes.length) { // a shell's pipe, or a file that grows
      const larger = new Uint8Array(2 * bytes.length + READ_BYTES);
      larger.set(bytes);
      bytes = larger;
    }
    const { bytesRead } = await file.read(bytes, filled, bytes.length - filled, null);
    if (bytesRead === 0) return bytes.subarray(0, filled);
    filled += bytesRead;
  }
}

/**
 * Writes a file whole: the chunks go to a temporary file beside it, of a name that no other process uses, which is synced to
 * disk and then renamed. If anything fails the temporary file is removed and a previous file of that name is untouched.
 * Missing folders are created.
 *
 * @throws {DataError} where the file cannot be written, with the cause and what to do
 */
export async function writeFileWhole(
  path: string,
  chunks: string | Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<void> {
  const partial = temporaryName(path);
  const parts = typeof chunks === "string"
    ? [new TextEncoder().encode(chunks)]
    : chunks instanceof Uint8Array
    ? [chunks]
    : chunks;
  let handle: FileHandle | undefined;
  unfinished.add(partial);
  try {
    await mkdir(dirname(path), { recursive: true });
    handle = await open(partial, "wx");
    for await (const chunk of parts) await writeAll(handle, chunk);
    await handle.sync();
    await handle.close();
    handle = undefined;
    await rename(partial, path);
  } catch (error) {
    await handle?.close().catch(() => {}); // the first error is the one to tell
    await rm(partial, { force: true }).catch(() => {});
    throw writeError(path, error, "a previous file of this name is unchanged");
  } finally {
    unfinished.delete(partial);
  }
  await syncFolder(dirname(path));
}

/** Temporary files that this process is writing. */
const unfinished = new Set<string>();

/** Removes the temporary files that are being written. For a process that ends in the middle of that. */
export function discardUnfinished(): void {
  for (const path of unfinished) rmSync(path, { force: true });
}

/** A name beside `path` for what is not whole yet, which no other process and no other call uses. */
export function temporaryName(path: string): string {
  return `${path}.${process.pid}-${crypto.randomUUID().slice(0, 8)}.partial`;
}

/** Whether a name is one of `temporaryName`'s. In a locked folder it is what a process left that died while it wrote. */
export function isTemporary(name: string): boolean {
  return /\.\d+-[0-9a-f]{8}\.partial$/.test(name);
}

/**
 * The error of a write that failed: path, cause, what to do. What is no error of the system is returned as it is.
 *
 * @param kept What holds all the same, such as that an earlier file is unchanged.
 */
export function writeError(path: string, error: unknown, kept?: string): unknown {
  const code = systemCode(error);
  if (code === null) return error;
  const parts = [reasonOf(error), ...[kept, REMEDIES[code]].filter((part) => part !== undefined)];
  return new DataError(`Cannot write "${path}": ${parts.join("; ")}`, { cause: error });
}

/** The error of a read that failed: path, cause, what to do. What is no error of the system is returned as it is. */
export function readError(path: string, error: unknown): unknown {
  if (systemCode(error) === null) return error;
  return new DataError(`Cannot read "${path}": ${withRemedy(error, READ_REMEDIES)}`, { cause: error });
}

/** Does what reads a path, with the error of a read that failed. */
export async function reading<T>(path: string, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw readError(path, error);
  }
}

/**
 * The text of a file.
 *
 * @param most Bytes that it may have.
 * @throws {DataError} where it cannot be read, with the cause and what to do
 */
export async function textOfFile(path: string, most?: number): Promise<string> {
  return await reading(path, async () => new TextDecoder().decode(await bytesOfFile(path, most)));
}

/** The text of a file; null where there is none. @throws {DataError} as `textOfFile` */
export async function textOfFileIfAny(path: string): Promise<string | null> {
  try {
    return await textOfFile(path);
  } catch (error) {
    if (systemCode((error as Error).cause) === "ENOENT") return null;
    throw error;
  }
}

/**
 * What a cache file of JSON holds; null without one, and where it cannot be read: what a cache holds can be made again.
 *
 * @param parse Throws where it is not what is kept there.
 * @param tell Told in a clause what is wrong with the file.
 */
export async function cachedJson<T>(
  path: string,
  parse: (json: unknown) => T,
  tell: (problem: string) => void,
): Promise<T | null> {
  try {
    const text = await textOfFileIfAny(path);
    return text === null ? null : parse(JSON.parse(text));
  } catch (error) {
    tell(error instanceof DataError ? error.message : `"${path}" is damaged`);
    return null;
  }
}

/** The names in a folder. @throws {DataError} where it cannot be read, with the cause and what to do */
export async function namesIn(path: string): Promise<string[]> {
  return await reading(path, () => readdir(path));
}

/** An error of the system that nothing has told in one line yet, told with the path that it names. Others stay as they are. */
export function toldError(error: unknown): unknown {
  if (!(error instanceof Error) || "exitCode" in error || systemCode(error) === null) return error;
  const named = /access to "(.*)", run again |[,:] \w+ '(.*)'$/.exec(error.message),
    path = named?.[1] ?? named?.[2];
  if (path === undefined) return error;
  return new DataError(`Cannot use "${path}": ${withRemedy(error, READ_REMEDIES)}`, { cause: error });
}

/** Does what writes to a path, with the error of a write that failed. */
export async function writing<T>(path: string, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw writeError(path, error);
  }
}

/**
 * Refuses a folder that results could not be written to, before the work is done. A missing one is not made yet.
 *
 * @throws {DataError} where a file is in its place, or nothing can be written there
 */
export async function requireWritableFolder(path: string): Promise<void> {
  const refuse = (error: unknown) =>
    new DataError(`Cannot write to "${path}": ${withRemedy(error, REMEDIES)}`, { cause: error });
  let at = resolve(path);
  for (;;) {
    const info = await stat(at).catch((error) => {
      if (systemCode(error) === "ENOENT" && at !== dirname(at)) return null;
      throw refuse(error);
    });
    if (info?.isDirectory() === false) {
      throw refuse(new Error("it must be a folder, current value is a file"));
    }
    if (info) break;
    at = dirname(at);
  }
  const probe = temporaryName(join(at, ".sidenet"));
  try {
    await (await open(probe, "wx")).close();
  } catch (error) {
    throw refuse(error);
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
    if (systemCode(error) === null) throw error;
  }
}

/** The code of an error of the operating system, such as "ENOSPC"; null: it is another error. */
function systemCode(error: unknown): string | null {
  if (!(error instanceof Error)) return null;
  const { code } = error as { code?: unknown };
  if (typeof code === "string") return code;
  if (isKeptOut(error)) return KEPT_OUT;
  const number = /\(os error (\d+)\)/.exec(error.message)?.[1]; // not all of them come with a code
  return number === undefined ? null : CODES.get(Number(number)) ?? "UNKNOWN";
}

/** In place of a system's code: Deno lets no program at /proc, /dev and /sys that may not do everything, whatever it may read. */
const KEPT_OUT = "KEPT_OUT";

function isKeptOut({ name, message }: Error): boolean {
  return name === "NotCapable" && /^Requires (all|read|write) access to /.test(message);
}

const CODES = new Map(Object.entries(constants.errno).map(([code, number]) => [number, code]));

const REASONS: Record<string, string> = {
  ENOENT: "it does not exist",
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is used up",
  EACCES: "permission is denied",
  EPERM: "the operation is not permitted",
  EROFS: "the file system is read-only",
  EEXIST: "a file of that name is there",
  EISDIR: "it is a folder",
  ENOTDIR: "a part of the path is not a folder",
  ENOTEMPTY: "a folder that is not empty is there",
  ELOOP: "its symbolic links lead back to themselves",
  EFBIG: "the file would be larger than the system allows (ulimit -f)",
  EIO: "the disk reports an error",
  EMFILE: "the process has too many files open (ulimit -n)",
  ENAMETOOLONG: "the name is too long",
  [KEPT_OUT]: "this tool has no access to the system's own files; choose another folder",
};

/** What to do where something cannot be written. */
const REMEDIES: Record<string, string> = {
  ENOENT: "choose another folder", // missing folders are made: this is none that anybody can make
  ENOSPC: "make room (bytes, and places for files) and try again",
  EDQUOT: "make room and try again",
  EACCES: "change the permissions or choose another folder",
  EPERM: "choose another folder",
  EROFS: "choose a folder on another file system",
  EEXIST: "remove it or choose another name",
  EISDIR: "choose another name",
  ENOTDIR: "choose another folder",
  ENOTEMPTY: "choose another name",
  EFBIG: "raise the limit and try again",
  EIO: "choose a folder on another disk",
  EMFILE: "raise the limit and try again",
  ENAMETOOLONG: "choose a shorter name",
};

/** What to do where something cannot be read. */
const READ_REMEDIES: Record<string, string> = {
  EACCES: "change the permissions",
  EISDIR: "put the file in its place",
  EMFILE: "raise the limit and try again",
};

/** What went wrong and what to do. */
function withRemedy(error: unknown, remedies: Readonly<Record<string, string>>): string {
  const remedy = remedies[systemCode(error) ?? ""];
  return remedy === undefined ? reasonOf(error) : `${reasonOf(error)}; ${remedy}`;
}

/** What went wrong, in words, for one line of an error message. */
export function reasonOf(error: unknown): string {
  const reason = REASONS[systemCode(error) ?? ""];
  return reason ?? (error instanceof Error ? error.message : String(error));
}
