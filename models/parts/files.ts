/** What checkpoints of Side4Video's kin have in common (spec side4video §2.6): the names beside a tower, and the classifier's. */

import { clipTower } from "../clip/tower.ts";
import { evaTower } from "../eva/tower.ts";
import type { WeightSource } from "../params.ts";
import { countLayers, pictureSide, type ShapeSource, type Tower } from "../tower.ts";

/** Tensors whose shapes follow from the number of classes. */
export const CLASSIFIER_NAMES: readonly string[] = ["fc.weight", "fc.bias"];

/** A side network's names beside one kind of tower. */
interface SideNames {
  readonly tower: Tower;
  readonly prefix: string;
  /** Blocks of the tower to each side layer. */
  readonly every: number;
}

const BESIDE_CLIP: SideNames = { tower: clipTower, prefix: "visual.transformer.", every: 1 };
const BESIDE_EVA: SideNames = { tower: evaTower, prefix: "visual.", every: 2 };

/** Width of the side network, D; null in a checkpoint without its stem. */
export function sideDimIn(source: ShapeSource): number | null {
  const stem = source.shapeOf("visual.side_conv1.weight");
  return stem?.length === 5 ? stem[0] : null;
}

/** The tower that a side network was trained on, told by the sizes of what reads it; null when they are not there. */
export function towerBeside(source: ShapeSource): string | null {
  for (const { tower, prefix, every } of [BESIDE_EVA, BESIDE_CLIP]) {
    const stem = source.shapeOf("visual.side_conv1.weight");
    const positions = source.shapeOf(`${prefix}side_spatial_position_embeddings`);
    const linear = source.shapeOf(`${prefix}side_linears.0.weight`);
    if (!stem || !positions || !linear) continue;
    return tower.describe({
      width: linear[1],
      patchSize: stem[4],
      layers: every * countLayers(source, `${prefix}side_linears.`),
      imageSize: pictureSide(positions[0], stem[4]),
    });
  }
  return null;
}

/** Recognition has neither CLIP's embedding nor its text tower; EVA's unused norm and head stay. */
export function holdsForRecognition(name: string): boolean {
  return name.startsWith("visual.") && !/^visual\.(ln_post\.|proj$|rope\.)/.test(name);
}

/** What the classifier of a checkpoint says about the network it belongs to, for error messages. */
export function explainClassifier(source: WeightSource): string {
  const classifier = source.shapeOf("fc.weight");
  return classifier?.length === 2
    ? `the file looks like a network of side_dim ${classifier[1]} with ${classifier[0]} classes`
    : "the file holds no classifier, so it is probably a backbone (network.weights) or another network";
}
