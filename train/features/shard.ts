/** A shard of stored features: its entries collected, encoded, checked and read again one by one. */

import { describeNonFinite, findNonFinite } from "../../data/checkpoint/finite.ts";
import { encodeSafetensors, openSafetensors, type TensorToWrite } from "../../data/checkpoint/safetensors.ts";
import { fileRange } from "../../data/files.ts";
import { DataError, NonFiniteError } from "../../lib/errors.ts";
import type { FedClip } from "../feed/clip_feed.ts";
import { type PictureForm, pictureValueBytes } from "./pictures.ts";
import type { ClipFeatures } from "./tower.ts";
import {
  type FeatureManifest,
  FEATURES_FILE,
  type FeatureSplit,
  manifestId,
  parseShardInfo,
  SHARD_KEY,
  type ShardInfo,
  shardPath,
  shardRange,
  unfinishedPath,
} from "./features.ts";

/** Where one kind of data lies in a shard. */
interface Section {
  /** Byte of the file at which the first entry's begins. */
  begin: number;
  /** Of an entry. */
  bytes: number;
}

/** A checked shard, without its pictures and taps. */
export interface Shard extends Pick<ShardInfo, "paths" | "problems" | "bad"> {
  readonly path: string;
  readonly labels: Int32Array;
  readonly pixels: Section;
  readonly taps: readonly Section[];
  /** Tapped blocks. */
  readonly blocks: readonly number[];
  readonly form: PictureForm;
  /** Entries whose taps were looked at and are finite: once a run is enough. */
  readonly looked: Set<number>;
}

/** Collects the entries of a shard in memory that is taken once. */
export class ShardBuilder {
  readonly #manifest: FeatureManifest;
  readonly #pixels: Uint8Array<ArrayBuffer>;
  readonly #taps: Uint8Array<ArrayBuffer>[];
  readonly #labels: Int32Array<ArrayBuffer>;
  readonly #info: ShardInfo;

  /** @param count Entries of the shard. */
  constructor(manifest: FeatureManifest, count: number) {
    const sizes = sizesOf(manifest);
    this.#manifest = manifest;
    this.#info = { features: manifestId(manifest), paths: [], problems: [], bad: [] };
    this.#pixels = new Uint8Array(count * sizes.pixels);
    this.#taps = manifest.taps.map(() => new Uint8Array(count * sizes.tap));
    this.#labels = new Int32Array(count);
  }

