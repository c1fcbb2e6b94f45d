/**
 * Reader of the ZIP archives that PyTorch writes: ZIP64 where a file needs it, tensors stored without compression and so
 * readable by range; compressed entries (the code of a TorchScript archive) can be listed, not read (APPNOTE.TXT, https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT).
 *
 * Only the directory is read when an archive is opened. Everything it claims is checked against the size of the file before
 * anything is allocated: ranges lie inside the file, no two entries overlap, names are unique.
 */
import { crc32 as plainCrc32 } from "../../lib/crc32.ts";
import { DataError } from "../../lib/errors.ts";
import { shorten } from "../../lib/text.ts";
import type { RangeSource } from "./safetensors.ts";

/** One stored file of an archive. */
export interface ZipEntry {
  readonly name: string;
  readonly sizeBytes: number;
  /** How it is compressed; null: it is not. */
  readonly compression: string | null;
  /** Checksum of the contents; 0 in archives written without checksums. */
  readonly crc32: number;
  /** Where its local header starts. */
  readonly headerOffset: number;
  /** Where the next entry, or the directory, starts: its contents end before. */
  readonly limit: number;
  /** Bytes of its contents in the archive. */
  readonly packedBytes: number;
}

/** An open archive. */
export interface ZipArchive {
  /** Entries by name, in the order of the directory. */
  readonly entries: ReadonlyMap<string, ZipEntry>;
  /**
   * Bytes of an entry, all by default. A whole entry is checked against its checksum.
   *
   * @throws {DataError} when the entry lies elsewhere than the directory says, or is damaged.
   */
  read(entry: ZipEntry, range?: { offset: number; length: number }): Promise<Uint8Array>;
}

/** The platform's own checksum where it has one, which is twenty times as quick; a browser page has none. */
const crc32: (bytes: Uint8Array) => number =
  (globalThis as { process?: { getBuiltinModule?(name: string): { crc32: typeof plainCrc32 } } }).process
    ?.getBuiltinModule?.("node:zlib").crc32 ?? plainCrc32;

/** Raises an error about the archive at hand. */
export type Fail = (what: string) => never;

const LOCAL_HEADER = 0x04034b50, CENTRAL_HEADER = 0x02014b50, END = 0x06054b50;
const END64 = 0x06064b50, END64_LOCATOR = 0x07064b50;
const END_BYTES = 22, LOCAL_BYTES = 30, CENTRAL_BYTES = 46, END64_BYTES = 56, LOCATOR_BYTES = 20;
const MAX_COMMENT_BYTES = 0xffff;
/** No honest checkpoint has a larger directory: 16 MiB are a hundred thousand entries. */
const MAX_DIRECTORY_BYTES = 2 ** 24;
const STORED = 0, DEFLATED = 8;
const FLAG_ENCRYPTED = 1;

/** Whether bytes start like a ZIP archive. */
export function isZip(start: Uint8Array): boolean {
  return start.length >= 4 && viewOf(start).getUint32(0, true) === LOCAL_HEADER;
}

/**
 * Opens an archive: reads and checks its directory.
 *
 * @param options.label Name for error messages, usually the path.
 */
export async function openZip(source: RangeSource, options: { label: string }): Promise<ZipArchive> {
  const fail: Fail = (what) => {
    throw new DataError(`Cannot read "${options.label}": ${what}`);
  };
  const { offset, sizeBytes, count } = await findDirectory(source, fail);
  const entries = parseDirectory(await source.read(offset, sizeBytes), { offset, count }, fail);
  return {
    entries,
    read: (entry, range = { offset: 0, length: entry.sizeBytes }) => readEntry(source, entry, range, fail),
  };
}

interface Directory {
  offset: number;
  sizeBytes: number;
  count: number;
}

