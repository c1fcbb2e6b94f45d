/** The models and what goes with them. */

export { createModel, type ModelSpec } from "./create.ts";
export {
  checkAccount,
  PARAMETER_GROUPS,
  type Weight,
  type WeightKind,
  Weights,
  type WeightSource,
} from "./params.ts";
export { Side4Video, type Side4VideoConfig } from "./side4video.ts";
export { explainClip, patchesOf, presetName, VIT_PRESETS, type VitConfig } from "./clip/vit.ts";
export type { Mode, VideoModel, VideoOutput } from "./video_model.ts";
