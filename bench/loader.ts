/**
 * Measures how fast clips get from disk to the GPU, beside what its parts can do alone: npm:sharp on the same JPEG files, ffmpeg
 * on the same videos. Also the memory of a long run, and how long a training step waits for its data.
 *
 * Rates are given by the clock and by the CPU time of all threads: the second is a rate per core, and holds on a machine that
 * is shared with other work. The loader decodes; resize, crop and normalisation are kernels (`frames.gpu`).
 */
import { readFile } from "node:fs/promises";
import { writeFileWhole } from "../data/files.ts";
import { join } from "node:path";
import process from "node:process";
import sharp from "sharp";
import {
  type BenchSet,
  framePaths,
  HEIGHT,
  jpegBytes,
  WIDTH,
  writeFrameFolders,
  writeVideos,
} from "./_loader_files.ts";
import type { Measurement } from "./matmul.ts";
import { createClipLoader } from "../data/loader.ts";
import { defaultWorkerCount } from "../data/frames/decode_pool.ts";
import { epochOrder } from "../data/sampling/epoch_order.ts";
import { trainIndices } from "../data/sampling/frame_indices.ts";
import { publishedRecipe } from "../data/transforms/recipe.ts";
import { sampleTransform } from "../data/transforms/sample.ts";
import { openGpu } from "../gpu/device.ts";
import { createFramePrep } from "../gpu/frames.ts";
import { createPrng, type Prng } from "../lib/random.ts";
import { parseConfig } from "../train/recipe/config.ts";
import { createRunFolder, type StepRecord } from "../train/files/run_folder.ts";
import { train } from "../train/run/trainer.ts";

/** A rate of frames beside the common fields. */
export interface LoaderMeasurement extends Measurement {
  frames_per_second?: number;
  /** By the CPU time of all threads: frames a second of one core. */
  frames_per_core_second?: number;
  /** Of `frames_per_core_second` to that of the library alone. */
  ratio?: number;
  /** Resident memory in the first half of the clips and in the second, in MB. */
  rss_start_mb?: number;
  rss_end_mb?: number;
  growth_mb?: number;
  /** Share of the time of training steps that was spent waiting for clips. */
  data_wait?: number;
}

const SEGMENTS = 8, BATCH = 16, SEED = 1, ROUNDS = 3;
/** Clips on disk, and their frames. */
const FOLDERS = 24, FRAMES = 60;
/** Clips of one round. */
const ROUND_CLIPS = 96;
/** Clips between two looks at the memory. */
export const MARK_CLIPS = 200;
const MB = 2 ** 20;

/** Time by the clock and of all threads, in ms. */
async function timed(work: () => Promise<number>) {
  const started = performance.now(), before = process.cpuUsage();
  const frames = await work();
  const { user, system } = process.cpuUsage(before);
  return { frames, ms: performance.now() - started, cpuMs: (user + system) / 1000 };
}

type Timing = Awaited<ReturnType<typeof timed>>;

/** The best of two rounds of the same work, by the clock and by CPU time. */
function better(a: Timing | null, b: Timing): Timing {
  if (a === null) return b;
  return { frames: b.frames, ms: Math.min(a.ms, b.ms), cpuMs: Math.min(a.cpuMs, b.cpuMs) };
}

function loaderOptions({ root, modality, template }: BenchSet) {
  const sampler = (frames: number, prng: Prng) =>
    trainIndices(frames, { rule: "sth", segments: SEGMENTS }, prng);
  return { root, modality, template, sampler, seed: SEED };
}