async function findDirectory(source: RangeSource, fail: Fail): Promise<Directory> {
  const tailBytes = Math.min(source.sizeBytes, MAX_COMMENT_BYTES + END_BYTES);
  const tailStart = source.sizeBytes - tailBytes;
  const tail = viewOf(await source.read(tailStart, tailBytes));
  let end = tailBytes - END_BYTES;
  // The comment that may follow must end with the file: a signature inside it does not.
  while (
    end >= 0 &&
    !(tail.getUint32(end, true) === END && end + END_BYTES + tail.getUint16(end + 20, true) === tailBytes)
  ) {
    end--;
  }
  if (end < 0) {
    return fail("a ZIP archive must end with its directory, current file has none; the file is truncated");
  }
  if (tail.getUint16(end + 4, true) !== 0 && tail.getUint16(end + 4, true) !== 0xffff) {
    return fail("a ZIP archive must be one file, current file is one of several parts");
  }
  const small = {
    count: tail.getUint16(end + 10, true),
    sizeBytes: tail.getUint32(end + 12, true),
    offset: tail.getUint32(end + 16, true),
  };
  let before = tailStart + end, directory: Directory = small;
  const hasLocator = end >= LOCATOR_BYTES && tail.getUint32(end - LOCATOR_BYTES, true) === END64_LOCATOR;
  if (hasLocator) {
    const at = safe(tail.getBigUint64(end - LOCATOR_BYTES + 8, true));
    if (at + END64_BYTES > before - LOCATOR_BYTES) {
      return fail(`the ZIP64 directory end must lie before byte ${before}, current value is ${at}`);
    }
    const record = viewOf(await source.read(at, END64_BYTES));
    if (record.getUint32(0, true) !== END64) return fail(`byte ${at} must hold the ZIP64 directory end`);
    before = at;
    directory = {
      count: safe(record.getBigUint64(32, true)),
      sizeBytes: safe(record.getBigUint64(40, true)),
      offset: safe(record.getBigUint64(48, true)),
    };
  }
  const { offset, sizeBytes, count } = directory;
  if (offset + sizeBytes > before) {
    return fail(
      `the ZIP directory must end before byte ${before}, current range is ${offset} to ${offset + sizeBytes}`,
    );
  }
  if (sizeBytes > MAX_DIRECTORY_BYTES) {
    return fail(
      `the ZIP directory may have at most ${MAX_DIRECTORY_BYTES} bytes, current value is ${sizeBytes}`,
    );
  }
  if (count * CENTRAL_BYTES > sizeBytes) {
    return fail(`a ZIP directory of ${sizeBytes} bytes must have fewer entries, current count is ${count}`);
  }
  return directory;
}

function parseDirectory(
  bytes: Uint8Array,
  { offset, count }: { offset: number; count: number },
  fail: Fail,
): Map<string, ZipEntry> {
  const view = viewOf(bytes);
  const list: Omit<ZipEntry, "limit">[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + CENTRAL_BYTES > bytes.length || view.getUint32(at, true) !== CENTRAL_HEADER) {
      return fail(
        `ZIP entry ${i} must start at directory byte ${at}, there is none; the directory is damaged`,
      );
    }
    const nameBytes = view.getUint16(at + 28, true), extraBytes = view.getUint16(at + 30, true);
    const next = at + CENTRAL_BYTES + nameBytes + extraBytes + view.getUint16(at + 32, true);
    if (next > bytes.length) return fail(`ZIP entry ${i} must end inside the directory; it is damaged`);
    const nameStart = at + CENTRAL_BYTES;
    const name = decodeName(bytes.subarray(nameStart, nameStart + nameBytes), i, fail);
    list.push(parseEntry(view, at, { name, extra: nameStart + nameBytes, extraBytes }, fail));
    at = next;
  }
  return checkDisjoint(list, offset, fail);
}

function decodeName(bytes: Uint8Array, index: number, fail: Fail): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return fail(`the name of ZIP entry ${index} must be UTF-8`);
  }
}

function parseEntry(
  view: DataView,
  at: number,
  { name, extra, extraBytes }: { name: string; extra: number; extraBytes: number },
  fail: Fail,
): Omit<ZipEntry, "limit"> {
  const flags = view.getUint16(at + 8, true), method = view.getUint16(at + 10, true);
  if (flags & FLAG_ENCRYPTED) return fail(`ZIP entry "${shorten(name)}" must not be encrypted`);
  let packedBytes = view.getUint32(at + 20, true), sizeBytes = view.getUint32(at + 24, true);
  let headerOffset = view.getUint32(at + 42, true);
  const wide = zip64Fields(view, extra, extraBytes);
  const take = (current: number) => {
    if (current !== 0xffffffff) return current;
    const value = wide.shift();
    return value === undefined
      ? fail(`ZIP entry "${shorten(name)}" must state its sizes in a ZIP64 field`)
      : safe(value);
  };
  sizeBytes = take(sizeBytes); // the order of the field: size, packed size, offset
  packedBytes = take(packedBytes);
  headerOffset = take(headerOffset);
  if (method === STORED && packedBytes !== sizeBytes) {
    return fail(
      `ZIP entry "${
        shorten(name)
      }" must have equal sizes, current values are ${packedBytes} and ${sizeBytes}`,
    );
  }
  const compression = method === STORED ? null : method === DEFLATED ? "deflate" : `method ${method}`;
  return { name, sizeBytes, packedBytes, compression, crc32: view.getUint32(at + 16, true), headerOffset };
}

