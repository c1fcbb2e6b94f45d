/** What Side4Video and TDS-CLIP have in common in recipes (spec side4video §4.2). */

import type { ClipClassifierSizes } from "./_clip_classifier.ts";
import type { OptimizerGroup, SystemRecipe } from "./system.ts";
import { towerSizes } from "./towers.ts";

/** What a classifier beside a frozen tower is built from. */
export function sideSizes({ data, network }: SystemRecipe): ClipClassifierSizes {
  return {
    backbone: towerSizes(network),
    frames: data.num_segments,
    sideDim: network.side_dim,
    classes: data.num_classes,
  };
}

/** The published groups: side network, classifier, and batch norms, each at a rate of its own. */
export function sideGroups(
  { network, solver }: {
    network: Pick<SystemRecipe["network"], "sync_bn">;
    solver: Pick<SystemRecipe["solver"], "weight_decay" | "clip_ratio" | "grad_accumulation_steps">;
  },
): OptimizerGroup[] {
  const weightDecay = solver.weight_decay;
  return [
    { name: "side", lrScale: solver.clip_ratio, weightDecay },
    { name: "head", lrScale: 1, weightDecay },
    { name: "batch_norm", lrScale: network.sync_bn ? 1 : 1 / solver.grad_accumulation_steps, weightDecay },
  ];
}
