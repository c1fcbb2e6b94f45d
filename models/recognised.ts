/** Files of published systems that have no model here: what `inspect` says of them, and what `convert` adds to them. */

import { clipTower } from "./clip/tower.ts";
import type { FilePart } from "./system.ts";
import { countLayers } from "./tower.ts";

/** What a system's files tell about it, where no model of it is built. */
export type FilesAlone = Omit<FilePart, "explain">;

/** DiST, under its published names and those of its early code (spec dist §3.5). */
const dist: FilesAlone = {
  prefix: "backbone.base_encoder.",
  recognise(source) {
    const layers = Math.max(
      countLayers(source, "dist_net.input_linears."),
      countLayers(source, "ladder_net.input_map_feat_nets."),
    );
    if (layers === 0) return null;
    const stem = source.shapeOf("dist_net.temporal_stem.weight") ??
      source.shapeOf("ladder_net.temporal_stem.weight");
    const project = source.shapeOf("dist_net.input_linears.0.weight") ??
      source.shapeOf("ladder_net.input_map_feat_nets.0.weight");
    return {
      title: "DiST",
      backbone: clipTower.describe({ width: project?.[1], patchSize: stem?.[4], layers }),
      sideDim: project?.[0] ?? null,
    };
  },
};

/** All of them. A DiST file is known as well when its prefix was taken off. */
export const RECOGNISED: readonly FilesAlone[] = [dist, { ...dist, prefix: "" }];
