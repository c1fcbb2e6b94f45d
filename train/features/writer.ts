/**
 * Extraction: runs the frozen backbone over the clips of a recipe and writes what it gives as shards. Over 400 lines, because going on with
 * shards that are there, alone or over ranks, is one plan.
 */

import type { TellStage } from "../../lib/stage.ts";
import { readdir, rm, statfs } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { isTemporary, requireWritableFolder, writeFileWhole } from "../../data/files.ts";
import { lockFolder, removeTemporary } from "../../data/folder_lock.ts";
import type { OrderEntry } from "../../data/sampling/epoch_order.ts";
import { ConfigError, DataError, InterruptedError } from "../../lib/errors.ts";
import { createModel, type ModelSpec } from "../../models/mod.ts";
import { loadBackbone } from "../files/checkpoint.ts";
import type { ClipFeed } from "../feed/clip_feed.ts";
import { type Config, dataRoots } from "../recipe/config.ts";
import { viewFeed } from "../evaluation/evaluate.ts";
import { pictureForm } from "./pictures.ts";
import { openTower, type Tower } from "./tower.ts";
import { openShard, openUnfinished, type Shard, ShardBuilder } from "./shard.ts";
import {
  checkStorable,
  differenceFrom,
  entryBytes,
  FEATURE_SPLITS,
  type FeatureClips,
  type FeatureManifest,
  FEATURES_FILE,
  type FeatureSplit,
  makeManifest,
  readManifest,
  shardPath,
  shardRange,
  storedEpochs,
  unfinishedPath,
} from "./features.ts";
import { ALONE, START_LIMIT_SECONDS, type World } from "../../mpi/world.ts";
import { openFrameCache, withoutFrameCache } from "../feed/frame_cache.ts";
import { cropRefusal, noteOnce } from "../feed/frame_room.ts";
import { largestFrame } from "../feed/probe.ts";
import { ProblemLog } from "../feed/problems.ts";
import { formatBytes } from "../../lib/text.ts";
import { requireReadableSplits } from "../feed/readable.ts";
import type { DataProblem } from "../feed/problems.ts";
import { modelSpec } from "../recipe/model.ts";
import { readSplit } from "../feed/lists.ts";
import { withFoundModality } from "../feed/modality.ts";
import { clipsPerBatch, halvesNeed, sessionOptions } from "../tasks/session_options.ts";
import { trainingFeed } from "../feed/training_feed.ts";
import { readTrainingSet } from "../feed/training_set.ts";
import type { TunedChoices } from "../runtime/device/tuned.ts";

/** How to extract. */
export interface ExtractOptions {
  /** Its `data.features` is not read. */
  config: Config;
  /** Folder of the features. */
  out: string;
  /** Epochs of training views; must be given where views are random. */
  epochs?: number;
  /** Stops after the batch under way; what is done stays. */
  signal?: AbortSignal;
  events?: ExtractEvents;
  /** Measured kernel choices of this machine. */
  choices?: TunedChoices;
  /** The ranks that share the shards; one alone by default. They need one folder. */
  world?: World;
  /** Size of a shard, about. */
  shardBytes?: number;
  /** Between two times that what is done of a shard is kept: what a process that is killed loses at most; 10 by default. */
  keepMinutes?: number;
}

/** What an extraction tells while it goes on. */
export interface ExtractEvents {
  /** Before anything is written. Bytes are those still to come. */
  planned?: (plan: ExtractPlan) => void;
  /** What is being done before the first batch. */
  stage?: TellStage;
  opened?: (tower: Pick<Tower, "adapter" | "allocatedBytes" | "clips">) => void;
  /** After every batch. */
  progress?: (done: { entries: number; of: number; clipsPerSecond: number }) => void;
  wrote?: (path: string, bytes: number, done: { entries: number; of: number }) => void;
  /** A remark on its own line: a broken clip. */
  note?: (text: string) => void;
}

/** What is to be done. */
export interface ExtractPlan {
  entries: number;
  shards: number;
  bytes: number;
  /** Shards that are there already. */
  kept: number;
  /** Clips that are there already, of shards that are not whole. */
  keptClips: number;
  /** Free bytes of the disk. */
  freeBytes: number;
  epochs: number;
}

/** What was done. */
export interface ExtractResult {
  /** Entries and shards of the whole folder. */
  clips: number;
  shards: number;
  /** Of the whole folder's shards. */
  bytes: number;
  /** Of this run: entries, time and rate. */
  extracted: number;
  seconds: number;
  clips_per_second: number;
  /** null where everything was there already. */
  adapter: string | null;
  /** What had to be replaced, over the whole folder. */
  broken: DataProblem[];
  /** Entries of which nothing could be read. */
  bad: number;
}

