/** Building a video model from plain data, so that a run can say which one it trains. */

import type { Dtype } from "../gpu/graph.ts";
import { systemOf } from "./registry.ts";
import type { TapSource, VideoModel } from "./video_model.ts";

/** Which model, in plain data. */
export interface ModelSpec {
  /** The system's name. */
  readonly system: string;
  /** What it is built from: what its record makes of a recipe. */
  readonly sizes: object;
  /** Storage type of frozen matrices and backbone activations. */
  readonly backboneDtype: Dtype;
  /** Where its taps come from: "tower" by default. */
  readonly taps?: TapSource;
}

/**
 * Builds a model.
 *
 * @throws {RangeError} for a system that nobody registered, or sizes that do not go together.
 */
export function createModel({ system, sizes, backboneDtype, taps }: ModelSpec): VideoModel {
  return systemOf(system).build(sizes, { backboneDtype, taps });
}
