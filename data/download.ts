/**
 * A file from the network: fetched beside its place, gone on with where a connection or a process broke off, checked as a whole
 * against its SHA-256 and only then renamed to its name. Nothing that was not checked ever stands under that name.
 *
 * What is there of a download lies in `NAME.partial`, what it is of in `NAME.partial.json`. A part is gone on with if the server
 * still has the same file (`If-Range`), and the SHA-256 of the whole decides in the end. Proxies are those of the environment
 * (`HTTPS_PROXY`, `NO_PROXY`), which `fetch` follows.
 */
import { createHash } from "node:crypto";
import { type FileHandle, open, rename, rm, stat, statfs } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { DataError } from "../lib/errors.ts";
import { formatBytes } from "../lib/text.ts";
import { isTemporary, namesIn, reasonOf, textOfFile, writeError, writeFileWhole } from "./files.ts";
import { removeTemporary, waitForFolder } from "./folder_lock.ts";

/** What to fetch, and what it must be. */
export interface DownloadOptions {
  /** SHA-256 of the whole file, in hexadecimal. */
  sha256: string;
  signal?: AbortSignal;
  /** @param total null: the server does not say it */
  onProgress?: (done: number, total: number | null) => void;
  /** A remark in one line: another process fetches, a connection broke off. */
  onNote?: (text: string) => void;
  /** Time without a byte after which a connection counts as broken. */
  stallMs?: number;
  /** Wait before the second try; the next ones wait twice as long each. */
  retryMs?: number;
}

/** The file cannot be had from the network now: there is none, or the server does not answer. What is there of it is kept. */
export class NetworkError extends DataError {
  override name = "NetworkError";
}

/** Tries in a row that bring no new byte. */
const IDLE_TRIES = 3;
const STALL_MS = 60_000;
/** Time that a server has for its first answer. */
const ANSWER_MS = 15_000;
const RETRY_MS = 500;
/** No file of weights is larger; an answer without an end is. */
const MOST_BYTES = 2 ** 36;
/** Left free on a disk beside what is fetched. */
const SPARE_BYTES = 2 ** 26;
const CHECK_PIECE = 2 ** 22;

/** What `NAME.partial` is a part of. */
interface PartOf {
  address: string;
  /** Strong ETag, or the date of the last change; null: the server gives neither. */
  validator: string | null;
  total: number | null;
}

/**
 * Fetches a file to a path where nothing is yet, or waits for another process that does.
 *
 * @throws {NetworkError} where the address cannot be reached
 * @throws {DataError} where the server refuses, the disk has no room, or the file is not what it must be
 * @example `await download(address, "weights/ViT-B-16.pt", { sha256 })`
 */
export async function download(address: string, path: string, options: DownloadOptions): Promise<void> {
  const { signal, onNote } = options;
  const { lock } = await waitForFolder(dirname(path), `fetch ${basename(path)}`, {
    signal,
    onWait: (holder) => onNote?.(`waiting for "${dirname(path)}": ${holder}`),
  });
  using _ = lock;
  const part = `${path}.partial`;
  const names = await namesIn(dirname(path));
  await removeTemporary(
    dirname(path),
    names.filter((name) => isTemporary(name) && name.startsWith(basename(part))),
  );
  if (await exists(path)) return await discard(part); // the other process has fetched it
  for (let again = false;; again = true) {
    const resumed = await fetchPart(address, part, options);
    const sha256 = await hashOf(part, signal);
    if (sha256 === options.sha256) break;
    await discard(part);
    // A part of an earlier version, or one that the disk lost: the whole from one answer tells.
    if (resumed && !again) {
      onNote?.(`what was there of "${basename(path)}" is damaged: it is fetched anew`);
      continue;
    }
    throw new DataError(
      `Cannot use "${address}": its SHA-256 must be ${options.sha256}, current value is ${sha256}; nothing of it was kept`,
    );
  }
  try {
    await rename(part, path);
  } catch (error) {
    throw writeError(path, error);
  }
  await rm(describing(part), { force: true });
}

const describing = (part: string) => `${part}.json`;

async function discard(part: string): Promise<void> {
  await rm(part, { force: true });
  await rm(describing(part), { force: true });
}

