/** What the trainer knows of a video model: its weights, its input, its taps, and how to record its forward pass. */

import type { Dtype, Graph, Tensor } from "../gpu/graph.ts";
import type { Mode } from "./_blocks.ts";
import { patchesOf, type VitConfig } from "./clip/vit.ts";
import type { IgnoreList, Weights } from "./params.ts";

export type { Mode } from "./_blocks.ts";

/** What a forward pass gives. Activations in between are there for parity checks. */
export interface ModelOutput { outputs: Readonly<Record<string, Tensor>>; activations: ReadonlyMap<string, Tensor>; }
export interface VideoOutput {
  /** [B K]. */
  logits: Tensor;
  /** What the classifier reads, [B D]. */
  embedding: Tensor;
  activations: Map<string, Tensor>;
}

/**
 * Where a model's taps come from: its frozen tower, which then runs in every forward pass, or inputs that hold what the tower
 * gave before. Such a model declares no frozen weights.
 */
export type TapSource = "tower" | "stored";

/** How a model is built, besides its sizes. */
export interface ModelOptions {
  /** Storage type of frozen matrices and backbone activations, f32 by default; sums are always f32. */
  backboneDtype?: Dtype;
  /** "tower" by default. */
  taps?: TapSource;
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
  readonly taps: TapSource;
  /** Blocks of the tower whose output the side network reads, in order. */
  readonly tapped: readonly number[];
  /**
   * Records the forward pass of pictures [B*T*window 3 H W], normalised, clip-major.
   *
   * @param options.taps Outputs of the tapped blocks [B*T N C], in a model whose taps are stored.
   */
  forward(g: Graph, frames: Tensor, options: { mode: Mode; taps?: readonly Tensor[] }): VideoOutput;
  /** Records the tower alone on such pictures, as far as the last tapped block: the taps, [B*T N C] each. */
  recordTaps(g: Graph, pictures: Tensor): Tensor[];
}

/** Shape of a tap of so many clips, [B*T N C]. */
export function tapShape({ config }: Pick<VideoModel, "config">, clips: number): [number, number, number] {
  const { backbone, frames } = config;
  return [clips * frames, patchesOf(backbone) + 1, backbone.width];
}

/** Pictures of a clip in the input of a model. */
export function picturesOf(model: Pick<VideoModel, "config" | "window">): number {
  return model.config.frames * (model.window ?? 1);
}
