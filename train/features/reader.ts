/** Training from stored features: opens a folder, checks that it goes with the recipe, and feeds its clips in batches. */

import type { OrderEntry } from "../../data/sampling/epoch_order.ts";
import { ConfigError, DataError } from "../../lib/errors.ts";
import { createModel } from "../../models/mod.ts";
import type { ClipFeed, FedBatch, FedClip } from "../feed/clip_feed.ts";
import { type Config, transformRecipe } from "../recipe/config.ts";
import { openShard, readEntry, requireFiniteTaps, type Shard } from "./shard.ts";
import {
  checkStorable,
  differenceFrom,
  FEATURE_SPLITS,
  type FeatureClips,
  type FeatureManifest,
  FEATURES_FILE,
  type FeatureSplit,
  randomKeys,
  readManifest,
  shardRange,
  type SplitLayout,
} from "./features.ts";
import { modelSpec } from "../recipe/model.ts";

/** Frames of a clip whose prepared pictures come instead. */
const NO_FRAMES = new Uint8Array(0);

/** Batches that are read before they are asked for. */
const BATCHES_AHEAD = 2;

/** The stored features of a recipe. */
export class Features {
  /** Remarks for the user, one line each. */
  readonly notes: readonly string[];
  readonly #folder: string;
  readonly #manifest: FeatureManifest;
  readonly #clips: FeatureClips;
  readonly #shards: Record<FeatureSplit, Shard[]>;

  constructor(
    folder: string,
    parts: {
      manifest: FeatureManifest;
      clips: FeatureClips;
      shards: Record<FeatureSplit, Shard[]>;
      notes: string[];
    },
  ) {
    this.#folder = folder;
    this.#manifest = parts.manifest;
    this.#clips = parts.clips;
    this.#shards = parts.shards;
    this.notes = parts.notes;
  }

