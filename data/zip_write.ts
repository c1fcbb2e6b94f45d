/**
 * Writer of ZIP archives as PyTorch lays them out: stored entries whose contents start at a multiple of 64 bytes, so that
 * they can be mapped into memory. ZIP64 fields appear where, and only where, a size or an offset needs them.
 */
import { crc32 } from "node:zlib";

/** One file of an archive to write. */
export interface ZipContent {
  readonly name: string;
  /** The contents, fetched when their turn comes. */
  read(): Promise<Uint8Array> | Uint8Array;
}

/** What the directory says of an entry. */
export interface ZipRecord {
  readonly name: string;
  readonly sizeBytes: number;
  readonly crc32: number;
  readonly headerOffset: number;
}

const ALIGNMENT = 64;
const LOCAL_BYTES = 30, CENTRAL_BYTES = 46;
const LIMIT_32 = 0xffffffff, LIMIT_16 = 0xffff;
const FLAG_UTF8 = 0x800;
/** 2.0: what stored entries need; 4.5: ZIP64. */
const VERSION = 20, VERSION_64 = 45;
/** 1980-01-01, the first date the format has: equal input gives equal bytes. */
const DATE = 0x21;
/** Marks padding in the extra field, as PyTorch does. */
const PADDING_ID = 0x4246;

/** Encodes an archive, holding one entry at a time. */
export async function* encodeZip(contents: Iterable<ZipContent>): AsyncGenerator<Uint8Array> {
  const records: ZipRecord[] = [];
  let offset = 0;
  for (const content of contents) {
    const bytes = await content.read();
    const record = {
      name: content.name,
      sizeBytes: bytes.byteLength,
      crc32: crc32(bytes),
      headerOffset: offset,
    };
    records.push(record);
    const header = encodeLocalHeader(record);
    yield header;
    if (bytes.byteLength > 0) yield bytes;
    offset += header.byteLength + bytes.byteLength;
  }
  yield encodeDirectory(records, offset);
}

function encodeLocalHeader({ name, sizeBytes, crc32, headerOffset }: ZipRecord): Uint8Array {
  const text = new TextEncoder().encode(name);
  const wide = sizeBytes >= LIMIT_32 ? [BigInt(sizeBytes), BigInt(sizeBytes)] : [];
  const fixedBytes = LOCAL_BYTES + text.length + extraBytes(wide);
  // Padding takes a 4-byte header of its own, so the contents start at the first multiple that leaves room for it.
  const start = Math.ceil((headerOffset + fixedBytes + 4) / ALIGNMENT) * ALIGNMENT;
  const padding = start - headerOffset - fixedBytes - 4;
  const bytes = new Uint8Array(start - headerOffset), view = new DataView(bytes.buffer);
  view.setUint32(0, 0x04034b50, true);
  view.setUint16(4, wide.length > 0 ? VERSION_64 : VERSION, true);
  view.setUint16(6, FLAG_UTF8, true);
  view.setUint16(12, DATE, true);
  view.setUint32(14, crc32, true);
  view.setUint32(18, Math.min(sizeBytes, LIMIT_32), true);
  view.setUint32(22, Math.min(sizeBytes, LIMIT_32), true);
  view.setUint16(26, text.length, true);
  view.setUint16(28, extraBytes(wide) + 4 + padding, true);
  bytes.set(text, LOCAL_BYTES);
  const at = writeExtra(view, LOCAL_BYTES + text.length, wide);
  view.setUint16(at, PADDING_ID, true);
  view.setUint16(at + 2, padding, true);
  bytes.fill(0x5a, at + 4);
  return bytes;
}

/** The directory of an archive and what ends the file. @param offset Where it starts. */
export function encodeDirectory(records: readonly ZipRecord[], offset: number): Uint8Array {
  const parts = records.map(encodeCentralHeader);
  const sizeBytes = parts.reduce((sum, part) => sum + part.byteLength, 0);
  const isWide = offset >= LIMIT_32 || sizeBytes >= LIMIT_32 || records.length >= LIMIT_16;
  const end = new Uint8Array(22), view = new DataView(end.buffer);
  view.setUint32(0, 0x06054b50, true);
  view.setUint16(8, Math.min(records.length, LIMIT_16), true);
  view.setUint16(10, Math.min(records.length, LIMIT_16), true);
  view.setUint32(12, Math.min(sizeBytes, LIMIT_32), true);
  view.setUint32(16, Math.min(offset, LIMIT_32), true);
  if (isWide) parts.push(encodeEnd64({ offset, sizeBytes, count: records.length }));
  parts.push(end);
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.byteLength;
  }
  return all;
}

function encodeCentralHeader({ name, sizeBytes, crc32, headerOffset }: ZipRecord): Uint8Array {
  const text = new TextEncoder().encode(name);
  const wide = [
    ...(sizeBytes >= LIMIT_32 ? [BigInt(sizeBytes), BigInt(sizeBytes)] : []),
    ...(headerOffset >= LIMIT_32 ? [BigInt(headerOffset)] : []),
  ];
  const bytes = new Uint8Array(CENTRAL_BYTES + text.length + extraBytes(wide)),
    view = new DataView(bytes.buffer);
  const version = wide.length > 0 ? VERSION_64 : VERSION;
  view.setUint32(0, 0x02014b50, true);
  view.setUint16(4, version, true);
  view.setUint16(6, version, true);
  view.setUint16(8, FLAG_UTF8, true);
  view.setUint16(14, DATE, true);
  view.setUint32(16, crc32, true);
  view.setUint32(20, Math.min(sizeBytes, LIMIT_32), true);
  view.setUint32(24, Math.min(sizeBytes, LIMIT_32), true);
  view.setUint16(28, text.length, true);
  view.setUint16(30, extraBytes(wide), true);
  view.setUint32(42, Math.min(headerOffset, LIMIT_32), true);
  bytes.set(text, CENTRAL_BYTES);
  writeExtra(view, CENTRAL_BYTES + text.length, wide);
  return bytes;
}

/** The ZIP64 end of the directory and its locator. */
function encodeEnd64(directory: { offset: number; sizeBytes: number; count: number }): Uint8Array {
  const bytes = new Uint8Array(56 + 20), view = new DataView(bytes.buffer);
  view.setUint32(0, 0x06064b50, true);
  view.setBigUint64(4, 44n, true); // bytes that follow in this record
  view.setUint16(12, VERSION_64, true);
  view.setUint16(14, VERSION_64, true);
  view.setBigUint64(24, BigInt(directory.count), true);
  view.setBigUint64(32, BigInt(directory.count), true);
  view.setBigUint64(40, BigInt(directory.sizeBytes), true);
  view.setBigUint64(48, BigInt(directory.offset), true);
  view.setUint32(56, 0x07064b50, true);
  view.setBigUint64(64, BigInt(directory.offset + directory.sizeBytes), true);
  view.setUint32(72, 1, true);
  return bytes;
}

function extraBytes(wide: readonly bigint[]): number {
  return wide.length > 0 ? 4 + 8 * wide.length : 0;
}

/** Writes a ZIP64 extra field where there is one. Returns the place after it. */
function writeExtra(view: DataView, at: number, wide: readonly bigint[]): number {
  if (wide.length === 0) return at;
  view.setUint16(at, 1, true);
  view.setUint16(at + 2, 8 * wide.length, true);
  wide.forEach((value, i) => view.setBigUint64(at + 4 + 8 * i, value, true));
  return at + extraBytes(wide);
}
