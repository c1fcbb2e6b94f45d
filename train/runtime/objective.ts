/** What is minimised, as a record: what batches bring to it, and how the loss is recorded. A task declares one. */

import type { Dtype, Graph, Tensor } from "../../gpu/graph.ts";
import type { VideoModel } from "../../models/video_model.ts";

/** Something that a batch brings besides frames: the part of one clip. */
export interface BatchInput {
  /** Without the leading axis of clips: `[]` for a label. */
  readonly shape: readonly number[];
  /** "f32" by default. */
  readonly dtype?: Exclude<Dtype, "f16">;
}

/** Inputs of a batch by name. */
export type BatchInputs = Readonly<Record<string, BatchInput>>;

/** Values of one input of a batch, `[clips …]` row-major. */
export type InputValues = Float32Array | Uint32Array;

/** What a recorded loss gives. The loss itself flows back; the rest can be read by name. */
export interface RecordedLoss {
  /** `[1]`, the mean over clips. */
  readonly loss: Tensor;
  readonly [name: string]: Tensor;
}

/** What a loss is recorded from: what the model gives and what the batch brings, by name. */
export interface LossInputs {
  /** The model itself, some of whose trained weights belong to the comparison of clips and not to any one of them. */
  readonly model: VideoModel;
  readonly outputs: Readonly<Record<string, Tensor>>;
  readonly inputs: Readonly<Record<string, Tensor>>;
}

/** What is minimised. */
export interface Objective {
  /**
   * "clips": the loss of a micro-batch is that of its clips alone, so one program does forward, loss and backward.
   * "batch": the loss compares the clips of the whole batch with each other. Where the batch goes through the GPU whole, that is the
   * same program; in parts, a step encodes every micro-batch, records one loss over all, and goes backward through every
   * micro-batch from the gradient of its outputs: exact, and the memory does not grow with the batch but for what the loss reads.
   */
  readonly over: "clips" | "batch";
  /** Outputs of the model that the loss reads. */
  readonly reads: readonly string[];
  record(g: Graph, from: LossInputs): RecordedLoss;
}
