/** Further questions to a trained model, as records: what an evaluation asks besides the outputs of single clips. */

import type { Graph, Tensor } from "../../gpu/graph.ts";
import type { VideoModel } from "../../models/video_model.ts";
import type { BatchInput } from "./objective.ts";

/** One program of a model in evaluation mode, of fixed shapes. */
export interface Query {
  /** Unique among the queries of a session. */
  readonly name: string;
  /** What it reads besides the weights, by name. The shapes are whole: no axis of clips is added. */
  readonly inputs: Readonly<Record<string, BatchInput>>;
  /** Records it. @returns What can be read, by name. */
  record(g: Graph, model: VideoModel, inputs: Readonly<Record<string, Tensor>>): Record<string, Tensor>;
}
