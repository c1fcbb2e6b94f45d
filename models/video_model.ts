/** What the trainer knows of a video model: its weights, its input, and how to record its forward pass. */

import type { Graph, Tensor } from "../gpu/graph.ts";
import type { Mode } from "./_blocks.ts";
import type { VitConfig } from "./clip/vit.ts";
import type { IgnoreList, Weights } from "./params.ts";

export type { Mode } from "./_blocks.ts";

/** What a forward pass gives. Activations in between are there for parity checks. */
export interface VideoOutput {
  /** [B K]. */
  logits: Tensor;
  /** What the classifier reads, [B D]. */
  embedding: Tensor;
  activations: Map<string, Tensor>;
}

/** A classifier of clips beside a frozen backbone. */
export interface VideoModel {
  readonly weights: Weights;
  readonly config: {
    readonly backbone: VitConfig;
    /** T, frames of a clip. */
    readonly frames: number;
    /** K. */
    readonly classes: number;
  };
  /** Pictures that come with every frame in the input, itself included; 1 when absent. */
  readonly window?: number;
  /** Tensors of a backbone checkpoint the model does without. */
  readonly unusedInBackbone: IgnoreList;
  /** Records the forward pass of pictures [B*T*window 3 H W], normalised, clip-major. */
  forward(g: Graph, frames: Tensor, options: { mode: Mode }): VideoOutput;
}

/** Pictures of a clip in the input of a model. */
export function picturesOf(model: Pick<VideoModel, "config" | "window">): number {
  return model.config.frames * (model.window ?? 1);
}
