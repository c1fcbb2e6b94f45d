/** What the rest of the project knows of a video model: its weights, its inputs, its taps, and how to record its forward pass. */

import type { Dtype, Graph, Tensor } from "../gpu/graph.ts";
import type { IgnoreList, Weights } from "./params.ts";
import { type Keep, patchesOf, type TextConfig, type TowerSizes } from "./tower.ts";

/** Whether batch norms use the batch's statistics (and update the running ones) or the running ones. */
export type Mode = "train" | "eval";

/**
 * Where a model's taps come from: its frozen tower, which then runs in every forward pass, or inputs that hold what the tower
 * gave before. Such a model declares no frozen weights of the tower.
 */
export type TapSource = "tower" | "stored";

/** How a model is built, besides its sizes. */
export interface ModelOptions {
  /** Storage type of frozen matrices and backbone activations, f32 by default; sums are always f32. */
  backboneDtype?: Dtype;
  /** "tower" by default. */
  taps?: TapSource;
}

/** What a forward pass reads. */
export interface ModelInputs {
  /** Pictures [B*T*window 3 H W], normalised, clip-major. */
  readonly frames: Tensor;
  /** Outputs of the tapped blocks [B*S N C] for the S frames of a clip that the tower reads, in a model whose taps are stored. */
  readonly taps?: readonly Tensor[];
  /** What the task's batches bring besides pictures, by name: tokens of captions, masks. */
  readonly batch?: Readonly<Record<string, Tensor>>;
}

/** What a forward pass gives. */
export interface ModelOutput {
  /** What the task reads, by name. A classifier gives `logits` [B K] and what it classifies, `embedding` [B D]. */
  readonly outputs: Readonly<Record<string, Tensor>>;
  /** Values in between, for parity checks. */
  readonly activations: ReadonlyMap<string, Tensor>;
}

/** What a comparison of sentences with clips reads: outputs of the model, and what their batches brought, by name. */
export interface ComparisonInputs {
  /** The model's `sentenceOutputs` of A sentences, and its `clipOutputs` of B clips. */
  readonly outputs: Readonly<Record<string, Tensor>>;
  /** `word_mask` [A L], `frame_mask` [B T]. */
  readonly inputs: Readonly<Record<string, Tensor>>;
}

/** The part of a network for retrieval that reads sentences. */
export interface TextSide {
  /** L, tokens of a sentence, padding included. */
  readonly words: number;
  /** Rows of the token table. */
  readonly vocabulary: number;
  /** Those tokens of CLIP's vocabulary that the table holds, ascending; null: all of them. */
  readonly tokens: readonly number[] | null;
  /** Shapes of what `encode` gives of one sentence, by name, in the order in which they are kept. */
  readonly sentenceOutputs: Readonly<Record<string, readonly number[]>>;
  /** The same of what `forward` gives of one clip. */
  readonly clipOutputs: Readonly<Record<string, readonly number[]>>;
  /** Records the encoding of sentences: `ids` [A L] u32, `ends` [A] u32, `word_mask` [A L]. */
  encode(
    g: Graph,
    batch: Readonly<Record<string, Tensor>>,
    options: { mode: Mode },
  ): Readonly<Record<string, Tensor>>;
  /** Records the score of every sentence with every clip, [A B]. */
  compare(g: Graph, from: ComparisonInputs, options: { mode: Mode }): Tensor;
}

/**
 * The texts of its classes that a classifier compares clips with. Their features are made once, by a text tower that is not part of the
 * model, and kept with its weights.
 */
export interface ClassTexts {
  /** The constant that holds the features of the texts as the tower gives them, [K E]. */
  readonly features: string;
  /** The constant that holds the logarithm of the factor on cosines, []: of the backbone's file. */
  readonly scale: string;
  /** Words before the name of every class. */
  readonly prefix: string;
  /** The tower that reads the texts. */
  readonly tower: TextConfig;
  /** Those tokens of CLIP's vocabulary that its table holds, ascending; null: all of them. */
  readonly tokens: readonly number[] | null;
}

/** A network for clips beside a frozen backbone. */
export interface VideoModel {
  readonly weights: Weights;
  readonly config: {
    readonly backbone: TowerSizes;
    /** T, frames of a clip. */
    readonly frames: number;
    /** K of a classifier. */
    readonly classes?: number;
  };
  /** Pictures that come with every frame in the input, itself included; 1 when absent. */
  readonly window?: number;
  /** Frames of a clip that the tower reads; all of them when absent. */
  readonly tapFrames?: number;
  /** Tensors of a backbone checkpoint the model does without. */
  readonly unusedInBackbone: IgnoreList;
  readonly taps: TapSource;
  /** Blocks of the tower whose output the side network reads, in order. */
  readonly tapped: readonly number[];
  /** Records the forward pass. */
  forward(g: Graph, inputs: ModelInputs, options: { mode: Mode }): ModelOutput;
  /** Records the tower alone on such pictures: the taps, [B*S N C] each, of the S frames of a clip that it reads. What no tap needs, no plan runs. */
  recordTaps(g: Graph, pictures: Tensor): Tensor[];
  /**
   * Records what writes the model's constants (`Weights.constant`): values that are computed once a run, before its first
   * step, and then read by every forward pass. Absent in a model without any.
   */
  prologue?(g: Graph): void;
  /** How it compares clips with sentences, in a network for retrieval. */
  readonly text?: TextSide;
  /** What it compares clips with, in a classifier by texts. */
  readonly classTexts?: ClassTexts;
  /** Records what is done to weights after every update, such as keeping a scale below its limit. Nothing by default. */
  afterUpdate?(g: Graph): void;
}

/** Shape of a tap of so many clips, [B*S N C]. */
export function tapShape(
  model: Pick<VideoModel, "config" | "tapFrames">,
  clips: number,
): [number, number, number] {
  const { config: { backbone, frames }, tapFrames = frames } = model;
  return [clips * tapFrames, patchesOf(backbone) + 1, backbone.width];
}

/** Pictures of a clip in the input of a model. */
export function picturesOf(model: Pick<VideoModel, "config" | "window">): number {
  return model.config.frames * (model.window ?? 1);
}

/** Collects the values that a forward pass gives a name, for its `activations`. */
export function collectActivations(): { activations: ReadonlyMap<string, Tensor>; keep: Keep } {
  const activations = new Map<string, Tensor>();
  const keep: Keep = (name, tensor) => {
    activations.set(name, tensor);
    return tensor;
  };
  return { activations, keep };
}
