/** The clip transforms of a recipe. */
import { PUBLISHED_RAND_AUGMENT } from "../../data/transforms/rand_augment.ts";
import {
  ERASE_PROBABILITY,
  type FrameRecipe,
  SOMETHING_MIRROR_PAIRS,
  type TransformRecipe,
} from "../../data/transforms/recipe.ts";
import { FLOAT_FAMILY } from "../../models/system.ts";
import type { Config } from "./_settled.ts";

/** The clip transforms that a recipe asks for. */
export function transformRecipe(config: Pick<Config, "data">): FrameRecipe {
  const { data } = config;
  const size = data.input_size, testSide = data.test_side ?? size;
  const resize: FrameRecipe["resize"] = Array.isArray(data.resize)
    ? { kind: "exact", height: data.resize[0], width: data.resize[1] }
    : data.resize === "sth"
    ? { kind: "exact", height: 256, width: 320 }
    : data.resize === "kinetics"
    ? { kind: "shortSide", side: size === 224 ? 256 : size }
    : data.resize === "short"
    ? { kind: "shortSide", side: data.family === FLOAT_FAMILY ? testSide : size }
    : { kind: "none" };
  const mirror = data.flip === "sth" ? "result" : "frames";
  const common: TransformRecipe = {
    randAugment: data.rand_aug ? PUBLISHED_RAND_AUGMENT : null,
    colourJitter: data.colour_jitter,
    resize,
    crop: data.crop === "random_resized" ? "randomResized" : data.crop,
    size,
    flipProbability: data.flip === "none" ? 0 : 0.5,
    mirrorPairs: data.flip === "sth" ? SOMETHING_MIRROR_PAIRS : [],
    greyProbability: data.grey,
    eraseProbability: data.rand_erase ? ERASE_PROBABILITY : 0,
  };
  if (data.family !== FLOAT_FAMILY) return common;
  return { ...common, float: { area: data.crop_scale, ratio: data.crop_ratio, mirror, testSide } };
}