/** Times an epoch of the loader, which has been at work before: its workers have started. */
async function timeEpoch(
  set: BenchSet,
  options: { workers: number; clips: number; all?: boolean },
): Promise<Timing> {
  const { workers, clips, all } = options;
  const list = Array.from({ length: clips }, (_, i) => set.clips[i % set.clips.length]);
  const everyFrame = (frames: number) => Array.from({ length: frames }, (_, i) => i + 1);
  await using loader = createClipLoader({
    ...loaderOptions(set),
    ...all && { sampler: everyFrame },
    clips: list,
    workers,
  });
  const pass = async (epoch: number, count: number) => {
    const order = epochOrder({ clips: count, epoch, seed: SEED, shuffle: true, batchSize: BATCH });
    let frames = 0;
    for await (const batch of loader.epoch(order, BATCH)) {
      for (const clip of batch.clips) frames += clip.frameIndices.length;
    }
    return frames;
  };
  if (set.modality === "frames") await pass(0, BATCH);
  const timing = await timed(() => pass(1, clips));
  if (loader.stats().substitutions > 0) {
    throw new Error("Cannot bench the loader: its own files must be readable");
  }
  return timing;
}

/** Decodes every file with sharp alone, one after the other. Returns the number of frames. */
async function decodeWithSharp(files: readonly string[]): Promise<number> {
  for (const file of files) await sharp(await readFile(file)).raw().toBuffer();
  return files.length;
}

/** The loader beside sharp, in turns, the best of a few rounds each. */
async function* benchFolders(set: BenchSet): AsyncGenerator<LoaderMeasurement> {
  const size = `${WIDTH}x${HEIGHT}x3, ${Math.round(await jpegBytes(set) / 1000)} kB`;
  const files = framePaths(set), prng = createPrng(SEED);
  const some = Array.from({ length: ROUND_CLIPS * SEGMENTS }, () => files[prng.integer(files.length)]);
  const counts = [1, defaultWorkerCount()].filter((count, i, list) => list.indexOf(count) === i);
  let alone: Timing | null = null;
  const ours: (Timing | null)[] = counts.map(() => null);
  for (let round = 0; round < ROUNDS; round++) {
    alone = better(alone, await timed(() => decodeWithSharp(some)));
    for (const [i, workers] of counts.entries()) {
      ours[i] = better(ours[i], await timeEpoch(set, { workers, clips: ROUND_CLIPS }));
    }
  }
  yield rateRow("loader.sharp", "npm:sharp alone, one by one", size, alone!);
  for (const [i, workers] of counts.entries()) {
    yield rateRow("loader", `frame folders, ${workersText(workers)}`, size, ours[i]!, alone!);
  }
}

/** The loader on videos beside ffmpeg alone, both one process at a time, decoding every frame. */
async function* benchVideos(set: BenchSet): AsyncGenerator<LoaderMeasurement> {
  const size = `${WIDTH}x${HEIGHT}x3, H.264`, clips = set.clips.length;
  const all = { workers: 1, clips, all: true };
  const first = await timeEpoch(set, all); // asks ffprobe about each
  let alone = Infinity, later = Infinity, sampled = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    alone = Math.min(alone, (await timed(() => decodeWithFfmpeg(set))).ms);
    later = Math.min(later, (await timeEpoch(set, all)).ms);
    sampled = Math.min(sampled, (await timeEpoch(set, { ...all, all: false })).ms);
  }
  const row = (name: string, variant: string, ms: number, frames = clips * set.frames) => ({
    ...rateRow(name, variant, size, { frames, ms, cpuMs: 0 }),
    frames_per_core_second: undefined, // the time of the programs is not counted
  });
  const ratio = (ms: number) => Number((alone / ms).toFixed(3));
  yield row("loader.ffmpeg", "ffmpeg -f null alone, one thread", alone);
  yield { ...row("loader", "videos whole, 1 process, first epoch", first.ms), ratio: ratio(first.ms) };
  yield { ...row("loader", "videos whole, 1 process, later epochs", later), ratio: ratio(later) };
  yield row("loader", `videos, ${SEGMENTS} of ${set.frames} frames, 1 process`, sampled, clips * SEGMENTS);
}

