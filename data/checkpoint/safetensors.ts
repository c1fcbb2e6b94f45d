/**
 * Strict reader and deterministic writer of the safetensors format: an 8-byte little-endian header length, a JSON
 * header, raw little-endian data (https://github.com/huggingface/safetensors).
 *
 * A file from outside is checked in this order before a byte of data is used: length, header cap, UTF-8, JSON and
 * duplicate names, dtype, shape, size = shape × dtype, contiguous offsets, exact end of file.
 */
import { DataError } from "../../lib/errors.ts";
import { shorten } from "../../lib/text.ts";
import { beyondBounds, findDuplicateKey } from "./_json_scan.ts";
import { type Dtype, DTYPE_BYTES, elementsOf, isFloat, MAX_AXES, narrow, widen } from "./dtype.ts";

export type { Dtype } from "./dtype.ts";

/** Random access to the bytes of a file, a buffer or a download. */
export interface RangeSource {
  readonly sizeBytes: number;
  /** Exactly `length` bytes from `offset`; a short read is the source's error to raise. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

/** What the header says about one tensor. */
export interface TensorInfo {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly sizeBytes: number;
}

/** An open safetensors file: header checked, data read on demand. */
export interface SafetensorsFile {
  readonly metadata: Readonly<Record<string, string>>;
  /** Tensor names in the order of their data. */
  names(): string[];
  has(name: string): boolean;
  describe(name: string): TensorInfo;
  /** The tensor as 32-bit floats: narrower floats widen exactly, F64 and integers round to nearest. */
  readF32(name: string): Promise<Float32Array<ArrayBuffer>>;
  /** The stored bytes. */
  readRaw(name: string): Promise<Uint8Array>;
}

/** No honest header is larger: ten thousand tensors take about 1.5 MiB. (The original's cap is a hundred million bytes.) */
export const MAX_HEADER_BYTES = 2 ** 25;
/** A tensor takes five texts; no network has a hundred thousand, or longer names. */
const HEADER_BOUNDS = { depth: 3, texts: 500_000, name: 1024 };

interface Entry extends TensorInfo {
  readonly begin: number;
}

/**
 * Opens a safetensors source and checks its header.
 *
 * @param options.label name used in error messages, usually the path
 * @example `const file = await openSafetensors(await fileRange("last.safetensors"), { label: "last.safetensors" })`
 */
export async function openSafetensors(
  source: RangeSource,
  options: { label?: string } = {},
): Promise<SafetensorsFile> {
  const label = options.label ?? "safetensors data";
  const fail = (what: string): never => {
    throw new DataError(`Cannot read "${label}": ${what}`);
  };
  if (source.sizeBytes < 8) {
    fail(`a safetensors file has at least 8 bytes, current size is ${source.sizeBytes}`);
  }
  const prefix = await source.read(0, 8);
  const stated = new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true);
  if (stated > BigInt(MAX_HEADER_BYTES)) {
    fail(
      `the header may have at most ${MAX_HEADER_BYTES} bytes, current value is ${stated}; probably not a safetensors file`,
    );
  }
  const headerBytes = Number(stated), dataStart = 8 + headerBytes;
  if (dataStart > source.sizeBytes) {
    fail(
      `the header ends at byte ${dataStart}, current file size is ${source.sizeBytes}; the file is truncated`,
    );
  }
  const header = parseHeader(await source.read(8, headerBytes), fail);
  const metadata = takeMetadata(header, fail);
  const entries = new Map<string, Entry>();
  for (const [name, value] of header) {
    entries.set(name, parseEntry(name, value, fail));
  }

  const ordered = [...entries].sort(([, a], [, b]) => a.begin - b.begin || a.sizeBytes - b.sizeBytes);
  let position = 0;
  for (const [name, entry] of ordered) {
    if (entry.begin !== position) {
      const kind = entry.begin < position ? "overlaps the tensor before it" : "leaves a gap before it";
      fail(
        `tensor "${
          shorten(name)
        }" must start at data byte ${position}, current value is ${entry.begin}: it ${kind}`,
      );
    }
    position += entry.sizeBytes;
  }
  if (dataStart + position !== source.sizeBytes) {
    fail(`the header describes ${dataStart + position} bytes, current file size is ${source.sizeBytes}`);
  }

