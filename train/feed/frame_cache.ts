/** The frame cache of a recipe: a folder that it names, or one of the run itself. */

import { mkdir, statfs } from "node:fs/promises";
import { join } from "node:path";
import pMap from "p-map";
import { clipPath } from "../../data/clip_path.ts";
import type { ClipRecord } from "../../data/datasets/list.ts";
import { reading } from "../../data/files.ts";
import { FrameCache, storedSize } from "../../data/frame_cache/frame_cache.ts";
import { probeVideo } from "../../data/video/decode.ts";
import { ConfigError } from "../../lib/errors.ts";
import { formatBytes, formatCount } from "../../lib/text.ts";
import { type Config, dataRoots, transformRecipe } from "../recipe/config.ts";
import { FRAME_CACHE_FOLDER, isFolder } from "../recipe/frame_cache.ts";
import { clipModality } from "./sampling.ts";

/** Size of a run's own cache, at most; and no more than this share of what the disk has free. */
const MOST_BYTES = 64 * 2 ** 30, DISK_SHARE = 0.5;
/** Videos whose size is looked at to know that of all. */
const VIDEOS_PROBED = 16;
/** Bytes of a stored picture by its pixels, about: JPEG of quality 95. */
const BYTES_PER_PIXEL = 0.4;

/** Opens the frame cache whose folder a recipe names; null where it names none. Close it after what reads from it. */
export async function openFrameCache(
  config: Pick<Config, "data">,
  warn?: (text: string) => void,
): Promise<FrameCache | null> {
  const { frame_cache: folder, frame_cache_side: side, image_tmpl: template, first_frame: firstFrame } =
    config.data;
  if (!isFolder(folder)) return null;
  return await FrameCache.open({ folder, side, template, firstFrame, modality: clipModality(config), warn });
}

/**
 * Settles a new run's `data.frame_cache: auto`. The run keeps the answer, because what it sees of a video depends on it.
 *
 * @param options.clips Those of training.
 * @param options.folder The run's.
 * @returns The recipe with `run` or null, and what there is to say.
 */
export async function settleFrameCache<C extends Config>(
  config: C,
  options: { clips: readonly ClipRecord[]; folder: string },
): Promise<{ config: C; note: string | null }> {
  const { data, solver } = config;
  if (data.frame_cache !== "auto") return { config, note: null };
  const settled = (frame_cache: string | null) => ({ ...config, data: { ...data, frame_cache } });
  const epochs = solver.evaluate ? 0 : solver.epochs - solver.start_epoch;
  if (data.modality === "RGB" || data.features !== null || epochs < 2) {
    return { config: settled(null), note: null };
  }
  const needed = await storedBytes(config, options.clips);
  if (needed === 0) return { config: settled(null), note: null };
  const room = await roomFor(options.folder);
  if (needed <= room) return { config: settled("run"), note: null };
  const note =
    `the frames of all training videos would take about ${formatBytes(needed)} on the disk, ${
      formatBytes(room)
    } are ` +
    `there for them: videos are decoded anew in every epoch; data.frame_cache=DIR keeps them on another disk`;
  return { config: settled(null), note };
}

/**
 * Opens the cache of a run: that of its recipe, or its own, which holds training videos alone. So that all evaluations of a
 * model see the same, validation reads the files.
 */
export async function openRunCache(
  config: Config,
  options: { folder: string; warn?: (text: string) => void },
): Promise<FrameCache | null> {
  const { data } = config, { warn } = options;
  if (data.frame_cache !== "run") return await openFrameCache(config, warn);
  if (data.modality === "RGB") return null;
  const folder = join(options.folder, FRAME_CACHE_FOLDER);
  return await FrameCache.open({
    folder,
    side: sideOf(config),
    template: data.image_tmpl,
    firstFrame: data.first_frame,
    modality: "video",
    mostBytes: MOST_BYTES,
    renew: true,
    warn,
  });
}

/**
 * One process alone may fill a frame cache: several ranks do without that of their run.
 *
 * @throws {ConfigError} where a recipe names a folder.
 */
export function withoutFrameCache<C extends Config>(
  config: C,
  { note }: { note?: (text: string) => void },
): C {
  const { data } = config;
  if (data.frame_cache === null || data.features !== null) return config;
  if (isFolder(data.frame_cache)) {
    throw new ConfigError(
      `Cannot use data.frame_cache "${data.frame_cache}" with several ranks: one process alone may write to it; ` +
        "leave it out (data.frame_cache=null), or shrink the frames once",
    );
  }
  if (data.frame_cache === "run") {
    note?.("several ranks keep no decoded frames: data.frame_cache is null in this run");
  }
  return { ...config, data: { ...data, frame_cache: null } };
}

/** What a frame cache holds, in words. */
export function describeFrameCache(cache: FrameCache): string {
  const clips = cache.clips === 1 ? "1 clip" : `${formatCount(cache.clips)} clips`;
  return `frame cache ${cache.folder}: ${clips}, ${formatBytes(cache.sizeBytes)}`;
}

/** Said once, of a run's own cache that is still empty. */
export function announceFrameCache({ folder }: FrameCache): string {
  return `decoded frames of the training videos are kept in ${folder}, at most ${
    formatBytes(MOST_BYTES)
  }: the first epoch ` +
    `fills it, the others read it, and it may be deleted; data.frame_cache=null does without`;
}

/** Short side of stored frames: nothing that the transform looks at is lost by it. */
export function sideOf(config: Pick<Config, "data">): number {
  const { resize, size } = transformRecipe(config), least = config.data.frame_cache_side;
  if (resize.kind === "shortSide") return Math.max(least, resize.side);
  if (resize.kind === "exact") return Math.max(least, resize.width, resize.height);
  return Math.max(least, Math.ceil(size * 8 / 7));
}

/** Bytes that all videos would take, from some of them; 0 where there are none. */
async function storedBytes(config: Config, clips: readonly ClipRecord[]): Promise<number> {
  const { train: root } = dataRoots(config), side = sideOf(config);
  const stride = Math.max(1, Math.floor(clips.length / VIDEOS_PROBED));
  const probed = clips.filter((_, i) => i % stride === 0);
  const sizes = await pMap(probed, async ({ path }) => {
    try {
      const file = clipPath(root, path);
      if ((await Deno.stat(file)).isDirectory) return 0;
      const { frames, ...info } = await probeVideo(file), { width, height } = storedSize(info, side);
      return frames * width * height * BYTES_PER_PIXEL;
    } catch (error) {
      if (error instanceof ConfigError) throw error; // ffprobe is missing
      return 0; // the loader will name it
    }
  }, { concurrency: 4 });
  return Math.ceil(sizes.reduce((sum, bytes) => sum + bytes, 0) / Math.max(1, sizes.length) * clips.length);
}

async function roomFor(folder: string): Promise<number> {
  await mkdir(folder, { recursive: true });
  const { bavail, bsize } = await reading(folder, () => statfs(folder));
  return Math.min(MOST_BYTES, Math.floor(DISK_SHARE * bavail * bsize));
}
