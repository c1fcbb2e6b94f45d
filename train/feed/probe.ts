/** How large the frames of a data set are, from the headers of some of them, so that upload buffers fit before the run. */

import { join } from "node:path";
import { clipPath } from "../../data/clip_path.ts";
import type { ClipRecord } from "../../data/datasets/list.ts";
import { mapConcurrently } from "../../data/datasets/walk.ts";
import { type FrameCache, storedSize } from "../../data/frame_cache/frame_cache.ts";
import { listFrames, parseFrameTemplate } from "../../data/frames/frame_folder.ts";
import { MOST_FRAME_SIDE, requireFrameFileSize } from "../../data/frames/limits.ts";
import { decodePicture, pictureSize } from "../../data/frames/picture.ts";
import { resizeInBuffers, type TransformRecipe } from "../../data/transforms/recipe.ts";
import { probeVideo } from "../../data/video/decode.ts";
import { ConfigError } from "../../lib/errors.ts";
import { sideOf } from "./frame_cache.ts";
import type { TellStage } from "../../lib/stage.ts";
import type { Config } from "../recipe/config.ts";
import { transformRecipe } from "../recipe/config.ts";
import { type ExpectedFrame, type FrameSize, united } from "../runtime/frame_buffers.ts";

/** Clips whose first frame is looked at; a larger frame met later makes the buffers grow, which the log tells. */
const CLIPS_PROBED = 200;
/** The same for video files, each of which takes a program some 50 ms to look at. */
const VIDEOS_PROBED = 40;
/** Clips looked at in one go: each is a file that is read, or a program that is waited for. */
const AT_ONCE = Math.max(2, Math.min(8, navigator.hardwareConcurrency));
/** Bytes of a file that hold its frame header in practice, embedded previews included; some kinds have it at the end. */
const HEADER_BYTES = 64 * 1024;
/** Larger files are not read whole for their size. */
const WHOLE_BYTES = 64 * 2 ** 20;

/**
 * Frames of this size or less are expected: the largest found, or the target of the first resize.
 *
 * @param options.cached for each of the splits, the frame cache that its clips come out of, which shrinks them; null: none
 * @param options.refusals for each of the splits, why frames of a size cannot be used; null where they can
 * @param options.anySize a session is to open whatever sizes there are
 * @param options.stage told how many of the clips have been looked at
 * @throws {ConfigError} where those of all clips of a split cannot, as far as they are looked at
 */
export async function largestFrame(
  config: Pick<Config, "data">,
  splits: readonly (readonly [root: string, clips: readonly ClipRecord[]])[],
  options: {
    cached?: readonly (Pick<FrameCache, "side" | "modality"> | null)[];
    refusals?: readonly ((size: FrameSize) => string | null)[];
    anySize?: boolean;
    signal?: AbortSignal;
    stage?: TellStage;
  } = {},
): Promise<ExpectedFrame> {
  const recipe = transformRecipe(config), { size } = recipe, resize = resizeInBuffers(recipe);
  const least = resize.kind === "exact" ? resize : { width: size, height: size };
  const largest = { width: Math.max(size, least.width), height: Math.max(size, least.height) };
  const { image_tmpl, first_frame: firstFrame } = config.data, template = parseFrameTemplate(image_tmpl);
  const seen: (FrameSize & { shrunk: FrameSize })[] = [], side = sideOf(config);
  const most = config.data.modality === "RGB" ? CLIPS_PROBED : VIDEOS_PROBED;
  const probed = splits.map(([root, clips]) => someOf(clips, most).map((clip) => ({ root, clip })));
  const { signal, stage } = options;
  const found = await mapConcurrently(probed.flat(), async ({ root, clip }) => {
    signal?.throwIfAborted();
    const path = clipPath(root, clip.path);
    const frame = await listFrames(path, template, firstFrame).then(
      ({ first }) => join(path, template.name(first)),
      () => null, // a video, or nothing: the loader will name it
    );
    // `predict` takes folders and videos whatever the recipe says.
    const ofFile = frame === null ? await videoSize(path, signal) : await sizeOf(frame);
    return { clip, frame, ofFile };
  }, {
    atOnce: AT_ONCE,
    signal,
    onProgress: (done, of) => stage?.({ what: "looking at the clips", done, of, unit: "clips" }),
  });
  const looked = probed.map(({ length }) => found.splice(0, length));
  for (const [split, [root]] of splits.entries()) {
    let sized = 0;
    const refused: string[] = [];
    for (const { clip, frame, ofFile } of looked[split]) {
      if (!ofFile) continue;
      const cache = options.cached?.[split] ?? null;
      const isCached = cache !== null && (frame === null || cache.modality !== "video");
      const size = isCached ? storedSize(ofFile, cache.side) : ofFile;
      const reason = options.refusals?.[split]?.(size) ?? null;
      if (reason !== null && frame !== null && await isBrokenPicture(frame)) continue;
      sized++;
      if (reason !== null) {
        refused.push(`${clip.path}: ${reason}`);
        continue;
      }
      const own = sizeInBuffers(size, resize), larger = united(largest, own);
      if (Math.max(own.width, own.height) > MOST_FRAME_SIDE) continue; // refused when it comes
      const grows = larger.width > largest.width || larger.height > largest.height;
      if (grows && frame !== null && await isBrokenPicture(frame)) continue; // its header may state any size
      seen.push({ ...own, shrunk: isCached ? own : sizeInBuffers(storedSize(size, side), resize) });
      Object.assign(largest, larger);
    }
    if (sized > 0 && refused.length === sized) {
      throw new ConfigError(
        `Cannot use the clips under "${root}": one or more of ${sized} looked at must fit the recipe, current count is 0; ${
          refused[0]
        }`,
      );
    }
  }
  const usual = usualFrame(seen).reduce(united, { width: least.width, height: least.height });
  const isUsual = usual.width === largest.width && usual.height === largest.height;
  return {
    ...largest,
    ...!isUsual && seen.length > 0 && { usual: united(usual, { width: size, height: size }) },
    ...seen.length > 0 && { found: distinct(seen) },
    ...options.anySize && { anySize: true },
  };
}

