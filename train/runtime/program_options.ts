/** How a model is trained, as far as its programs depend on it. */

import type { Recompute } from "../../gpu/autodiff.ts";
import type { NormRanks } from "../../gpu/graph.ts";
import type { PlanLimits } from "../../gpu/plan.ts";
import type { Weight } from "../../models/params.ts";
import type { VideoModel } from "../../models/video_model.ts";
import type { Cut } from "./micro_batches.ts";
import type { BatchInputs, Objective } from "./objective.ts";
import type { Query } from "./query.ts";
import type { AverageOptions, Optimizer } from "./update_rules.ts";

/** What programs are recorded for. */
export interface ProgramOptions {
  /** What batches bring besides frames. */
  inputs: BatchInputs;
  objective: Objective;
  optimizer: Optimizer;
  /** Outputs of the model that an evaluation gives. */
  collects: readonly string[];
  /** What else the trained model is asked; nothing when absent. */
  queries?: readonly Query[];
  /** Clips of a training batch; the largest is the size of the input. Empty: evaluation alone, without gradients and moments. */
  trainClips: readonly number[];
  /** Clips that run at once, at most; the whole batch by default. A larger batch goes through the GPU in parts, with one update. */
  microClips?: number;
  /** Training batches may be mixed with themselves in reversed order. */
  mixes?: boolean;
  /** Clips of an evaluation batch. */
  evalClips: number;
  /** What of the side blocks is recomputed in the backward pass. */
  recompute: Recompute;
  /** Batches an update sums over. */
  accumulation: number;
  /** Limit of the global gradient norm; null: none. */
  clipGradNorm: number | null;
  /** Updates that may be skipped in a row because a gradient or the loss is not finite; none is skipped by default. */
  skipNonFinite?: number | null;
  /** The moving average of trained weights and running statistics that is kept beside them; none by default. */
  average?: AverageOptions | null;
  limits: PlanLimits;
  /** The ranks that batches are cut over; one alone by default. */
  ranks?: RankOptions;
  /** Keep every named activation readable, for parity checks. */
  keepActivations?: boolean;
  /** Trained weights that no loss reaches: kept as they are. */
  leftAlone?: (weight: Weight, model: VideoModel) => boolean;
}

/** A rank's part in batches that are cut over several. `ProgramOptions.trainClips` are then its own. */
export interface RankOptions extends NormRanks {
  /** Clips of whole batches. */
  readonly batches: readonly number[];
  /** Batch norms see the clips of all ranks. */
  readonly syncNorms: boolean;
  /** The ranks' adapters differ, so that the same sums may give weights that do. */
  readonly mixed: boolean;
}

/** Sizes of whole batches. */
export function wholeBatches({ ranks, trainClips }: Pick<ProgramOptions, "ranks" | "trainClips">) {
  return trainClips.length === 0 ? [] : ranks?.batches ?? trainClips;
}

/** Whether a step is one over the whole batch that goes through the GPU in parts: encode all, compare, then go backward. */
export function isTwoPass(
  { objective, trainClips, microClips = Infinity, ranks }: Pick<
    ProgramOptions,
    "objective" | "trainClips" | "microClips" | "ranks"
  >,
): boolean {
  if (objective.over !== "batch") return false;
  return trainClips.some((clips) => clips > microClips) || trainClips.length > 0 && ranks !== undefined;
}

/** How a session's batches are cut. */
export function cutOf({ microClips, mixes }: Pick<ProgramOptions, "microClips" | "mixes">): Cut {
  return { microClips, pairs: mixes };
}
