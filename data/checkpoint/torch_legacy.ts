/**
 * Reader of the stream that `torch.save` wrote before PyTorch 1.6: five pickles (a magic number, a protocol version, facts
 * about the machine, the object, the keys of its storages), then every storage as a count and its elements
 * (torch/serialization.py, `_legacy_save`).
 */
import { DataError } from "../../lib/errors.ts";
import { shorten } from "../../lib/text.ts";
import { readView, type TorchFile } from "./_torch_file.ts";
import { torchRules } from "./_torch_rules.ts";
import { type Dtype, DTYPE_BYTES } from "./dtype.ts";
import { MAX_PICKLE_BYTES, type PickleRules, readPickle, TruncatedPickle } from "./pickle.ts";
import { PyDict, PyTuple, type PyValue, type StorageView } from "./pickle_values.ts";
import type { RangeSource } from "./safetensors.ts";

const MAGIC = 0x1950a86a20f9469cfc6cn;
const PROTOCOL = 1001;
/** The first pickle: PROTO 2, LONG1 of 10 bytes with the magic number, STOP. */
const START = [0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e];
const FIRST_READ_BYTES = 2 ** 18;

/** Whether bytes start like such a stream. */
export function isTorchStream(start: Uint8Array): boolean {
  return start.length >= START.length && START.every((byte, i) => start[i] === byte);
}

/** A pickle of facts: it refers to nothing. */
const NO_REFERENCES: PickleRules = {
  global: () => undefined,
  create: () => undefined,
  reduce: () => undefined,
  persistent: (id) => id,
};

interface Storage {
  dtype: Dtype | null;
  count: number;
}

/**
 * Opens a stream: reads its pickles and the counts of its storages, no tensor.
 *
 * @param options.label Name for error messages, usually the path.
 */
export async function openTorchStream(source: RangeSource, options: { label: string }): Promise<TorchFile> {
  const { label } = options;
  const fail: (what: string) => never = (what) => {
    throw new DataError(`Cannot read "${label}": ${what}`);
  };
  const { root, keys, storages, end } = await readPickles(source, label, fail);
  const places = await findStorages(source, { keys, storages, start: end }, fail);
  return {
    format: "torch stream",
    root,
    read: (view) =>
      readView(view, (offset, length) => source.read(places.get(view.storage.key)! + offset, length)),
  };
}

interface Pickles {
  root: PyValue;
  /** Storages in the order of the file. */
  keys: string[];
  storages: Map<string, Storage>;
  /** Where the pickles end. */
  end: number;
}

/** Reads the pickles at the start of the file, of which nothing says how long they are. */
async function readPickles(
  source: RangeSource,
  label: string,
  fail: (what: string) => never,
): Promise<Pickles> {
  for (let length = FIRST_READ_BYTES;; length *= 8) {
    const bytes = await source.read(0, Math.min(length, MAX_PICKLE_BYTES, source.sizeBytes));
    try {
      return parsePickles(bytes, { label, fileBytes: source.sizeBytes }, fail);
    } catch (error) {
      if (!(error instanceof TruncatedPickle) || bytes.length < length) throw error;
    }
  }
}

function parsePickles(
  bytes: Uint8Array,
  options: { label: string; fileBytes: number },
  fail: (what: string) => never,
): Pickles {
  const storages = new Map<string, Storage>();
  const rules = torchRules({
    ...options,
    isScript: false,
    storage: (key, { dtype, count, window }) => noteStorage(storages, { key, dtype, count, window }, fail),
  });
  let end = 0;
  const next = (with_: PickleRules): PyValue => {
    const read = readPickle(bytes, { label: options.label, rules: with_, offset: end });
    end = read.end;
    return read.value;
  };
  if (next(NO_REFERENCES) !== MAGIC) fail("a torch stream must start with its magic number");
  const protocol = next(NO_REFERENCES);
  if (protocol !== PROTOCOL) {
    fail(`the protocol of a torch stream must be ${PROTOCOL}, current value is ${protocol}`);
  }
  const machine = next(NO_REFERENCES);
  if (!(machine instanceof PyDict) || machine.entries.get("little_endian") !== true) {
    fail("its numbers must be little-endian");
  }
  const root = next(rules), keys = next(NO_REFERENCES);
  if (!Array.isArray(keys) || !keys.every((key) => typeof key === "string")) {
    return fail("the keys of its storages must be a list of text");
  }
  return { root, keys: keys as string[], storages, end };
}

/** A storage that a tensor names, all of it or a window on it: `(key, offset, elements)`. */
function noteStorage(
  storages: Map<string, Storage>,
  { key, dtype, count, window }: Storage & { key: string; window: PyValue | undefined },
  fail: (what: string) => never,
): StorageView {
  const seen = storages.get(key);
  if (seen && (seen.dtype !== dtype || seen.count !== count)) {
    return fail(`storage "${shorten(key)}" must have one type and size throughout the pickle`);
  }
  storages.set(key, { dtype, count });
  if (window === undefined || window === null) return { key, dtype, start: 0, count };
  const [, start, size] = window instanceof PyTuple ? window.items : [];
  const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
  if (!isCount(start) || !isCount(size) || start + size > count) {
    return fail(`a window on storage "${shorten(key)}" must lie inside its ${count} elements`);
  }
  return { key, dtype, start, count: size };
}

/** Where the elements of every storage start: each is an 8-byte count and its elements, one after the other. */
async function findStorages(
  source: RangeSource,
  { keys, storages, start }: {
    keys: readonly string[];
    storages: ReadonlyMap<string, Storage>;
    start: number;
  },
  fail: (what: string) => never,
): Promise<Map<string, number>> {
  const places = new Map<string, number>();
  let at = start;
  for (const key of keys) {
    const storage = storages.get(key);
    if (!storage) return fail(`storage "${shorten(key)}" must belong to a tensor, none names it`);
    if (places.has(key)) return fail(`storage keys must be unique, current file has "${shorten(key)}" twice`);
    if (at + 8 > source.sizeBytes) {
      return fail(`storage "${shorten(key)}" must start before the end of the file; it is truncated`);
    }
    const bytes = await source.read(at, 8);
    const count = new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
    if (count !== BigInt(storage.count)) {
      return fail(`storage "${shorten(key)}" must have ${storage.count} elements, current value is ${count}`);
    }
    const sizeBytes = storage.count * (storage.dtype === null ? 1 : DTYPE_BYTES[storage.dtype]);
    if (at + 8 + sizeBytes > source.sizeBytes) {
      return fail(
        `storage "${shorten(key)}" must have ${sizeBytes} bytes, the file ends after ${
          source.sizeBytes - at - 8
        }; it is truncated`,
      );
    }
    places.set(key, at + 8);
    at += 8 + sizeBytes;
  }
  for (const key of storages.keys()) {
    if (!places.has(key)) return fail(`storage "${shorten(key)}" must be in the file, it is not`);
  }
  return places;
}