/** Between two times that what is done of a shard is kept. */
const KEEP_MINUTES = 10;

/** A shard to write. */
interface Job {
  split: FeatureSplit;
  shard: number;
  first: number;
  count: number;
  /** What is there already of it. */
  begun: Shard | null;
  /** Entries of that. */
  have: number;
}

/** Writes the features of a recipe, as far as they are not there yet. */
export async function extractFeatures(options: ExtractOptions): Promise<ExtractResult> {
  const { out, events, world = ALONE } = options;
  const { note } = events ?? {};
  const recipe = { ...options.config, data: { ...options.config.data, features: null } };
  const config = await withFoundModality(
    world.size > 1 ? withoutFrameCache(recipe, { note }) : recipe,
    { splits: ["train", "val"], note },
  );
  const spec: ModelSpec = modelSpec(config), model = createModel(spec);
  checkStorable(config, model);
  const epochs = storedEpochs(config, options.epochs);
  const set = await readTrainingSet(config),
    clips = {
      train: set.clips,
      val: await readSplit(config, "val", { note }),
    };
  for (const text of set.notes) note?.(text);
  await requireReadableSplits(config, clips, options.signal);
  if (world.rank > 0) return await extractOwn({ ...options, config }, { spec, clips });
  await requireWritableFolder(out);
  options.signal?.throwIfAborted();
  using lock = await lockFolder(out, "extract");
  if (lock.warning !== null) events?.note?.(lock.warning);
  await removeTemporary(out, (await readdir(out)).filter(isTemporary));
  const existing = await readManifest(out);
  if (existing) await checkSame(existing, out, { config, clips, epochs });
  const manifest = existing ??
    await makeManifest(config, model, { clips, epochs, shardBytes: options.shardBytes });
  const { jobs, kept } = await missingShards(out, manifest);
  const entries = jobs.reduce((sum, { count, have }) => sum + count - have, 0);
  const keptClips = jobs.reduce((sum, { have }) => sum + have, 0);
  const sizes = jobs.map((job) => shardBytesOf(job, clips, entryBytes(model, pictureForm(config))));
  const bytes = sizes.reduce((sum, size) => sum + size, 0);
  const freeBytes = await freeDiskBytes(out);
  events?.planned?.({ entries, shards: jobs.length, bytes, kept, keptClips, freeBytes, epochs });
  // What is kept of a shard is there until the whole one is.
  const needed = bytes + Math.max(0, ...sizes);
  if (needed > freeBytes) {
    throw new DataError(
      `Cannot extract features into "${out}": the disk must have ${
        formatBytes(needed)
      } free, current value is ${formatBytes(freeBytes)}`,
    );
  }
  await writeFileWhole(join(out, FEATURES_FILE), JSON.stringify(manifest, null, 2) + "\n");
  const parts = { spec, manifest, clips };
  const { adapter, seconds } = world.size > 1
    ? await shareShards({ ...options, config }, parts, jobs)
    : jobs.length === 0
    ? { adapter: null, seconds: 0 }
    : await new Extraction({ ...options, config }, parts).run(jobs, entries);
  return {
    ...await summarise(out, manifest),
    extracted: entries,
    seconds,
    clips_per_second: seconds > 0 ? entries / seconds : 0,
    adapter,
  };
}

/** Ranks that have written their shards wait for the others, which may have longer ones. */
const OTHERS_LIMIT_SECONDS = 24 * 3600;

/** What a rank but the first does: it looks for what is missing when the first one has settled what there is. */
async function extractOwn(
  options: ExtractOptions,
  { spec, clips }: { spec: ModelSpec; clips: FeatureClips },
): Promise<ExtractResult> {
  const { out } = options;
  const manifest = await options.world!.share<FeatureManifest>(null, "the features", {
    limitSeconds: START_LIMIT_SECONDS,
  });
  const { jobs } = await missingShards(out, manifest);
  const done = await shareShards(options, { spec, manifest, clips }, jobs);
  return { clips: 0, shards: 0, bytes: 0, extracted: 0, clips_per_second: 0, broken: [], bad: 0, ...done };
}

