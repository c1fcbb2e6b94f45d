/** Training clips from files: frames as the recipe samples them, with a transform drawn for each. */

import type { ClipRecord } from "../../data/datasets/list.ts";
import type { FrameCache } from "../../data/frame_cache/frame_cache.ts";
import { createClipLoader } from "../../data/loader.ts";
import { sampleTransform, transformedLabel } from "../../data/transforms/sample.ts";
import { createPrng } from "../../lib/random.ts";
import { type ClipFeed, feedFrom } from "./clip_feed.ts";
import { type Config, dataRoots, transformRecipe } from "../recipe/config.ts";
import type { FrameSize } from "../runtime/frame_buffers.ts";
import { frameRefusal, mostBatchBytes, shrinkRule, shrinkTeller } from "./frame_room.ts";
import { problemsOf } from "./problems.ts";
import { clipModality, needsRate, padded, readRule, trainSampler } from "./sampling.ts";

/** Opens the feed of a recipe's training clips. @param options.room the largest frame that the adapter can take; larger ones are shrunk */
export function trainingFeed(
  config: Config,
  clips: readonly ClipRecord[],
  options: { frameCache?: FrameCache | null; room?: FrameSize | null; note?: (text: string) => void } = {},
): ClipFeed {
  const { data } = config, { room = null, note } = options, recipe = transformRecipe(config);
  const loader = createClipLoader({
    clips,
    root: dataRoots(config).train,
    modality: clipModality(config),
    template: data.image_tmpl,
    firstFrame: data.first_frame,
    sampler: readRule(config, trainSampler(config)),
    needsRate: needsRate(config, "train"),
    seed: config.seed,
    workers: data.workers,
    cacheBytes: data.cache_mb * 2 ** 20,
    frameCache: options.frameCache ?? undefined,
    replaceBad: true,
    refuses: frameRefusal(config, "train", room),
    shrink: shrinkRule(config, room),
    onShrunk: shrinkTeller(config, room, note),
    mostBatchBytes: mostBatchBytes(),
    blankSize: { width: data.input_size, height: data.input_size },
  });
  return feedFrom(loader, (clip) => {
    const { index, path, width, height, bad, frameIndices } = clip;
    const frames = padded(config, { frames: clip.frames, frameBytes: width * height * 3 });
    const transform = sampleTransform(clip, recipe, createPrng(...clip.seeds));
    const label = transformedLabel(clip.label, transform, recipe);
    return {
      index,
      path,
      label,
      frameCount: frameIndices.length,
      views: [{ frames, width, height, transform }],
      problems: problemsOf(clip),
      bad,
    };
  });
}