async function decodeWithFfmpeg({ root, clips, frames }: BenchSet): Promise<number> {
  for (const { path } of clips) {
    const args = ["-v", "error", "-nostdin", "-threads", "1", "-i", join(root, path), "-f", "null", "-"];
    const { success } = await new Deno.Command("ffmpeg", { args, stdin: "null" }).output();
    if (!success) throw new Error(`Cannot bench videos: ffmpeg must decode ${path}`);
  }
  return clips.length * frames;
}

/** Resident memory while so many clips pass; the first look comes after the warm-up. */
async function* benchMemory(set: BenchSet, clips: number): AsyncGenerator<LoaderMeasurement> {
  const marks: number[] = [];
  const list = Array.from({ length: clips }, (_, i) => set.clips[i % set.clips.length]);
  const started = performance.now();
  await using loader = createClipLoader({ ...loaderOptions(set), clips: list });
  const order = epochOrder({ clips, epoch: 0, seed: SEED, shuffle: true, batchSize: BATCH });
  let done = 0;
  for await (const batch of loader.epoch(order, BATCH)) {
    done += batch.clips.length;
    if (done >= (marks.length + 1) * MARK_CLIPS) marks.push(Deno.memoryUsage().rss / MB);
  }
  // Single looks wander by tens of MB with the garbage collector: the halves are compared by their middle ones.
  const half = Math.floor(marks.length / 2);
  const start = median(marks.slice(0, half)), end = median(marks.slice(half));
  yield {
    ...rateRow(
      "loader.memory",
      `resident after each ${MARK_CLIPS}: ${marks.map(Math.round).join(", ")} MB`,
      `${clips} clips`,
      {
        frames: clips * SEGMENTS,
        ms: performance.now() - started,
        cpuMs: 0,
      },
    ),
    frames_per_core_second: undefined,
    rss_start_mb: start,
    rss_end_mb: end,
    growth_mb: end - start,
  };
}

/** Resize, crop, flip and normalisation of decoded clips on the GPU, by the published recipe without RandAugment. */
async function* benchPreparation(set: BenchSet): AsyncGenerator<LoaderMeasurement> {
  using gpu = await openGpu();
  const recipe = publishedRecipe("kinetics"), { size } = recipe, clips = 4;
  const { clips: decoded } = await firstBatch(set, clips);
  const options = {
    clips,
    frames: SEGMENTS,
    maxWidth: 456,
    maxHeight: HEIGHT,
    size,
    outType: "f32",
  } as const;
  const prep = createFramePrep(gpu.device, options);
  const { STORAGE } = GPUBufferUsage;
  const buffer = gpu.device.createBuffer({ label: "input", size: clips * prep.clipBytes, usage: STORAGE });
  let best = Infinity;
  for (let round = 0; round <= ROUNDS; round++) {
    const started = performance.now();
    const encoder = gpu.device.createCommandEncoder();
    const batch = decoded.map((clip) => ({
      ...clip,
      transform: sampleTransform(clip, recipe, createPrng(...clip.seeds)),
    }));
    prep.encode(encoder, batch, { buffer, offset: 0 });
    gpu.device.queue.submit([encoder.finish()]);
    await gpu.device.queue.onSubmittedWorkDone();
    if (round > 0) best = Math.min(best, performance.now() - started);
  }
  prep.destroy();
  buffer.destroy();
  yield {
    ...rateRow(
      "loader.gpu",
      "upload, resize, crop, flip, normalise",
      `${WIDTH}x${HEIGHT}x3 to 3x${size}x${size}`,
      {
        frames: clips * SEGMENTS,
        ms: best,
        cpuMs: 0,
      },
    ),
    frames_per_core_second: undefined,
    adapter: gpu.name,
  };
}

async function firstBatch(set: BenchSet, clips: number) {
  await using loader = createClipLoader({ ...loaderOptions(set), clips: set.clips.slice(0, clips) });
  const order = epochOrder({ clips, epoch: 0, seed: SEED, shuffle: false, batchSize: clips });
  for await (const batch of loader.epoch(order, clips)) return batch;
  throw new Error("Cannot bench the loader: a batch must come");
}

