/** What a session tells of a run when it is looked at, and what it needs to go on with one. */

import { LOSS_LOG_SIZE } from "./loss_log.ts";

/** Where a run stands that goes on: what `Session.restore` needs besides tensors. */
export interface SessionPosition {
  /** Optimiser steps done, those that were skipped among them. */
  steps: number;
  /** Batches summed since. */
  accumulated: number;
  skipped: SkippedUpdates;
}

/** Updates that were skipped because a gradient or the loss was not finite. */
export interface SkippedUpdates {
  /** All of the run. */
  readonly total: number;
  /** The last ones up to now. */
  readonly inARow: number;
  /** The update under way will be. */
  readonly underWay: boolean;
}

/** What the GPU says when it is looked at. */
export interface Standing {
  /** Losses of the batches since the last look, oldest first. */
  readonly losses: number[];
  readonly skipped: SkippedUpdates;
  /** Parts of what a checkpoint holds that are not finite; none where it was not asked. */
  readonly nonFinite: readonly string[];
}

/** Sets of step constants that an update chooses from: how many were skipped since the last look, the host does not know. */
export function hyperSets({ skipNonFinite }: { skipNonFinite?: number | null }): number {
  return skipNonFinite ? LOSS_LOG_SIZE + 1 : 1;
}