/** Writes a rank's share of the missing shards, and waits for the others. */
async function shareShards(
  options: ExtractOptions,
  parts: { spec: ModelSpec; manifest: FeatureManifest; clips: FeatureClips },
  jobs: readonly Job[],
): Promise<{ adapter: string | null; seconds: number }> {
  const { world = ALONE } = options;
  if (world.rank === 0) await world.share(parts.manifest, "the features");
  await world.meet("the missing shards"); // whoever writes changes what is missing
  const own = jobs.filter((_, i) => i % world.size === world.rank);
  const entries = own.reduce((sum, { count, have }) => sum + count - have, 0);
  let done = { adapter: null as string | null, seconds: 0 }, stopped: InterruptedError | null = null;
  try {
    if (own.length > 0) done = await new Extraction(options, parts).run(own, entries);
  } catch (error) {
    if (!(error instanceof InterruptedError)) throw error;
    stopped = error;
  }
  const all = await world.gather({ ...done, stopped: stopped?.message ?? null }, "the end of the shards", {
    limitSeconds: OTHERS_LIMIT_SECONDS,
  });
  if (stopped !== null) throw stopped;
  const other = all.find((one) => one.stopped !== null);
  if (other) throw new InterruptedError(other.stopped!);
  const adapters = all.flatMap(({ adapter }) => adapter ?? []);
  return { adapter: adapters[0] ?? null, seconds: Math.max(...all.map(({ seconds }) => seconds)) };
}

class Extraction {
  readonly #options: ExtractOptions;
  readonly #spec: ModelSpec;
  readonly #manifest: FeatureManifest;
  readonly #clips: FeatureClips;
  readonly #problems: ProblemLog;
  #done = 0;
  #started = 0;

  constructor(
    options: ExtractOptions,
    parts: { spec: ModelSpec; manifest: FeatureManifest; clips: FeatureClips },
  ) {
    this.#options = options;
    this.#spec = parts.spec;
    this.#manifest = parts.manifest;
    this.#clips = parts.clips;
    this.#problems = new ProblemLog(options.events?.note);
  }

