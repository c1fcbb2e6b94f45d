/** Writes an index from features that were there before and new ones. */

import { isDeepStrictEqual } from "node:util";
import { elementsOf } from "../../data/checkpoint/dtype.ts";
import { removeTemporary } from "../../data/folder_lock.ts";
import { readFeatures, writeFeatures } from "../../data/search_index/features_file.ts";
import {
  checkIndexFolder,
  type FeatureForm,
  type IndexManifest,
  leftovers,
  MANIFEST_HEAD,
  writeIndexManifest,
} from "../../data/search_index/manifest.ts";
import type { RowPlace } from "./known_clips.ts";

/** What an index says beside its features. */
export type IndexContent = Omit<IndexManifest, "format" | "version" | "features">;

/**
 * Writes an index; where it is the same as before, nothing. The features come first, under a name of their own, so that the index before
 * holds until the new manifest is there.
 *
 * @param options.places Where the features of each row are.
 */
export async function writeIndex(
  folder: string,
  options: {
    before: IndexManifest | null;
    index: IndexContent;
    form: FeatureForm;
    places: readonly RowPlace[];
  },
): Promise<void> {
  const { before, index, form: { kind, shape }, places } = options, rows = places.length;
  const isUnmoved = before !== null && before.features.rows === rows &&
    places.every((place, i) => place === i);
  const file = isUnmoved
    ? { file: before.features.file, sha256: before.features.sha256 }
    : await writeFeatures(folder, { shape, rows, values: await valuesOf(folder, options) });
  const manifest: IndexManifest = { ...MANIFEST_HEAD, ...index, features: { ...file, kind, shape, rows } };
  if (isDeepStrictEqual(manifest, before)) return;
  await writeIndexManifest(folder, manifest);
  await removeTemporary(folder, leftovers(await checkIndexFolder(folder), manifest));
}

/** The features of rows, from where each is. */
async function valuesOf(
  folder: string,
  { before, form: { shape }, places }: {
    before: IndexManifest | null;
    form: FeatureForm;
    places: readonly RowPlace[];
  },
): Promise<Float32Array> {
  const size = elementsOf(shape), values = new Float32Array(places.length * size);
  const isBefore = places.some((place) => typeof place === "number");
  const old = isBefore ? await readFeatures(folder, before!) : new Float32Array();
  places.forEach((place, i) => {
    values.set(typeof place === "number" ? old.subarray(place * size, (place + 1) * size) : place, i * size);
  });
  return values;
}
