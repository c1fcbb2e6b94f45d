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
export { Side4VideoEva, type Side4VideoEvaConfig } from "./side4video_eva.ts";
export { EVA_PRESETS, type EvaConfig } from "./eva/vit.ts";
export { explainBackbone } from "./explain.ts";
export { explainClip, patchesOf, presetName, VIT_PRESETS, type VitConfig } from "./clip/vit.ts";
export { DEFAULT_SME_SCALE, TDS_WINDOW, TdsClip, type TdsClipConfig } from "./tds_clip.ts";
export {
  type Mode,
  picturesOf,
  tapShape,
  type TapSource,
  type VideoModel,
  type VideoOutput,
} from "./video_model.ts";