  /**
   * Batches of a list's clips. Epoch t of training sees the stored epoch t modulo their number; a clip that comes again within an
   * epoch sees the next one.
   */
  feed(split: FeatureSplit): ClipFeed {
    const epochs = split === "train" ? this.#manifest.epochs : 1;
    const load = ({ clip, epoch, repeat, occurrence = 0 }: OrderEntry) =>
      Promise.all(
        Array.from({ length: repeat }, (_, copy) =>
          this.#load(split, clip, { epoch: (epoch + occurrence) % epochs, copy })),
      );
    return {
      epoch: (order, batchSize) => readAhead(order, batchSize, load),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  }

  async #load(split: FeatureSplit, clip: number, view: { epoch: number; copy: number }): Promise<FedClip> {
    const { clips, copies, entries_per_shard: perShard } = this.#manifest.splits[split];
    const { epoch, copy } = view;
    const position = (epoch * clips + clip) * copies + copy % copies, entry = position % perShard;
    const shard = this.#shards[split][Math.floor(position / perShard)];
    const read = await readEntry(shard, entry).catch((error) => {
      throw incomplete(error, this.#folder);
    });
    requireFiniteTaps(shard, entry, read);
    const { pixels, taps } = read;
    const [frames] = this.#manifest.shapes.pixels, size = this.#manifest.shapes.pixels[2];
    const crop = { x: 0, y: 0, width: size, height: size };
    const transform = { resize: null, crop, resizeCrop: null, flip: false };
    const place = { width: size, height: size, transform, taps };
    return {
      index: clip,
      path: this.#clips[split][clip].path,
      label: shard.labels[entry],
      frameCount: frames,
      views: [
        this.#manifest.pictures === "F32"
          ? { ...place, frames: NO_FRAMES, planes: pixels }
          : { ...place, frames: pixels },
      ],
      // Told with the first copy only, so that each is counted once.
      problems: shard.problems.filter((one) => one.entry === entry && copy === 0)
        .map(({ path, problem }) => ({ path, problem })),
      bad: shard.bad.includes(entry),
    };
  }
}

/**
 * Refuses a recipe whose features are not there, before anything is made for a run.
 *
 * @throws {ConfigError}
 * @throws {DataError} where they cannot be read.
 */
export async function requireFeatures({ data: { features: folder } }: Config): Promise<void> {
  if (folder !== null) await requireManifest(folder);
}

async function requireManifest(folder: string): Promise<FeatureManifest> {
  const manifest = await readManifest(folder);
  if (manifest !== null) return manifest;
  throw new ConfigError(
    `Cannot train from "${folder}": it must hold ${FEATURES_FILE}; write it with: sidenet extract CONFIG --out ${folder}`,
  );
}

/**
 * Opens the features that a recipe names.
 *
 * @param clips The recipe's lists, with its few-shot selection.
 * @throws {ConfigError} naming the first key in which they differ from the recipe.
 * @throws {DataError} naming a shard that is missing or cut off.
 */
export async function openFeatures(config: Config, clips: FeatureClips): Promise<Features | null> {
  const folder = config.data.features;
  if (folder === null) return null;
  checkStorable(config, createModel(modelSpec(config)));
  const manifest = await requireManifest(folder);
  const difference = await differenceFrom(manifest, config, clips);
  if (difference !== null) {
    const { key, stored, current } = difference;
    throw new ConfigError(
      `Cannot train from features "${folder}": ${key} must be ${stored}, as when they were extracted, current value is ${current}; ` +
        `change it, or extract into another folder`,
    );
  }
  const shards: Record<FeatureSplit, Shard[]> = { train: [], val: [] };
  for (const split of FEATURE_SPLITS) {
    const { clips: stored } = manifest.splits[split], listed = clips[split].length;
    if (stored !== listed) {
      throw new DataError(
        `Cannot train from features "${folder}": splits.${split}.clips of ${FEATURES_FILE} must be ${listed} as in the list, ` +
          `current value is ${stored}; extract into a new folder`,
      );
    }
    for (let shard = 0; shard < manifest.splits[split].shards; shard++) {
      const opened = await openShard(folder, manifest, { split, shard }).catch((error) => {
        throw incomplete(error, folder);
      });
      requireListedLabels(opened, { config, clips, layout: manifest.splits[split], place: { split, shard } });
      shards[split].push(opened);
    }
  }
  return new Features(folder, { manifest, clips, shards, notes: notesOn(config, manifest) });
}

/**
 * Fails where a shard's labels are not those of the list. A clip in place of a broken one is of its class.
 *
 * @throws {DataError} naming the shard, the entry and the label
 */
function requireListedLabels(
  shard: Shard,
  { config, clips, layout, place: { split, shard: number } }: {
    config: Config;
    clips: FeatureClips;
    layout: SplitLayout;
    place: { split: FeatureSplit; shard: number };
  },
): void {
  const { first } = shardRange(layout, number), { mirrorPairs } = transformRecipe(config);
  for (const [entry, label] of shard.labels.entries()) {
    const clip = clips[split][Math.floor((first + entry) / layout.copies) % layout.clips];
    const pair = split === "train" ? mirrorPairs.find((one) => one.includes(clip.label)) : undefined;
    if (label === clip.label || pair?.includes(label)) continue;
    const must = pair === undefined ? `${clip.label}` : `${pair[0]} or ${pair[1]}`;
    throw new DataError(
      `Cannot use entry ${entry} of "${shard.path}": its label must be ${must} as data.${split}_list has it ` +
        `(${config.data.num_classes} classes, from 0), current value is ${label}; extract into a new folder`,
    );
  }
}

/** How views from a folder differ from those that the ordinary run would draw. */
function notesOn(config: Config, manifest: FeatureManifest): string[] {
  const { data, solver } = config, notes: string[] = [];
  if (randomKeys(config).length === 0) return notes;
  if (solver.epochs > manifest.epochs) {
    notes.push(
      `data.features holds ${manifest.epochs} of ${solver.epochs} epochs of random views: from epoch ${
        manifest.epochs + 1
      } on they repeat`,
    );
  }
  const again = data.balance === "sampler" ? "data.balance" : data.shots_repeat ? "data.shots_repeat" : null;
  if (again !== null) {
    notes.push(
      `data.features holds one view of a clip and epoch: where ${again} shows a clip again, it takes that of the next stored epoch`,
    );
  }
  return notes;
}

/** What to do about a shard that cannot be read. */
function incomplete(error: unknown, folder: string): unknown {
  if (!(error instanceof DataError)) return error;
  return new DataError(
    `${error.message}; run sidenet extract with --out "${folder}" again to write what is missing`,
  );
}

/** Batches in order, some of them read ahead. */
async function* readAhead(
  order: readonly OrderEntry[],
  batchSize: number,
  load: (entry: OrderEntry) => Promise<FedClip[]>,
): AsyncGenerator<FedBatch> {
  const ahead: Promise<FedClip[][]>[] = [];
  let next = 0;
  const fill = () => {
    while (ahead.length < BATCHES_AHEAD && next < order.length) {
      const batch = Promise.all(order.slice(next, next += batchSize).map(load));
      batch.catch(() => {}); // raised where it is awaited, in order
      ahead.push(batch);
    }
  };
  try {
    while (true) {
      fill();
      const started = performance.now(), batch = ahead.shift();
      if (!batch) return;
      const clips = (await batch).flat();
      fill();
      yield { clips, waitMs: performance.now() - started };
    }
  } finally {
    await Promise.allSettled(ahead);
  }
}