  /** Adds the next entry. @throws {NonFiniteError} naming the clip whose taps are not finite. */
  add(
    { path, label, problems, bad }: Pick<FedClip, "path" | "label" | "problems" | "bad">,
    { pixels, taps }: ClipFeatures,
  ): void {
    const entry = this.#info.paths.length, { pictures: form = "U8", taps: blocks } = this.#manifest;
    const found = describeEntry({ pixels, taps }, { form, blocks });
    if (found !== null) {
      throw new NonFiniteError(
        `Cannot store features of "${path}": ${found}; the backbone's values may be beyond f16, or its weights are not usable`,
      );
    }
    this.#info.paths.push(path);
    this.#labels[entry] = label;
    this.#info.problems.push(...problems.map((problem) => ({ entry, ...problem })));
    if (bad) this.#info.bad.push(entry);
    this.#pixels.set(pixels, entry * pixels.length);
    taps.forEach((tap, k) => this.#taps[k].set(tap, entry * tap.length));
  }

  /** Adds the entries of a file that an earlier extraction began. */
  async addUnfinished(shard: Shard): Promise<void> {
    for (const [entry, path] of shard.paths.entries()) {
      const problems = shard.problems.filter((one) => one.entry === entry)
        .map(({ path, problem }) => ({ path, problem }));
      const clip = { path, label: shard.labels[entry], problems, bad: shard.bad.includes(entry) };
      this.add(clip, await readEntry(shard, entry));
    }
  }

  /** The file of the entries so far, as chunks. */
  encode(): Iterable<Uint8Array> {
    const { shapes, taps } = this.#manifest, n = this.#info.paths.length;
    const { pixels, tap } = sizesOf(this.#manifest);
    const tensors: TensorToWrite[] = [
      {
        name: "pixels",
        dtype: this.#manifest.pictures ?? "U8",
        shape: [n, ...shapes.pixels],
        data: this.#pixels.subarray(0, n * pixels),
      },
      { name: "label", dtype: "I32", shape: [n], data: this.#labels.subarray(0, n) },
      ...this.#taps.map((data, k) => ({
        name: `tap.${taps[k]}`,
        dtype: "F16" as const,
        shape: [n, ...shapes.tap],
        data: data.subarray(0, n * tap),
      })),
    ];
    return encodeSafetensors(tensors, { format: "pt", [SHARD_KEY]: JSON.stringify(this.#info) });
  }
}

/**
 * Checks a shard and reads what is small in it.
 *
 * @throws {DataError} naming the file, when it is not there, cut off or not what the manifest says.
 */
export async function openShard(
  folder: string,
  manifest: FeatureManifest,
  place: { split: FeatureSplit; shard: number },
): Promise<Shard> {
  const { count } = shardRange(manifest.splits[place.split], place.shard);
  return await openEntries(shardPath(folder, place.split, place.shard), manifest, () => count);
}

/** The same for what there is of a shard that an extraction has begun; null: nothing of use. */
export async function openUnfinished(
  folder: string,
  manifest: FeatureManifest,
  place: { split: FeatureSplit; shard: number },
): Promise<Shard | null> {
  const { count: most } = shardRange(manifest.splits[place.split], place.shard);
  const { copies } = manifest.splits[place.split];
  const isPart = (count: number) => count > 0 && count < most && count % copies === 0;
  try {
    const shard = await openEntries(
      unfinishedPath(folder, place.split, place.shard),
      manifest,
      (found) => isPart(found) ? found : most,
    );
    for (const entry of shard.paths.keys()) requireFiniteTaps(shard, entry, await readEntry(shard, entry));
    return shard;
  } catch (error) {
    if (error instanceof DataError) return null; // it is computed again
    throw error;
  }
}

/** Opens a file of entries. @param countOf the entries that it must have, where it has so many labels */
async function openEntries(
  path: string,
  manifest: FeatureManifest,
  countOf: (found: number) => number,
): Promise<Shard> {
  await using range = await fileRange(path);
  const file = await openSafetensors(range, { label: path });
  const count = countOf(file.describe("label").shape[0] ?? 0);
  const expected: [name: string, dtype: string, shape: number[]][] = [
    ["pixels", manifest.pictures ?? "U8", [count, ...manifest.shapes.pixels]],
    ["label", "I32", [count]],
    ...manifest.taps.map((block) =>
      [`tap.${block}`, manifest.dtype, [count, ...manifest.shapes.tap]] as [string, string, number[]]
    ),
  ];
  for (const [name, dtype, shape] of expected) {
    const found = file.describe(name);
    if (found.dtype !== dtype || found.shape.join() !== shape.join()) {
      throw new DataError(
        `Cannot read "${path}": tensor "${name}" must be ${dtype} [${
          shape.join(" ")
        }], current type is ${found.dtype} [${found.shape.join(" ")}]`,
      );
    }
  }
  const { features, paths, problems, bad } = parseShardInfo(file.metadata[SHARD_KEY], path);
  const id = manifestId(manifest);
  if (features !== id) {
    throw new DataError(
      `Cannot read "${path}": it must be a part of features ${id} as ${FEATURES_FILE} has them, current value is ${features}`,
    );
  }
  if (paths.length !== count) {
    throw new DataError(
      `Cannot read "${path}": it must name ${count} clips, current count is ${paths.length}`,
    );
  }
  // The data lie in the order of the names without gaps, up to the end of the file.
  const begins = new Map<string, number>();
  let end = range.sizeBytes;
  for (const name of file.names().reverse()) begins.set(name, end -= file.describe(name).sizeBytes);
  const { pixels, tap } = sizesOf(manifest);
  const labels = await file.readRaw("label");
  return {
    path,
    paths,
    problems,
    bad,
    blocks: manifest.taps,
    form: manifest.pictures ?? "U8",
    looked: new Set(),
    labels: new Int32Array(labels.buffer, labels.byteOffset, count),
    pixels: { begin: begins.get("pixels")!, bytes: pixels },
    taps: manifest.taps.map((block) => ({ begin: begins.get(`tap.${block}`)!, bytes: tap })),
  };
}

/** Reads the pictures and taps of an entry. */
export async function readEntry(shard: Shard, entry: number): Promise<ClipFeatures> {
  await using range = await fileRange(shard.path);
  const read = async ({ begin, bytes }: Section) =>
    await range.read(begin + entry * bytes, bytes) as Uint8Array<ArrayBuffer>;
  const [pixels, ...taps] = await Promise.all([shard.pixels, ...shard.taps].map(read));
  return { pixels, taps };
}

/**
 * Looks at the floats of an entry, the first time that it is read.
 *
 * @throws {DataError} naming the file and what is not finite.
 */
export function requireFiniteTaps(shard: Shard, entry: number, features: ClipFeatures): void {
  if (shard.looked.has(entry)) return;
  const found = describeEntry(features, shard);
  if (found !== null) {
    throw new DataError(`Cannot use entry ${entry} of "${shard.path}": ${found}; extract into a new folder`);
  }
  shard.looked.add(entry);
}

/** What is not finite in an entry, in words; null where all is. */
function describeEntry(
  { pixels, taps }: ClipFeatures,
  { form, blocks }: Pick<Shard, "form" | "blocks">,
): string | null {
  const picture = form === "F32" ? findNonFinite(pixels, form) : null;
  if (picture) return describeNonFinite("pixels", picture);
  for (const [k, tap] of taps.entries()) {
    const found = findNonFinite(tap, "F16");
    if (found) return describeNonFinite(`tap.${blocks[k]}`, found);
  }
  return null;
}

/** Bytes of the pictures and of one tap of an entry. */
function sizesOf({ shapes, pictures }: FeatureManifest): { pixels: number; tap: number } {
  const product = (sizes: readonly number[]) => sizes.reduce((a, b) => a * b, 1);
  return {
    pixels: pictureValueBytes(pictures ?? "U8") * product(shapes.pixels),
    tap: 2 * product(shapes.tap),
  };
}
