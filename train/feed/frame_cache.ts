/** The frame cache of a recipe. */

import { FrameCache } from "../../data/frame_cache/frame_cache.ts";
import type { Config } from "../recipe/config.ts";
import { formatBytes, formatCount } from "../../lib/text.ts";
import { clipModality } from "./sampling.ts";

/** Opens the frame cache that a recipe names; null where it names none. Close it after what reads from it. */
export async function openFrameCache(
  config: Pick<Config, "data">,
  warn?: (text: string) => void,
): Promise<FrameCache | null> {
  const { frame_cache: folder, frame_cache_side: side, image_tmpl: template, first_frame: firstFrame } =
    config.data;
  if (folder === null) return null;
  return await FrameCache.open({ folder, side, template, firstFrame, modality: clipModality(config), warn });
}

/** What a frame cache holds, in words. */
export function describeFrameCache(cache: FrameCache): string {
  const clips = cache.clips === 1 ? "1 clip" : `${formatCount(cache.clips)} clips`;
  return `frame cache ${cache.folder}: ${clips}, ${formatBytes(cache.sizeBytes)}`;
}