/** Fetches until the part is whole. @returns whether it is made of more than one answer */
async function fetchPart(address: string, part: string, options: DownloadOptions): Promise<boolean> {
  const { signal, onNote, retryMs = RETRY_MS } = options;
  let resumed = false;
  for (let idle = 0;;) {
    const { of, bytes } = await partOf(address, part);
    if (of !== null && bytes === of.total) return true;
    const before = bytes;
    try {
      const end = await fetchOnce(address, part, { of, bytes }, options);
      return resumed || end.resumed;
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof BrokenOff)) throw error;
      const now = (await partOf(address, part)).bytes;
      resumed = resumed || now > 0;
      idle = now > before ? 0 : idle + 1;
      if (idle >= IDLE_TRIES) throw new NetworkError(`Cannot fetch "${address}": ${error.message}`);
      onNote?.(
        now > 0
          ? `${error.message} at ${formatBytes(now)}: going on from there`
          : `${error.message}: trying again`,
      );
      await pause(retryMs * 2 ** Math.max(0, idle - 1), signal);
    }
  }
}

/** A connection that did not come about or broke off; another try may go on. */
class BrokenOff extends Error {}

/** One answer of the server, written behind what is there. */
async function fetchOnce(
  address: string,
  part: string,
  { of, bytes }: { of: PartOf | null; bytes: number },
  options: DownloadOptions,
): Promise<{ resumed: boolean }> {
  const { signal, onProgress, stallMs = STALL_MS } = options;
  const watch = new AbortController();
  const stop = () => watch.abort(signal?.reason);
  signal?.addEventListener("abort", stop, { once: true });
  let timer: ReturnType<typeof setTimeout> | undefined;
  let silence = Math.min(ANSWER_MS, stallMs);
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(() => watch.abort(), silence);
  };
  let file: FileHandle | undefined, body: ReadableStream<Uint8Array> | null = null;
  try {
    alive();
    const headers: Record<string, string> = { "accept-encoding": "identity" };
    if (of !== null && bytes > 0) {
      headers.range = `bytes=${bytes}-`;
      if (of.validator !== null) headers["if-range"] = of.validator;
    }
    const answer = await ask(address, { headers, signal: watch.signal });
    body = answer.body;
    silence = stallMs;
    alive();
    const place = placeOf(answer, { of, bytes, address });
    if (place === null) { // the range is beyond the server's file, which is another one now
      await discard(part);
      throw new BrokenOff("the file has changed on the server");
    }
    const { start, total } = place;
    await requireRoom(part, { total, start });
    const validator = validatorOf(answer);
    if (start === 0) await rm(part, { force: true });
    await writeFileWhole(describing(part), JSON.stringify({ address, validator, total } satisfies PartOf));
    file = await opened(part);
    let at = start;
    onProgress?.(at, total);
    for await (const chunk of body ?? []) {
      alive();
      if (at + chunk.length > (total ?? MOST_BYTES)) {
        await discard(part);
        throw new DataError(
          `Cannot fetch "${address}": the server must send ${
            total ?? MOST_BYTES
          } bytes at most, it sends more`,
        );
      }
      await written(file, chunk, { at, part });
      at += chunk.length;
      onProgress?.(at, total);
    }
    if (total !== null && at < total) throw new BrokenOff("the connection broke off");
    await file.sync();
    return { resumed: start > 0 };
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof BrokenOff || error instanceof DataError) throw error;
    if (watch.signal.aborted) throw new BrokenOff(`the server sent nothing for ${silence / 1000} s`);
    if (file !== undefined && isOfNetwork(error)) throw new BrokenOff("the connection broke off");
    throw error;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
    await body?.cancel().catch(() => {}); // it may have ended, or be broken
    await file?.close();
  }
}

/** An answer to a request, whatever its status. */
async function ask(address: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(address, init);
  } catch (error) {
    if ((error as Error).name === "NotCapable") {
      const host = /access to "([^"]+)"/.exec((error as Error).message)?.[1] ?? "another host";
      throw new NetworkError(
        `Cannot fetch "${address}": it leads to ${host}, which this tool may not reach (docs/security.md)`,
      );
    }
    if (!isOfNetwork(error)) throw error;
    throw new BrokenOff(networkReason(error as Error));
  }
}

/** `fetch` has one kind of error for all that happens to a connection. */
function isOfNetwork(error: unknown): boolean {
  return error instanceof TypeError || error instanceof Deno.errors.Http ||
    error instanceof Deno.errors.ConnectionReset || error instanceof Deno.errors.UnexpectedEof ||
    /\b(error (sending|decoding|reading)|connection|body)\b/i.test((error as Error).message);
}

