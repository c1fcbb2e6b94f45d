/** Checkpoints of DiST (spec dist §3.5, §5.6): names of its early code, and what names and shapes tell of the network. */

import { clipTower } from "../clip/tower.ts";
import { countLayers, type ShapeSource } from "../tower.ts";

/** Parts of names in files of the authors' early code, against the published ones. */
export const RENAMED = [
  ["ladder_net.", "dist_net."],
  ["input_map_feat_nets.", "input_linears."],
  ["s2t_fuse_nets.", "integration2temporal_nets."],
  ["t2s_fuse_nets.", "temporal2integration_nets."],
  ["final_temporal_nets.", "adapooling_nets."],
  // The last one: other parts of names end in it.
  [".spatial_nets.", ".integration_nets."],
] as const;

/** The tower that the branches were trained beside, in words. */
export function towerBesideBranches(source: ShapeSource): string {
  return clipTower.describe({
    width: source.shapeOf("dist_net.input_linears.0.weight")?.[1],
    patchSize: source.shapeOf("dist_net.temporal_stem.weight")?.[4],
    layers: countLayers(source, "dist_net.input_linears."),
  });
}

/** The keys of a recipe that a checkpoint tells; null where it holds no such network. */
export function distKeysIn(source: ShapeSource): Record<string, number> | null {
  const shape = (name: string) => source.shapeOf(`dist_net.${name}`) ?? [];
  const [temporal, , stemFrames] = shape("temporal_stem.weight"), [width] = shape("input_linears.0.weight");
  const [, , sparse] = shape("temporal2integration_nets.0.cls_token");
  const [, , ratio] = shape("temporal2integration_nets.0.linear_fuse.weight");
  const [hidden, , kernel] = shape("temporal_nets.0.temporal_net.c_fc1.weight");
  const [mlp] = shape("integration_nets.0.ffn.c_fc.weight"),
    [timeMlp] = shape("integration_nets.0.temporal_ffn.c_fc1.weight");
  const all = [temporal, stemFrames, width, sparse, ratio, hidden, kernel, mlp, timeMlp];
  if (all.some((value) => value === undefined)) return null;
  return {
    "data.num_segments": sparse * ratio,
    "data.frame_ratio": ratio,
    "network.side_dim": width,
    "network.temporal_dim": temporal,
    "network.pooling_layers": countLayers(source, "dist_net.adapooling_nets."),
    "network.stem_frames": stemFrames,
    "network.temporal_kernel": kernel,
    "network.temporal_mlp_ratio": hidden / temporal,
    "network.integration_mlp_ratio": mlp / width,
    "network.integration_temporal_mlp_ratio": timeMlp / width,
  };
}
