/** What a checkpoint's sizes say about the backbone in it, for error messages. */

import { explainClip } from "./clip/vit.ts";
import { explainEva } from "./eva/vit.ts";
import type { WeightSource } from "./params.ts";

/** "the file looks like ViT-L/14", or what else its image tower looks like. */
export function explainBackbone(source: WeightSource): string | undefined {
  return source.shapeOf("visual.patch_embed.proj.weight") ? explainEva(source) : explainClip(source);
}
