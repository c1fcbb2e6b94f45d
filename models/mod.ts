/** The models and what goes with them. */

export { createModel, type ModelSpec } from "./create.ts";
export { checkAccount, type Weight, type WeightKind, Weights, type WeightSource } from "./params.ts";
export { registerSystem, systemOf, SYSTEMS } from "./registry.ts";
export type { System } from "./system.ts";
export { Side4Video } from "./side4video.ts";
export { Side4VideoEva } from "./side4video_eva.ts";
export { type RetrievalSizes, Side4VideoRetrieval } from "./side4video_retrieval.ts";
export { ClipModel, type ClipModelSizes, clipSizesIn } from "./clip_system.ts";
export { DEFAULT_SME_SCALE, TDS_WINDOW, TdsClip, type TdsClipConfig } from "./tds_clip.ts";
export { VIT_PRESETS } from "./clip/tower.ts";
export { EVA_PRESETS } from "./eva/tower.ts";
export type { FrozenTower, Tower, TowerSizes } from "./tower.ts";
export { explainBackbone, towerSizes } from "./towers.ts";
export {
  type Mode,
  type ModelInputs,
  type ModelOutput,
  picturesOf,
  tapShape,
  type TapSource,
  type VideoModel,
} from "./video_model.ts";
