/** Small recipes, lists and shards for tests of stored features. */
import type { ClipRecord } from "../../../data/datasets/list.ts";
import { createModel } from "../../../models/mod.ts";
import { type FeatureManifest, type FeatureSplit, shardPath } from "../../../train/features/features.ts";
import { ShardBuilder } from "../../../train/features/shard.ts";
import { parseConfig } from "../../../train/recipe/config.ts";
import { modelSpec } from "../../../train/recipe/model.ts";

export const FIXED = ["data.random_shift=false", "data.crop=centre", "data.flip=none", "data.grey=0"];

export function configOf(...overrides: string[]) {
  return parseConfig("data: { num_classes: 4 }", { source: "x.yaml", overrides: [...FIXED, ...overrides] })
    .config;
}

export const modelOf = (config: ReturnType<typeof configOf>) => createModel(modelSpec(config));

/** A list of so many clips. */
export function listOf(count: number, name = "clip"): ClipRecord[] {
  return Array.from(
    { length: count },
    (_, i) => ({ path: `${name}${i}`, label: i % 4, frames: 8, line: i + 1 }),
  );
}

/** A model whose entries have a few hundred bytes. */
export const TINY = [
  "network.arch=custom",
  "network.backbone={ image_size: 4, patch_size: 2, width: 6, layers: 2, heads: 2 }",
  "data.num_segments=1",
];
export const PIXELS = 4 * 4 * 3, TAP = 5 * 6 * 2;

/** An entry whose bytes tell its number. */
export function entryOf(number: number) {
  const bytes = (length: number, from: number) => Uint8Array.from({ length }, (_, k) => from + k);
  return {
    clip: { index: 0, path: `clip${number}`, label: number % 4, views: [], problems: [], bad: number === 1 },
    features: {
      pixels: bytes(PIXELS, 30 * number),
      // Finite halves: not all bits of their exponents are ones.
      taps: [0, 1].map((tap) =>
        bytes(TAP, 30 * number + 7 * (tap + 1)).map((byte, k) => k % 2 === 1 ? byte & 0x3f : byte)
      ),
    },
  };
}

/** Writes the entries of these numbers as a shard. */
export async function writeShard(
  folder: string,
  manifest: FeatureManifest,
  place: { split: FeatureSplit; shard: number; numbers: number[]; labelOf?: (number: number) => number },
): Promise<void> {
  const builder = new ShardBuilder(manifest, place.numbers.length);
  for (const number of place.numbers) {
    const { clip, features } = entryOf(number);
    builder.add({ ...clip, label: place.labelOf?.(number) ?? clip.label }, features);
  }
  await Deno.writeFile(
    shardPath(folder, place.split, place.shard),
    ReadableStream.from(builder.encode()),
  );
}