/** Values of the ZIP64 extra field, in order. */
function zip64Fields(view: DataView, start: number, length: number): bigint[] {
  for (let at = start; at + 4 <= start + length;) {
    const id = view.getUint16(at, true), end = at + 4 + view.getUint16(at + 2, true);
    if (id === 1 && end <= start + length) {
      const values: bigint[] = [];
      for (let field = at + 4; field + 8 <= end; field += 8) values.push(view.getBigUint64(field, true));
      return values;
    }
    at = end;
  }
  return [];
}

/** Entries by name, each with the place where the next one starts. */
function checkDisjoint(
  list: readonly Omit<ZipEntry, "limit">[],
  directoryOffset: number,
  fail: Fail,
): Map<string, ZipEntry> {
  const byPlace = [...list].sort((a, b) => a.headerOffset - b.headerOffset);
  const limits = new Map(
    byPlace.map((
      entry,
      i,
    ) => [entry, i + 1 < byPlace.length ? byPlace[i + 1].headerOffset : directoryOffset]),
  );
  const entries = new Map<string, ZipEntry>();
  for (const entry of list) {
    const limit = limits.get(entry)!;
    const least = entry.headerOffset + LOCAL_BYTES + entry.packedBytes;
    if (least > limit) {
      return fail(
        `ZIP entry "${shorten(entry.name)}" must end before byte ${limit}, current end is ${least}: ` +
          `it claims more than the file has, or overlaps the next entry`,
      );
    }
    if (entries.has(entry.name)) {
      return fail(`ZIP names must be unique, current archive has "${shorten(entry.name)}" twice`);
    }
    entries.set(entry.name, { ...entry, limit });
  }
  return entries;
}

/** Why an entry cannot be read by range; null when it can. */
export function compressionRefusal({ name, compression }: ZipEntry): string | null {
  if (compression === null) return null;
  return `ZIP entry "${shorten(name)}" must be stored, current compression is ${compression}; ` +
    "PyTorch stores without compression, so the archive was packed anew: unpack it and store it (zip -0)";
}

async function readEntry(
  source: RangeSource,
  entry: ZipEntry,
  { offset, length }: { offset: number; length: number },
  fail: Fail,
): Promise<Uint8Array> {
  const refusal = compressionRefusal(entry);
  if (refusal !== null) return fail(refusal);
  const header = viewOf(await source.read(entry.headerOffset, LOCAL_BYTES));
  if (header.getUint32(0, true) !== LOCAL_HEADER) {
    return fail(`ZIP entry "${shorten(entry.name)}" must start at byte ${entry.headerOffset}, there is none`);
  }
  if (header.getUint16(8, true) !== STORED || header.getUint16(6, true) & FLAG_ENCRYPTED) {
    return fail(`ZIP entry "${shorten(entry.name)}" must be stored and not encrypted in its own header too`);
  }
  const start = entry.headerOffset + LOCAL_BYTES + header.getUint16(26, true) + header.getUint16(28, true);
  if (start + entry.sizeBytes > entry.limit) {
    return fail(
      `ZIP entry "${shorten(entry.name)}" must end before byte ${entry.limit}, current end is ${
        start + entry.sizeBytes
      }`,
    );
  }
  if (offset < 0 || length < 0 || offset + length > entry.sizeBytes) {
    return fail(
      `ZIP entry "${shorten(entry.name)}" must have ${
        offset + length
      } bytes, current value is ${entry.sizeBytes}`,
    );
  }
  const bytes = await source.read(start + offset, length);
  if (length === entry.sizeBytes && entry.crc32 !== 0) {
    const found = crc32(bytes);
    if (found !== entry.crc32) {
      return fail(
        `the checksum of "${shorten(entry.name)}" must be ${hex(entry.crc32)}, current value is ${
          hex(found)
        }; the file is damaged`,
      );
    }
  }
  return bytes;
}

function hex(value: number): string {
  return value.toString(16).padStart(8, "0");
}

/** A 64-bit count as a number. What does not fit lies beyond any file, and so does `Infinity`. */
function safe(value: bigint): number {
  return value > BigInt(Number.MAX_SAFE_INTEGER) ? Infinity : Number(value);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
