/** What recorded reference cases of Side4Video and TDS-CLIP have in common: the originals' names of sizes, and their layouts. */

import { permute } from "../../lib/permute.ts";
import type { ClipClassifierSizes } from "./clip_classifier.ts";
import { sideGroups } from "./recipe_parts.ts";
import type { OptimizerGroup, RecordedActivation } from "../system.ts";
import type { TowerSizes } from "../tower.ts";

/** Sizes of a model that a case describes beside its tower. */
// deno-lint-ignore no-explicit-any -- JSON of a case
export function caseSizes({ model, num_classes: classes }: any, backbone: TowerSizes): ClipClassifierSizes {
  return { backbone, frames: model.frames, sideDim: model.side_dim, classes };
}

/** Sizes of the CLIP tower that a case describes. */
// deno-lint-ignore no-explicit-any -- JSON of a case
export function caseTower({ model }: any): TowerSizes {
  const { image_size: imageSize, patch_size: patchSize, width, layers, heads } = model;
  return { imageSize, patchSize, width, layers, heads };
}

/** The published groups of the steps that a case records. */
// deno-lint-ignore no-explicit-any -- JSON of a case
export function caseGroups({ optimizer: { clip_ratio = 1, weight_decay } }: any): OptimizerGroup[] {
  return sideGroups({
    network: { sync_bn: true },
    solver: { clip_ratio, weight_decay, grad_accumulation_steps: 1 },
  });
}

/** Ours is clip-major and channels-last, `[B T P D]`; the originals' states of a clip are `[B D T h w]`. */
export function channelsFirst(
  _name: string,
  values: Float32Array,
  { shape }: Pick<RecordedActivation, "shape">,
): Float32Array {
  if (shape.length !== 5) return values;
  const [B, D, T, h, w] = shape;
  return permute(values, [B, T, h * w, D], [0, 3, 1, 2]);
}

/** Activations that the original CLIP tower and its side network hold token-first. */
const TOKEN_FIRST = /^act\.(backbone|bridge|side|text)\.\d+$/;

/** The same where outputs of blocks are `[N B*T C]`; ours are `[B*T N C]`. */
export function tokenFirst(
  name: string,
  values: Float32Array,
  recorded: Pick<RecordedActivation, "shape">,
): Float32Array {
  const { shape } = recorded;
  if (shape.length === 5 || !TOKEN_FIRST.test(name)) return channelsFirst(name, values, recorded);
  const [N, F, C] = shape;
  return permute(values, [F, N, C], [1, 0, 2]);
}