/** A short real run of the demo's model on these frames: the share of its time that it waits for them. */
async function* benchWait(set: BenchSet): AsyncGenerator<LoaderMeasurement> {
  const lines = set.clips.map(({ path, label }) => `${path} ${set.frames} ${label}`);
  const list = Array.from({ length: Math.ceil(192 / lines.length) }, () => lines).flat();
  await writeFileWhole(join(set.root, "train.txt"), list.join("\n") + "\n");
  await writeFileWhole(join(set.root, "val.txt"), lines.slice(0, BATCH).join("\n") + "\n");
  const text = await Deno.readTextFile(new URL("../configs/demo.yaml", import.meta.url));
  const overrides = {
    ...{
      "data.synth": "null",
      "data.label_list": "null",
      "data.resize": "kinetics",
      "data.crop": "random_resized",
    },
    ...{
      "data.root": set.root,
      "data.train_list": `${set.root}/train.txt`,
      "data.val_list": `${set.root}/val.txt`,
    },
    ...{ "data.cache_mb": "0", "data.workers": String(defaultWorkerCount()), "solver.epochs": "2" },
    ...{
      "logging.print_freq": "4",
      "logging.eval_freq": "2",
      run_root: join(set.root, "runs"),
      name: "loader",
    },
  };
  const { config } = parseConfig(text, {
    source: "demo.yaml",
    overrides: Object.entries(overrides).map(([key, value]) => `${key}=${value}`),
  });
  using folder = await createRunFolder(config.run_root, config.name);
  const records: StepRecord[] = [];
  let adapter = "";
  await train({
    config,
    folder,
    events: { opened: (session) => adapter = session.adapter, step: (record) => records.push(record) },
  });
  const steady = records.slice(1); // the first line holds the start of the workers
  const share = steady.reduce((sum, { data_wait }) => sum + data_wait, 0) / steady.length;
  const rate = steady.reduce((sum, { clips_per_second }) => sum + clips_per_second, 0) / steady.length;
  yield {
    ...rateRow(
      "loader.wait",
      `training steps, ${workersText(config.data.workers)}`,
      `${BATCH}x${SEGMENTS}x3x32x32`,
      {
        frames: SEGMENTS,
        ms: 1000 / rate,
        cpuMs: 0,
      },
    ),
    frames_per_core_second: undefined,
    adapter,
    data_wait: Number(share.toFixed(3)),
  };
}

function median(values: readonly number[]): number {
  return Math.round(values.toSorted((a, b) => a - b)[values.length >> 1]);
}

function workersText(workers: number): string {
  return `${workers} worker${workers === 1 ? "" : "s"}`;
}

function rateRow(
  name: string,
  variant: string,
  shape: string,
  { frames, ms, cpuMs }: Timing,
  alone?: Timing,
): LoaderMeasurement {
  const perCore = frames / cpuMs * 1000;
  return {
    name,
    variant,
    shape,
    ms: Number((ms / frames).toFixed(4)),
    gflops: 0,
    gbps: 0,
    frames_per_second: Math.round(frames / ms * 1000),
    frames_per_core_second: Math.round(perCore),
    ...alone && { ratio: Number((perCore / (alone.frames / alone.cpuMs * 1000)).toFixed(3)) },
    adapter: "",
  };
}

/**
 * Measures the loader on generated clips of 340x256.
 *
 * @param options.clips Clips of the memory measurement.
 */
export async function* benchLoader(options: { clips: number }): AsyncGenerator<LoaderMeasurement> {
  const folder = await Deno.makeTempDir();
  sharp.concurrency(1);
  try {
    const set = await writeFrameFolders(folder, FOLDERS, FRAMES);
    yield* benchFolders(set);
    yield* benchMemory(set, options.clips);
    const videos = await writeVideos(set);
    if (videos) yield* benchVideos(videos);
    yield* benchPreparation(set);
    yield* benchWait(set);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
