/** Building a video model from plain data, so that a Worker can be told which one it holds. */

import type { Dtype } from "../gpu/graph.ts";
import { Side4Video, type Side4VideoConfig } from "./side4video.ts";
import { Side4VideoEva, type Side4VideoEvaConfig } from "./side4video_eva.ts";
import { TdsClip, type TdsClipConfig } from "./tds_clip.ts";
import type { TapSource, VideoModel } from "./video_model.ts";

/** The systems and what each is configured with. */
type SystemConfig =
  | { system: "side4video"; config: Side4VideoConfig }
  | { system: "side4video-eva"; config: Side4VideoEvaConfig }
  | { system: "tds-clip"; config: TdsClipConfig };

/** Which model, in plain data. */
export type ModelSpec = SystemConfig & {
  /** Storage type of frozen matrices and backbone activations. */
  backboneDtype: Dtype;
  /** Where its taps come from: "tower" by default. */
  taps?: TapSource;
};

/** Builds a model. */
export function createModel(spec: ModelSpec): VideoModel {
  const { backboneDtype, taps } = spec, options = { backboneDtype, taps };
  switch (spec.system) {
    case "side4video":
      return new Side4Video(spec.config, options);
    case "side4video-eva":
      return new Side4VideoEva(spec.config, options);
    case "tds-clip":
      return new TdsClip(spec.config, options);
  }
}