/** The end of a chain in an error or its cause, such as "error sending request …: client error (Connect): dns error: …: Name or service not known". */
function networkReason(error: Error): string {
  const { message } = error.cause instanceof Error ? error.cause : error;
  const last = message.split(": ").at(-1)!.replace(/ \(os error \d+\)$/, "");
  return `the server cannot be reached (${last.slice(0, 120)})`;
}

/**
 * Where an answer's bytes belong, and how many there are in all.
 *
 * @returns null where the range that was asked for is not in the file
 */
function placeOf(
  answer: Response,
  { of, bytes, address }: { of: PartOf | null; bytes: number; address: string },
): { start: number; total: number | null } | null {
  const { status, headers } = answer;
  if (status === 200) return { start: 0, total: lengthOf(headers) };
  if (status === 206 && bytes > 0) {
    const [, first, last, all] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(headers.get("content-range") ?? "") ??
      [];
    const total = all === undefined || all === "*" ? of?.total ?? null : Number(all);
    const fits = Number(first) === bytes && Number(last) >= bytes &&
      (total === null || Number(last) === total - 1) && (of?.total ?? total) === total;
    return fits ? { start: bytes, total } : null;
  }
  if (status === 416 && bytes > 0) return null;
  const text = `the server answers ${status}${answer.statusText === "" ? "" : ` ${answer.statusText}`}`;
  if (status === 429 || status >= 500) throw new BrokenOff(text);
  throw new DataError(`Cannot fetch "${address}": ${text}`);
}

function lengthOf(headers: Headers): number | null {
  const length = headers.get("content-length");
  // The length of what is encoded is not that of the file.
  if (length === null || !/^\d+$/.test(length) || headers.has("content-encoding")) return null;
  return Number(length);
}

/** What tells a version of the server's file; weak tags do not promise the same bytes. */
function validatorOf({ headers }: Response): string | null {
  const etag = headers.get("etag");
  return etag !== null && !etag.startsWith("W/") ? etag : headers.get("last-modified");
}

/** What is there of an address's file; nothing of another's. */
async function partOf(address: string, part: string): Promise<{ of: PartOf | null; bytes: number }> {
  const nothing = { of: null, bytes: 0 };
  const info = await stat(part).catch(() => null);
  if (!info?.isFile()) return nothing;
  try {
    const of = JSON.parse(await textOfFile(describing(part))) as Partial<PartOf>;
    const { validator = null, total = null } = of;
    if (of.address !== address || total !== null && info.size > total) return nothing;
    return { of: { address, validator, total }, bytes: info.size };
  } catch {
    return nothing;
  }
}

/** Refuses to begin what the disk cannot take. */
async function requireRoom(
  part: string,
  { total, start }: { total: number | null; start: number },
): Promise<void> {
  if (total === null) return;
  const { bavail, bsize } = await statfs(dirname(part));
  const needed = total - start + SPARE_BYTES, free = bavail * bsize;
  if (needed <= free) return;
  throw new DataError(
    `Cannot write "${part}": ${formatBytes(needed)} must be free, the disk has ${
      formatBytes(free)
    }; make room and try again`,
  );
}

async function opened(part: string): Promise<FileHandle> {
  try {
    return await open(part, (await exists(part)) ? "r+" : "w");
  } catch (error) {
    throw writeError(part, error);
  }
}

async function written(
  file: FileHandle,
  chunk: Uint8Array,
  { at, part }: { at: number; part: string },
): Promise<void> {
  try {
    for (let done = 0; done < chunk.length;) {
      done += (await file.write(chunk, done, chunk.length - done, at + done)).bytesWritten;
    }
  } catch (error) {
    throw writeError(part, error, "what is there of it is kept");
  }
}

async function hashOf(path: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  let file: FileHandle | undefined;
  try {
    file = await open(path, "r");
    const piece = new Uint8Array(CHECK_PIECE);
    for (;;) {
      signal?.throwIfAborted();
      const { bytesRead } = await file.read(piece, 0, piece.length, null);
      if (bytesRead === 0) return hash.digest("hex");
      hash.update(piece.subarray(0, bytesRead));
    }
  } catch (error) {
    signal?.throwIfAborted();
    throw new DataError(`Cannot read "${path}": ${reasonOf(error)}`);
  } finally {
    await file?.close();
  }
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(() => true, () => false);
}

function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal!.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
