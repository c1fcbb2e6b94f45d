/** Damaged checkpoints, drawn by fast-check from a seed: what a reader makes of them must be data or a DataError. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { crc32 } from "node:zlib";
import { openCheckpointFile } from "../../data/checkpoint/open.ts";
import { encodeZip } from "../../data/zip_write.ts";
import { DataError } from "../../lib/errors.ts";
import { memorySource } from "./memory_source.ts";

const FOLDER = new URL("../fixtures/checkpoints/", import.meta.url);
/** No damaged file of these sizes may take longer. */
const LIMIT_MS = 2000;

/** What became of the inputs. */
export interface FuzzCounts {
  read: number;
  refused: number;
  slowestMs: number;
}

/** The real files, by name. */
export async function realFiles(): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  for await (const { name } of Deno.readDir(FOLDER)) {
    if (!name.endsWith(".json")) files.set(name, await Deno.readFile(new URL(name, FOLDER)));
  }
  return new Map([...files].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Opens a file and reads every tensor of it. */
export async function readAll(bytes: Uint8Array, counts: FuzzCounts): Promise<void> {
  const start = performance.now(), source = memorySource(bytes);
  try {
    const file = await openCheckpointFile(source, { label: "fuzzed" });
    for (const name of file.names()) {
      const { sizeBytes } = file.describe(name)!;
      assert.equal((await file.readRaw(name)).byteLength, sizeBytes);
    }
    counts.read++;
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    assert.match(error.message, /^Cannot read /);
    counts.refused++;
  }
  const elapsedMs = performance.now() - start;
  assert.ok(elapsedMs < LIMIT_MS, `must be refused within ${LIMIT_MS} ms, it took ${elapsedMs.toFixed(0)}`);
  counts.slowestMs = Math.max(counts.slowestMs, elapsedMs);
}

/** One change to a file, at a place given as a share of its length. */
interface Change {
  kind: "byte" | "bit" | "word" | "cut" | "insert" | "repeat" | "zero";
  at: number;
  value: number;
  length: number;
}

const INTERESTING = [0, 1, 0x7f, 0xff, 0xffff, 0x7fffffff, 0xfffffffe, 0xffffffff];

const change: fc.Arbitrary<Change> = fc.record({
  kind: fc.constantFrom("byte", "bit", "word", "cut", "insert", "repeat", "zero"),
  // Without bias: fast-check's own leads to the first and last bytes.
  at: fc.noBias(fc.nat(2 ** 30 - 1)).map((value) => value / 2 ** 30),
  value: fc.oneof(fc.constantFrom(...INTERESTING), fc.nat(0xffffffff)),
  length: fc.integer({ min: 1, max: 64 }),
});

function applyChange(bytes: Uint8Array, { kind, at, value, length }: Change): Uint8Array {
  const offset = Math.floor(at * bytes.length), out = bytes.slice();
  switch (kind) {
    case "byte":
      out[offset] = value;
      return out;
    case "bit":
      out[offset] ^= 1 << (value % 8);
      return out;
    case "word":
      if (offset + 4 <= out.length) new DataView(out.buffer).setUint32(offset, value, true);
      return out;
    case "zero":
      return out.fill(0, offset, offset + length);
    case "cut":
      return joined([
        bytes.subarray(0, offset),
        bytes.subarray(offset + (value % 2 ? bytes.length : length)),
      ]);
    case "insert":
      return joined([bytes.subarray(0, offset), new Uint8Array(length).fill(value), bytes.subarray(offset)]);
    case "repeat":
      return joined([bytes.subarray(0, offset + length), bytes.subarray(offset)]);
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** Real files with up to four changes anywhere. */
export function damagedFiles(files: ReadonlyMap<string, Uint8Array>): fc.Arbitrary<Uint8Array> {
  return fc.tuple(fc.constantFrom(...files.keys()), fc.array(change, { minLength: 1, maxLength: 4 }))
    .map(([name, changes]) => changes.reduce(applyChange, files.get(name)!));
}

/** Real archives with changes inside the pickle alone, its checksum corrected: the container is sound. */
export function damagedPickles(files: ReadonlyMap<string, Uint8Array>): fc.Arbitrary<Uint8Array> {
  const archives = [...files].flatMap(([name, bytes]) => {
    const place = pickleOf(bytes);
    return place === null ? [] : [{ name, bytes, place }];
  });
  const within = change.filter(({ kind }) =>
    kind === "byte" || kind === "bit" || kind === "word" || kind === "zero"
  );
  return fc.tuple(fc.constantFrom(...archives), fc.array(within, { minLength: 1, maxLength: 3 }))
    .map(([{ bytes, place }, changes]) => {
      const out = bytes.slice();
      const pickle = changes.reduce(
        applyChange,
        bytes.subarray(place.start, place.start + place.length).slice(),
      );
      out.set(pickle, place.start);
      new DataView(out.buffer).setUint32(place.crcAt, crc32(pickle), true);
      return out;
    });
}

/** Where the pickle of an archive lies, and its checksum in the directory. */
function pickleOf(bytes: Uint8Array): { start: number; length: number; crcAt: number } | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + 46 < bytes.length; at++) {
    if (view.getUint32(at, true) !== 0x02014b50) continue;
    const name = new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + view.getUint16(at + 28, true)));
    if (!name.endsWith("/data.pkl")) continue;
    const header = view.getUint32(at + 42, true);
    const start = header + 30 + view.getUint16(header + 26, true) + view.getUint16(header + 28, true);
    return { start, length: view.getUint32(at + 24, true), crcAt: at + 16 };
  }
  return null;
}