  async run(jobs: readonly Job[], entries: number): Promise<{ adapter: string; seconds: number }> {
    const { config, choices, events } = this.#options, roots = dataRoots(config);
    const lists = [[roots.train, this.#clips.train], [roots.val, this.#clips.val]] as const;
    events?.stage?.({ what: "looking at the clips" });
    await using frameCache = await openFrameCache(config, events?.note);
    const frame = await largestFrame(config, lists, {
      signal: this.#options.signal,
      stage: events?.stage,
      cached: [frameCache, frameCache],
      refusals: [cropRefusal(config, "train"), cropRefusal(config, "val")],
    });
    const { augmentation, streamFrozen } = sessionOptions(config, { lastBatch: 0, largestFrame: frame });
    // The same for a run that goes on, whatever is missing.
    const { train, val } = this.#manifest.splits;
    const most = Math.max(...[train, val].map((one) => Math.min(one.entries, one.entries_per_shard)));
    const batch = Math.min(clipsPerBatch(config), most);
    await using tower = await openTower(
      createModel(this.#spec),
      { clips: batch, largestFrame: frame, augmentation, streamFrozen, form: pictureForm(config) },
      { halves: halvesNeed(config), choices, stage: events?.stage },
    );
    events?.opened?.(tower);
    const { network, seed } = config, weights = network.init ? network.weights : null;
    if (weights === null) await tower.initialise(seed);
    else await loadBackbone(tower, weights);
    this.#started = performance.now();
    const note = noteOnce(events?.note);
    for (const split of FEATURE_SPLITS) {
      const own = jobs.filter((job) => job.split === split);
      if (own.length === 0) continue;
      await using feed = split === "train"
        ? trainingFeed(config, this.#clips.train, { frameCache, room: tower.frameRoom, note })
        : viewFeed(config, { clips: this.#clips.val, views: null, frameCache, room: tower.frameRoom, note });
      for (const job of own) await this.#writeShard(tower, feed, job, entries);
    }
    return { adapter: tower.adapter, seconds: (performance.now() - this.#started) / 1000 };
  }

  async #writeShard(tower: Tower, feed: ClipFeed, job: Job, entries: number): Promise<void> {
    const { split, shard, first, count, begun, have } = job, { out, signal, events } = this.#options;
    const { clips, copies } = this.#manifest.splits[split], atOnce = tower.clips;
    const order = Array.from({ length: (count - have) / copies }, (_, i): OrderEntry => {
      const video = (first + have) / copies + i;
      return { clip: video % clips, epoch: Math.floor(video / clips), repeat: copies };
    });
    const builder = new ShardBuilder(this.#manifest, count), before = this.#done;
    const unfinished = unfinishedPath(out, split, shard);
    const stopIfAsked = () => {
      if (!signal?.aborted) return;
      throw new InterruptedError(
        `Stopped after ${this.#done} of ${entries} clips, all of them kept: the same command goes on`,
      );
    };
    if (begun !== null) await builder.addUnfinished(begun);
    const { keepMinutes = KEEP_MINUTES } = this.#options;
    let keptAt = performance.now();
    for await (const { clips: fed } of feed.epoch(order, Math.max(1, Math.floor(atOnce / copies)))) {
      for (let start = 0; start < fed.length; start += atOnce) {
        const part = fed.slice(start, start + atOnce);
        const features = await tower.run(part.flatMap(({ views }) => views));
        part.forEach((clip, i) => builder.add(clip, features[i]));
      }
      for (const { problems } of fed) for (const problem of problems) this.#problems.add(problem);
      this.#done += fed.length;
      const seconds = (performance.now() - this.#started) / 1000;
      events?.progress?.({ entries: this.#done, of: entries, clipsPerSecond: this.#done / seconds });
      if (this.#done === before + count - have) continue; // the whole shard is written
      if (signal?.aborted || performance.now() - keptAt >= 60_000 * keepMinutes) {
        await writeFileWhole(unfinished, builder.encode());
        keptAt = performance.now();
        stopIfAsked();
      }
    }
    const path = shardPath(out, split, shard);
    await writeFileWhole(path, builder.encode());
    await rm(unfinished, { force: true });
    events?.wrote?.(path, (await Deno.stat(path)).size, { entries: this.#done, of: entries });
    if (this.#done < entries) stopIfAsked();
  }
}

/** Fails unless a folder's features are of this recipe. */
async function checkSame(
  manifest: FeatureManifest,
  out: string,
  wanted: { config: Config; clips: FeatureClips; epochs: number },
): Promise<void> {
  const difference = manifest.epochs !== wanted.epochs
    ? { key: "--epochs", stored: String(manifest.epochs), current: String(wanted.epochs) }
    : await differenceFrom(manifest, wanted.config, wanted.clips);
  if (difference === null) return;
  const { key, stored, current } = difference;
  throw new ConfigError(
    `Cannot extract features into "${out}": ${key} must be ${stored}, as in the features there, current value is ${current}; ` +
      `use another folder`,
  );
}

/** The shards that are not there whole. */
async function missingShards(
  out: string,
  manifest: FeatureManifest,
): Promise<{ jobs: Job[]; kept: number }> {
  const jobs: Job[] = [];
  let kept = 0;
  for (const split of FEATURE_SPLITS) {
    const layout = manifest.splits[split];
    for (let shard = 0; shard < layout.shards; shard++) {
      const whole = await openShard(out, manifest, { split, shard }).then(() => true, (error) => {
        if (error instanceof DataError) return false;
        throw error;
      });
      if (whole) {
        await rm(unfinishedPath(out, split, shard), { force: true }); // where the process ended before it could
        kept++;
        continue;
      }
      const begun = await openUnfinished(out, manifest, { split, shard });
      jobs.push({ split, shard, ...shardRange(layout, shard), begun, have: begun?.paths.length ?? 0 });
    }
  }
  return { jobs, kept };
}

/** Bytes that the header of a shard takes besides paths, at most. */
const HEADER_BYTES = 2 ** 14;

/** Bytes of a shard, at most, where no problem is recorded. */
function shardBytesOf({ split, count }: Job, clips: FeatureClips, entry: number): number {
  const longest = clips[split].reduce((most, { path }) => Math.max(most, path.length), 0);
  // Every character of a path may need an escape, twice over.
  return count * (entry + 4 * longest + 8) + HEADER_BYTES;
}

/** Free bytes of the disk of a folder that may not exist yet. */
async function freeDiskBytes(folder: string): Promise<number> {
  let path = resolve(folder);
  while (true) {
    try {
      const { bavail, bsize } = await statfs(path);
      return bavail * bsize;
    } catch (error) {
      const parent = dirname(path);
      if ((error as { code?: string }).code !== "ENOENT" || parent === path) throw error;
      path = parent;
    }
  }
}

/** What a complete folder holds. */
async function summarise(
  out: string,
  manifest: FeatureManifest,
): Promise<Pick<ExtractResult, "clips" | "shards" | "bytes" | "broken" | "bad">> {
  const problems = new ProblemLog();
  const sum = { clips: 0, shards: 0, bytes: 0, bad: 0 };
  for (const split of FEATURE_SPLITS) {
    const { entries, shards } = manifest.splits[split];
    sum.clips += entries;
    sum.shards += shards;
    for (let shard = 0; shard < shards; shard++) {
      const { bad, problems: own } = await openShard(out, manifest, { split, shard });
      sum.bytes += (await Deno.stat(shardPath(out, split, shard))).size;
      sum.bad += bad.length;
      for (const { path, problem } of own) problems.add({ path, problem });
    }
  }
  return { ...sum, broken: problems.list };
}