  const find = (name: string): Entry =>
    entries.get(name) ??
      fail(
        `it must hold a tensor "${
          shorten(name)
        }", current count of tensors is ${entries.size}, none of that name`,
      );
  const readRaw = (name: string): Promise<Uint8Array> => {
    const entry = find(name);
    return source.read(dataStart + entry.begin, entry.sizeBytes);
  };
  return {
    metadata,
    names: () => ordered.map(([name]) => name),
    has: (name) => entries.has(name),
    describe: (name) => {
      const { dtype, shape, sizeBytes } = find(name);
      return { dtype, shape, sizeBytes };
    },
    readRaw,
    readF32: async (name) => widen(await readRaw(name), find(name).dtype, { name, label }),
  };
}

function parseHeader(bytes: Uint8Array, fail: (what: string) => never): Map<string, unknown> {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return fail("the header must be UTF-8");
  }
  if (!text.startsWith("{")) {
    return fail(`the header must start with "{", current start is ${JSON.stringify(text.slice(0, 8))}`);
  }
  const beyond = beyondBounds(text, HEADER_BOUNDS);
  if (beyond !== null) return fail(beyond);
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch (error) {
    return fail(`the header must be JSON: ${(error as Error).message}`);
  }
  const duplicate = findDuplicateKey(text);
  if (duplicate !== null) {
    return fail(`names must be unique, current header has "${shorten(duplicate)}" twice`);
  }
  return new Map(Object.entries(header as Record<string, unknown>));
}

function takeMetadata(header: Map<string, unknown>, fail: (what: string) => never): Record<string, string> {
  const value = header.get("__metadata__");
  header.delete("__metadata__");
  if (value === undefined) return {};
  if (!isPlainObject(value)) return fail(`"__metadata__" must be an object of strings`);
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== "string") {
      fail(`metadata "${shorten(key)}" must be a string, current value is ${told(text)}`);
    }
  }
  return value as Record<string, string>;
}

function parseEntry(name: string, value: unknown, fail: (what: string) => never): Entry {
  if (!isPlainObject(value)) return fail(`tensor "${shorten(name)}" must be described by an object`);
  const { dtype, shape, data_offsets: offsets, ...rest } = value;
  const foreign = Object.keys(rest);
  if (foreign.length > 0) {
    fail(
      `tensor "${shorten(name)}" must have dtype, shape and data_offsets only, current keys include "${
        shorten(foreign[0])
      }"`,
    );
  }
  if (typeof dtype !== "string" || !Object.hasOwn(DTYPE_BYTES, dtype)) {
    return fail(
      `dtype of tensor "${shorten(name)}" must be one of ${
        Object.keys(DTYPE_BYTES).join(", ")
      }, current value is ${told(dtype)}`,
    );
  }
  if (!Array.isArray(shape) || !shape.every(isCount)) {
    return fail(
      `shape of tensor "${shorten(name)}" must be a list of sizes, current value is ${told(shape)}`,
    );
  }
  if (shape.length > MAX_AXES) {
    return fail(
      `shape of tensor "${
        shorten(name)
      }" must have at most ${MAX_AXES} axes, current count is ${shape.length}`,
    );
  }
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount) || offsets[1] < offsets[0]) {
    return fail(
      `data_offsets of tensor "${shorten(name)}" must be [begin, end], current value is ${told(offsets)}`,
    );
  }
  const sizeBytes = shape.reduce((product: number, size: number) => product * size, 1) *
    DTYPE_BYTES[dtype as Dtype];
  if (offsets[1] - offsets[0] !== sizeBytes) {
    return fail(
      `tensor "${shorten(name)}" of shape [${
        shape.join(" ")
      }] and dtype ${dtype} must have ${sizeBytes} bytes, current value is ${offsets[1] - offsets[0]}`,
    );
  }
  return { dtype: dtype as Dtype, shape, sizeBytes, begin: offsets[0] };
}

