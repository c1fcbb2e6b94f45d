/** The views of a clip: the centre of its frames, or crops and clips in time by the published test protocol. */

import type { LoadedClip } from "../../data/loader.ts";
import {
  centreTransform,
  knownTestCrops,
  type TestCrops,
  testTransforms,
} from "../../data/transforms/sample.ts";
import type { FrameClip } from "../../gpu/frames.ts";
import { ConfigError } from "../../lib/errors.ts";
import { orText } from "../../lib/text.ts";
import { evaluationSampler, padded, picturesOfView } from "../feed/sampling.ts";
import type { Config } from "../recipe/config.ts";
import { transformRecipe } from "../recipe/transform.ts";

/** Views of every clip: crops in space times clips in time. null: the single centre view of validation inside training. */
export interface Views {
  crops: TestCrops;
  clips: number;
}

/** The views of `crops` and `clips`, where one alone leaves the other at 1; without both, the rule of validation. */
export function chosenViews({ crops, clips }: Partial<Views>): Views | null {
  return crops === undefined && clips === undefined ? null : { crops: crops ?? 1, clips: clips ?? 1 };
}

/**
 * Fails where the rules of a recipe do not know a number of crops.
 *
 * @throws {ConfigError}
 */
export function requireKnownCrops(config: Config, views: Views | null): void {
  const known = knownTestCrops(transformRecipe(config)), crops = views?.crops ?? 1;
  if (known.includes(crops)) return;
  throw new ConfigError(
    `Cannot see clips in ${crops} crops: test crops of data.family=${config.data.family} must be ${
      orText(known)
    }, current value is ${crops}`,
  );
}

/** Number of views of a clip. */
export function viewCount(views: Views | null): number {
  return views ? views.crops * views.clips : 1;
}

/** The views of a decoded clip, in the published order: crop-major, then clip, then frame. */
export function viewsOf(
  clip: Pick<LoadedClip, "frames" | "width" | "height">,
  config: Config,
  views: Views | null,
): FrameClip[] {
  const { width, height } = clip, recipe = transformRecipe(config);
  const frameBytes = width * height * 3, bytes = picturesOfView(config) * frameBytes;
  const part = (k: number) =>
    padded(config, { frames: clip.frames.subarray(k * bytes, (k + 1) * bytes), frameBytes });
  if (!views) return [{ frames: part(0), width, height, transform: centreTransform(clip, recipe) }];
  return testTransforms(clip, recipe, views.crops).flatMap((transform) =>
    Array.from({ length: views.clips }, (_, k) => ({ frames: part(k), width, height, transform }))
  );
}

/**
 * The frame-index rule of a kind of views.
 *
 * @param options.frameRate Frames a second of a clip that does not tell; what the recipe assumes by default.
 */
export function viewSampler(
  config: Config,
  views: Views | null,
  { frameRate = null }: { frameRate?: number | null } = {},
): ReturnType<typeof evaluationSampler> {
  const sampler = evaluationSampler(config, views?.clips ?? null);
  return (frames, draws, rate) => sampler(frames, draws, rate ?? frameRate);
}
