/**
 * One folder, one process that writes it. The lock is the operating system's (`flock`) on a file `lock` in the folder, so that it
 * ends with its holder however that dies; the file says who holds it. Network file systems: NFS and SMB pass the lock on to the
 * server, so that it holds between machines; a file system without locks gives none, which is told.
 */
import { mkdir, rm, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { DataError, InterruptedError } from "../lib/errors.ts";
import { reasonOf, textOfFile, writeError } from "./files.ts";

/** Name of the lock's file in its folder; not there where nobody holds it. */
export const LOCK_FILE = "lock";
/** Between two looks at a lock that another process holds. */
const POLL_MS = 100;

/** Who holds a lock. */
interface Holder {
  pid: number;
  /** null where it may not be asked for. */
  host: string | null;
  /** ISO 8601. */
  since: string;
  /** What is done there, such as "train". */
  what: string;
}

/** A lock that is held, or why there is none: another process holds it, or the folder takes no locks. */
export type LockAttempt =
  | { lock: FolderLock; refusal?: undefined }
  | { lock?: undefined; refusal: { reason: string; held: boolean } };

/** A folder that no other process writes, until the lock is disposed. */
export class FolderLock implements Disposable {
  readonly #file: Deno.FsFile | null;
  readonly #path: string;
  readonly #made: string | undefined;
  /** Why the folder could not be locked, for a warning; null: it is. */
  readonly warning: string | null;

  /**
   * @param path The lock's file.
   * @param file The same, open and locked; null: the file system has no locks.
   * @param options.made The first of the folders that were made for it.
   */
  constructor(
    path: string,
    file: Deno.FsFile | null,
    options: { made?: string; warning?: string } = {},
  ) {
    this.#path = path;
    this.#file = file;
    this.#made = options.made;
    this.warning = options.warning ?? null;
  }

  [Symbol.dispose](): void {
    if (this.#file === null) return;
    // Removed while it is held: whoever waits for this file sees that it is gone and begins again.
    try {
      Deno.removeSync(this.#path);
    } catch {
      // the folder may be gone, or the system keeps open files; an old file means nothing
    }
    this.#file.close();
    if (this.#made !== undefined) removeIfEmpty(dirname(this.#path), this.#made);
  }
}

/** Removes folders that were made for what did not come: the inner one, and those around it up to the first that was made. */
function removeIfEmpty(folder: string, first: string): void {
  try {
    for (let at = resolve(folder);; at = dirname(at)) {
      Deno.removeSync(at);
      if (at === resolve(first)) return;
    }
  } catch {
    // something is in it
  }
}

/**
 * Locks a folder, which is created where it is missing.
 *
 * @param what what the holder does, for others to read
 * @throws {DataError} another process holds it, or the folder cannot be written
 * @example `using lock = await lockFolder("features", "extract")`
 */
export async function lockFolder(folder: string, what: string): Promise<FolderLock> {
  const { lock, refusal } = await tryLockFolder(folder, what);
  if (lock) return lock;
  if (refusal.held) {
    throw new DataError(
      `Cannot write to "${folder}": ${refusal.reason}; wait until it is done, end it, or use another folder`,
    );
  }
  return new FolderLock(folder, null, {
    warning: `"${folder}" cannot be locked (${refusal.reason}): let no other process write to it`,
  });
}

/**
 * Locks a folder, waiting for another process that holds it.
 *
 * @param options.onWait called once with who holds it
 * @returns the lock, and whether it had to be waited for
 */
export async function waitForFolder(
  folder: string,
  what: string,
  options: { signal?: AbortSignal; onWait?: (holder: string) => void } = {},
): Promise<{ lock: FolderLock; waited: boolean }> {
  for (let waited = false;; waited = true) {
    const { lock, refusal } = await tryLockFolder(folder, what);
    if (lock) return { lock, waited };
    if (!refusal.held) return { lock: new FolderLock(folder, null), waited };
    if (!waited) options.onWait?.(refusal.reason);
    if (options.signal?.aborted) throw new InterruptedError(`Cannot write to "${folder}": interrupted`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** Locks a folder if that is possible now. */
export async function tryLockFolder(folder: string, what: string): Promise<LockAttempt> {
  const path = join(folder, LOCK_FILE);
  let made: string | undefined;
  for (;;) {
    let file: Deno.FsFile;
    try {
      made = await mkdir(folder, { recursive: true }) ?? made;
      file = await Deno.open(path, { read: true, write: true, create: true });
    } catch (error) {
      throw writeError(path, error);
    }
    try {
      if (!await file.tryLock(true)) {
        const reason = await describeHolder(path);
        file.close();
        return { refusal: { reason, held: true } };
      }
    } catch (error) {
      file.close();
      return { refusal: { reason: reasonOf(error), held: false } };
    }
    if (!await isStill(path, file)) { // its last holder removed it between the two calls above
      file.close();
      continue;
    }
    try {
      await file.truncate();
      await file.write(new TextEncoder().encode(JSON.stringify(holderOf(what)) + "\n"));
    } catch {
      // a full disk: the lock holds all the same, only its holder's name is missing
    }
    return { lock: new FolderLock(path, file, { made }) };
  }
}

/**
 * Looks at a folder's lock without taking it.
 *
 * @returns "held": a process is writing there; "left": its last holder died; "free": nobody holds it; "unknown": the file system has no
 * locks, or the file cannot be read.
 */
export async function lockStateOf(folder: string): Promise<"held" | "left" | "free" | "unknown"> {
  let file: Deno.FsFile;
  try {
    file = await Deno.open(join(folder, LOCK_FILE), { read: true });
  } catch (error) {
    return error instanceof Deno.errors.NotFound ? "free" : "unknown";
  }
  try {
    return await file.tryLock(false) ? "left" : "held";
  } catch {
    return "unknown";
  } finally {
    file.close();
  }
}

/** Whether the path names the open file. */
async function isStill(path: string, file: Deno.FsFile): Promise<boolean> {
  const [named, open] = await Promise.all([stat(path).catch(() => null), file.stat()]);
  return named !== null && named.ino === open.ino && named.dev === open.dev;
}

function holderOf(what: string): Holder {
  const mayAsk = Deno.permissions.querySync({ name: "sys", kind: "hostname" }).state === "granted";
  return { pid: Deno.pid, host: mayAsk ? Deno.hostname() : null, since: new Date().toISOString(), what };
}

async function describeHolder(path: string): Promise<string> {
  let holder: Partial<Holder> | null = null;
  for (let look = 0; holder === null && look < 3; look++) {
    if (look > 0) await new Promise((resolve) => setTimeout(resolve, POLL_MS)); // it may have had no time yet to say so
    try {
      holder = JSON.parse(await textOfFile(path));
    } catch {
      holder = null;
    }
  }
  if (typeof holder?.pid !== "number") return "another process is writing to it";
  const { pid, host, since, what } = holder;
  const where = typeof host === "string" ? ` on ${host}` : "";
  return `process ${pid}${where} is writing to it (${String(what)}, since ${String(since).slice(0, 19)}Z)`;
}

/** Removes what processes left behind that died in the middle of writing. Only for a folder that is locked. */
export async function removeTemporary(folder: string, names: readonly string[]): Promise<void> {
  for (const name of names) await rm(join(folder, name), { recursive: true, force: true });
}
