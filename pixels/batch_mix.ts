/**
 * How the clips of a batch are mixed with the batch in reversed order, as plain data: drawn in `data/transforms/mixup.ts`, carried out
 * on the GPU by `gpu/frames/mix.ts`.
 */
import type { Box } from "./clip_transform.ts";

/** Mixup: `weight` of a clip and `1 − weight` of its partner, in frames and targets. */
export interface MixupDecision {
  readonly kind: "mixup";
  readonly weight: number;
}

/** CutMix: a box, the same in all frames, comes from the partner; `weight` is the share of the frame that stays. */
export interface CutMixDecision {
  readonly kind: "cutMix";
  readonly weight: number;
  /** May be empty. */
  readonly box: Box;
}

/** One decision for a whole batch. */
export type BatchMix = MixupDecision | CutMixDecision;