/** A value of the header for messages. */
function told(value: unknown): string {
  return shorten(JSON.stringify(value) ?? "undefined");
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** One tensor to write. A `Float32Array` is converted to a float dtype; any other view is taken as the stored bytes. */
export interface TensorToWrite {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly data: ArrayBufferView;
}

/**
 * Encodes tensors as a safetensors file, as chunks ready to be written one after the other.
 *
 * Equal input gives equal bytes: tensors are stored widest dtype first, then by name (so that every tensor is aligned to
 * its element), metadata by key, and the header is padded with spaces to 8 bytes.
 */
export function* encodeSafetensors(
  tensors: Iterable<TensorToWrite>,
  metadata: Readonly<Record<string, string>> = {},
): Generator<Uint8Array> {
  const ordered = inFileOrder([...tensors]);
  for (const { name, dtype, shape, data } of ordered) {
    const sizeBytes = elementsOf(shape) * DTYPE_BYTES[dtype];
    const current = data instanceof Float32Array && isFloat(dtype)
      ? data.length * DTYPE_BYTES[dtype]
      : data.byteLength;
    if (current !== sizeBytes) throw wrongSize({ name, dtype, shape }, current);
  }
  yield encodeHeader(ordered, metadata);
  for (const { dtype, data } of ordered) {
    if (data.byteLength === 0) continue;
    yield data instanceof Float32Array && isFloat(dtype)
      ? narrow(data, dtype)
      : new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  }
}

/** One tensor to write whose bytes are fetched when their turn comes, so that a large file needs little memory. */
export interface TensorToStream {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** The stored bytes. */
  read(): Promise<Uint8Array>;
}

/** Encodes tensors as `encodeSafetensors` does, holding one of them at a time. */
export async function* streamSafetensors(
  tensors: Iterable<TensorToStream>,
  metadata: Readonly<Record<string, string>> = {},
): AsyncGenerator<Uint8Array> {
  const ordered = inFileOrder([...tensors]);
  yield encodeHeader(ordered, metadata);
  for (const tensor of ordered) {
    const bytes = await tensor.read();
    if (bytes.byteLength !== elementsOf(tensor.shape) * DTYPE_BYTES[tensor.dtype]) {
      throw wrongSize(tensor, bytes.byteLength);
    }
    yield bytes;
  }
}

type Described = Pick<TensorToWrite, "name" | "dtype" | "shape">;

/** Widest dtype first, then by name: every tensor is then aligned to its element. */
function inFileOrder<T extends Described>(tensors: T[]): T[] {
  return tensors.sort((a, b) =>
    DTYPE_BYTES[b.dtype] - DTYPE_BYTES[a.dtype] || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)
  );
}

function wrongSize({ name, dtype, shape }: Described, current: number): RangeError {
  return new RangeError(
    `Cannot encode tensor "${shorten(name)}": shape [${shape.join(" ")}] of ${dtype} needs ${
      elementsOf(shape) * DTYPE_BYTES[dtype]
    } bytes, current value is ${current}`,
  );
}

/** Length and JSON header for tensors that follow in this order. */
function encodeHeader(
  ordered: readonly Described[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const header: [string, unknown][] = [];
  const metadataKeys = Object.keys(metadata).sort();
  if (metadataKeys.length > 0) {
    header.push(["__metadata__", Object.fromEntries(metadataKeys.map((key) => [key, metadata[key]]))]);
  }
  const seen = new Set<string>();
  let position = 0;
  for (const { name, dtype, shape } of ordered) {
    if (seen.has(name) || name === "__metadata__") {
      throw new TypeError(
        `Cannot encode tensor "${shorten(name)}": names must be unique and not "__metadata__"`,
      );
    }
    seen.add(name);
    const end = position + elementsOf(shape) * DTYPE_BYTES[dtype];
    header.push([name, { dtype, shape, data_offsets: [position, end] }]);
    position = end;
  }
  // Written entry by entry: as keys of one JavaScript object, names like "7" would jump to the front.
  const json = `{${
    header.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join(",")
  }}`;
  const encoded = new TextEncoder().encode(json);
  const headerBytes = Math.ceil(encoded.length / 8) * 8;
  const start = new Uint8Array(8 + headerBytes).fill(0x20);
  new DataView(start.buffer).setBigUint64(0, BigInt(headerBytes), true);
  start.set(encoded, 8);
  return start;
}
