/**
 * Checkpoints in several files, as the transformers library writes large ones: an index in JSON says which file holds which
 * tensor (`model.safetensors.index.json`). The files lie beside the index.
 */
import { dirname, join } from "node:path";
import { DataError } from "../../lib/errors.ts";
import { shorten } from "../../lib/text.ts";
import { type FileRange, fileRange } from "../files.ts";
import { beyondBounds } from "./_json_scan.ts";
import type { RangeSource, TensorInfo } from "./safetensors.ts";

/** No honest index is larger: ten thousand tensors take about a megabyte. */
const MAX_INDEX_BYTES = 2 ** 25;
const MAX_FILES = 1024;

const INDEX_BOUNDS = { depth: 8, texts: 250_000, name: 1024 };

/** Whether bytes start like an index: JSON, which no length of a safetensors header looks like. */
export function isIndex(start: Uint8Array): boolean {
  return start.length >= 8 && start[0] === 0x7b &&
    start.subarray(0, 8).every((byte) => byte >= 9 && byte < 0x7f);
}

/**
 * The files that make up the weights at a path: that file, and where it is an index those that it names.
 *
 * @throws {DataError} for an index that cannot be used.
 */
export async function filesOfWeights(path: string): Promise<string[]> {
  await using range = await fileRange(path);
  if (!isIndex(await range.read(0, Math.min(8, range.sizeBytes)))) return [path];
  const map = await readIndex(range, path);
  return [path, ...new Set(map.values())].map((file) => file === path ? path : join(dirname(path), file));
}

/** What is asked of one of the files. */
interface Part<Format> {
  readonly format: Format;
  readonly metadata: Readonly<Record<string, string>>;
  describe(name: string): TensorInfo | undefined;
  readRaw(name: string): Promise<Uint8Array>;
}

/**
 * Opens the files that an index names, as one.
 *
 * @param options.open How one of them is opened.
 */
export async function openSharded<Format>(
  index: RangeSource,
  options: { label: string; open: (range: FileRange, path: string) => Promise<Part<Format>> },
) {
  const { label, open } = options, map = await readIndex(index, label);
  const ranges: FileRange[] = [], files = new Map<string, Part<Format>>();
  const close = async () => {
    for (const range of ranges) await range.close();
  };
  try {
    for (const name of new Set(map.values())) {
      const path = join(dirname(label), name), range = await fileRange(path);
      ranges.push(range);
      files.set(name, await open(range, path));
    }
    for (const [tensor, name] of map) {
      if (files.get(name)!.describe(tensor)) continue;
      throw new DataError(
        `Cannot read "${label}": tensor "${shorten(tensor)}" must be in "${shorten(name)}", it is not there`,
      );
    }
  } catch (error) {
    await close();
    throw error;
  }
  const [first] = files.values(), fileOf = (tensor: string) => files.get(map.get(tensor) ?? "");
  return {
    label,
    format: first.format,
    metadata: first.metadata,
    values: new Map<never, never>(),
    foreign: new Map<never, never>(),
    tree: null,
    names: () => [...map.keys()],
    describe: (tensor: string) => fileOf(tensor)?.describe(tensor),
    readRaw: (tensor: string) => (fileOf(tensor) ?? first).readRaw(tensor),
    [Symbol.asyncDispose]: close,
  };
}

/** Which file holds which tensor. */
async function readIndex(source: RangeSource, label: string): Promise<Map<string, string>> {
  const fail = (what: string): never => {
    throw new DataError(`Cannot read "${label}": ${what}`);
  };
  if (source.sizeBytes > MAX_INDEX_BYTES) {
    fail(`an index may have at most ${MAX_INDEX_BYTES} bytes, current size is ${source.sizeBytes}`);
  }
  let weights: unknown;
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(await source.read(0, source.sizeBytes));
    const beyond = beyondBounds(text, INDEX_BOUNDS);
    if (beyond !== null) return fail(beyond);
    weights = (JSON.parse(text) as Record<string, unknown>).weight_map;
  } catch (error) {
    if (error instanceof DataError) throw error;
    return fail("it must be a checkpoint, it begins like JSON and is none");
  }
  const entries = typeof weights === "object" && weights !== null ? Object.entries(weights) : [];
  if (entries.length === 0 || !entries.every(([, name]) => typeof name === "string")) {
    return fail('it must be a checkpoint, it is JSON without the "weight_map" of an index');
  }
  const map = new Map(entries as [string, string][]), names = new Set(map.values());
  if (names.size > MAX_FILES) {
    fail(`an index may name at most ${MAX_FILES} files, current count is ${names.size}`);
  }
  for (const name of names) {
    if (/[\\/\0]|^\.*$/.test(name)) {
      fail(`the files of an index must lie beside it, it names "${shorten(name)}"`);
    }
  }
  return map;
}
