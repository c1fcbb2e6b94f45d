/** What Side4Video and TDS-CLIP have in common in recipes (spec side4video §2, §4.2). */

import type { ClipClassifierSizes } from "./clip_classifier.ts";
import { isEva } from "../eva/tower.ts";
import type { OptimizerGroup, Requirement, SystemRecipe } from "../system.ts";
import { towerSizes } from "../towers.ts";

/** Channels of one head of the side network's attention. */
const SIDE_HEAD_WIDTH = 64;

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

/** The heads of the side attention divide its width. */
export function sideHeadsRequirement({ network: { side_dim: width } }: SystemRecipe): Requirement {
  const heads = Math.floor(width / SIDE_HEAD_WIDTH);
  return [
    heads >= 1 && width % heads === 0,
    "network.side_dim",
    `be at least ${SIDE_HEAD_WIDTH} and divisible by its number of heads (side_dim / ${SIDE_HEAD_WIDTH}, rounded down)`,
    width,
  ];
}

/** What a side network beside an EVA tower asks of that. */
export function evaRequirements({ network }: SystemRecipe): Requirement[] {
  const tower = towerSizes(network);
  if (!isEva(tower)) return [];
  return [
    [
      tower.layers >= 2,
      "network.backbone.layers",
      "be at least 2 for an EVA tower, whose every second block has a side layer",
      tower.layers,
    ],
    [
      tower.ropeSpan === null || tower.width / tower.heads % 4 === 0,
      "network.backbone.width",
      "be a multiple of 4 for each head when eva.rope_span is given",
      tower.width,
    ],
  ];
}

/** A side network that ends in a batch norm and a mean over the clip learns next to nothing from one clip. */
export function singleClipRemarks({ data }: SystemRecipe): string[] {
  if (data.batch_size * data.num_sample !== 1) return [];
  return [
    "a batch of one clip makes the last batch norm, followed by a mean over the clip, return a constant: only its " +
    "bias and the classifier will learn; use data.batch_size of 2 or more",
  ];
}
