/** Building a video model from plain data, so that a Worker can be told which one it holds. */

import type { Dtype } from "../gpu/graph.ts";
import { Side4Video, type Side4VideoConfig } from "./side4video.ts";
import type { VideoModel } from "./video_model.ts";

/** Which model, in plain data. */
export interface ModelSpec {
  system: "side4video";
  config: Side4VideoConfig;
  /** Storage type of frozen matrices and backbone activations. */
  backboneDtype: Dtype;
}

/** Builds a model. */
export function createModel(spec: ModelSpec): VideoModel {
  return new Side4Video(spec.config, { backboneDtype: spec.backboneDtype });
}