/** Each size once, the smallest first. */
function distinct<Size extends FrameSize>(sizes: readonly Size[]): Size[] {
  const bySide = new Map(sizes.map((size) => [`${size.width}x${size.height}`, size]));
  return [...bySide.values()].sort((a, b) => a.width * a.height - b.width * b.height);
}

/** At most so many of a list, spread over it. */
function someOf<T>(items: readonly T[], most: number): T[] {
  const stride = Math.max(1, Math.ceil(items.length / most));
  return items.filter((_, i) => i % stride === 0);
}

/** Frames of more than so many times the pixels of the middle one are far larger than most. */
const FAR_LARGER = 16;

/** The sizes without those that are far larger than most. */
function usualFrame(sizes: readonly FrameSize[]): FrameSize[] {
  const pixels = sizes.map(({ width, height }) => width * height).sort((a, b) => a - b);
  const most = FAR_LARGER * pixels[(pixels.length - 1) >> 1];
  return sizes.filter(({ width, height }) => width * height <= most);
}

/** The room that a frame needs: its own size, or that after the first resize. */
export function sizeInBuffers({ width, height }: FrameSize, resize: TransformRecipe["resize"]): FrameSize {
  const scale = resize.kind === "shortSide" ? resize.side / Math.min(width, height) : 1;
  return {
    width: Math.max(width, Math.ceil(width * scale)),
    height: Math.max(height, Math.ceil(height * scale)),
  };
}

/** Size of a picture, or null when it cannot be told: the loader will name what is wrong with it. */
async function sizeOf(path: string): Promise<{ width: number; height: number } | null> {
  try {
    const info = await Deno.stat(path);
    if (!info.isFile) return null; // a pipe would be waited for without end
    using file = await Deno.open(path);
    const bytes = new Uint8Array(HEADER_BYTES);
    const head = bytes.subarray(0, await file.read(bytes) ?? 0);
    return await pictureSize(head).catch(async (error) => {
      if (info.size <= head.length || info.size > WHOLE_BYTES) throw error;
      return await pictureSize(await Deno.readFile(path));
    });
  } catch {
    return null;
  }
}

/** Whether there is a picture that cannot be decoded. */
async function isBrokenPicture(path: string): Promise<boolean> {
  const info = await Deno.stat(path).catch(() => null);
  if (info === null) return false; // none: the size is a video's
  if (!info.isFile) return true;
  try {
    requireFrameFileSize(info.size);
    await decodePicture(await Deno.readFile(path));
    return false;
  } catch {
    return true;
  }
}

/** Size of a video, or null; that ffprobe is missing is told at once. */
async function videoSize(
  path: string,
  signal?: AbortSignal,
): Promise<{ width: number; height: number } | null> {
  try {
    return await probeVideo(path, { signal });
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof ConfigError) throw error;
    return null;
  }
}