const word = (value: number) => [0, 8, 16, 24].map((shift) => value >>> shift & 0xff);
const ascii = (text: string) => [...new TextEncoder().encode(text)];
const textOf = (text: string) => [0x58, ...word(text.length), ...ascii(text)];

// deno-fmt-ignore
/** Pieces that mean something, so that generated pickles get beyond their first byte. */
const PIECES: readonly number[][] = [
  [0x80, 2], [0x28], [0x29], [0x7d], [0x5d], [0x8f], [0x4e], [0x88], [0x89], [0x30], [0x31], [0x2e], [0x32],
  [0x74], [0x85], [0x86], [0x87], [0x6c], [0x91], [0x61], [0x65], [0x90], [0x73], [0x75], [0x52], [0x81], [0x62], [0x51],
  [0x94], [0x93], [0x71, 0], [0x71, 1], [0x68, 0], [0x68, 1], [0x72, ...word(0xffffffff)], [0x6a, ...word(0xffffffff)],
  [0x4b, 0], [0x4b, 1], [0x4b, 3], [0x4d, 0xff, 0xff], [0x4a, ...word(0x7fffffff)], [0x4a, ...word(0xffffffff)],
  [0x8a, 8, ...word(0xffffffff), ...word(0x7fffffff)], [0x8b, ...word(0x7fffffff)], [0x47, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0],
  [0x58, ...word(0xffffffff)], [0x8d, ...word(0xffffffff), ...word(0xffffffff)], [0x42, ...word(0x7fffffff)],
  [0x95, ...word(0xffffffff), ...word(0xffffffff)], textOf("storage"), textOf("0"), textOf("cpu"), textOf("w"), textOf(""),
  ...["collections\nOrderedDict", "torch._utils\n_rebuild_tensor_v2", "torch._utils\n_rebuild_tensor_v3",
    "torch._utils\n_rebuild_parameter", "torch\nFloatStorage", "torch.storage\nUntypedStorage", "torch\nfloat16",
    "collections\ndefaultdict", "argparse\nNamespace", "copyreg\n_reconstructor", "torch._tensor\n_rebuild_from_type_v2",
    "torch._utils\n_rebuild_sparse_tensor", "torch\nQInt8Storage", "torch\nComplexFloatStorage", "my\nStorage",
    "torch\nSize", "torch\ndevice", "builtins\nset", "__torch__\nNet", "posix\nsystem", "builtins\neval"]
    .map((name) => [0x63, ...ascii(name + "\n")]),
  // A storage, and a whole tensor of 3 floats.
  [0x28, ...textOf("storage"), 0x63, ...ascii("torch\nFloatStorage\n"), ...textOf("0"), ...textOf("cpu"), 0x4b, 3, 0x74, 0x51],
  [0x63, ...ascii("torch._utils\n_rebuild_tensor_v2\n"), 0x28, 0x28, ...textOf("storage"), 0x63, ...ascii("torch\nFloatStorage\n"),
    ...textOf("0"), ...textOf("cpu"), 0x4b, 3, 0x74, 0x51, 0x4b, 0, 0x4b, 3, 0x85, 0x4b, 1, 0x85, 0x89, 0x7d, 0x74, 0x52],
];

/** Archives around generated pickles, sound but for the pickle. */
export function generatedPickles(): fc.Arbitrary<Promise<Uint8Array>> {
  const piece = fc.oneof(
    { weight: 12, arbitrary: fc.constantFrom(...PIECES) },
    { weight: 1, arbitrary: fc.array(fc.nat(255), { minLength: 1, maxLength: 3 }) },
  );
  return fc.tuple(fc.array(piece, { maxLength: 60 }), fc.boolean()).map(([pieces, isScript]) =>
    archiveOf(Uint8Array.from([0x80, 2, ...pieces.flat(), 0x2e]), isScript)
  );
}

/** An archive with this pickle and one storage of 3 floats. */
export async function archiveOf(pickle: Uint8Array, isScript = false): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  const contents = [
    { name: "a/data.pkl", read: () => pickle },
    { name: "a/data/0", read: () => new Uint8Array(12).fill(1) },
    ...(isScript ? [{ name: "a/constants.pkl", read: () => Uint8Array.of(0x80, 2, 0x29, 0x2e) }] : []),
  ];
  for await (const part of encodeZip(contents)) parts.push(part);
  return joined(parts);
}

/** Runs a property over `runs` inputs from a fixed seed. */
export async function fuzz(
  inputs: fc.Arbitrary<Uint8Array | Promise<Uint8Array>>,
  options: { runs: number; seed: number },
): Promise<FuzzCounts> {
  const counts: FuzzCounts = { read: 0, refused: 0, slowestMs: 0 };
  await fc.assert(
    fc.asyncProperty(inputs, async (bytes) => await readAll(await bytes, counts)),
    { numRuns: options.runs, seed: options.seed, endOnFailure: true },
  );
  return counts;
}
