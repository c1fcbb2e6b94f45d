/** Where the batches of a run come from: decoded and transformed on the way, or features that were extracted before. */

import type { ClipLoader, LoadedClip } from "../../data/loader.ts";
import type { OrderEntry } from "../../data/sampling/epoch_order.ts";
import type { DataProblem } from "./problems.ts";
import type { SessionClip } from "../runtime/session_plan.ts";

/** A clip ready for a session. */
export interface FedClip {
  /** Position in the list. */
  index: number;
  path: string;
  /** After the transform: a mirrored "left" is a "right". */
  label: number;
  /** Frames that were chosen of it; fewer than the network's where it is too short for them. */
  frameCount: number;
  /** What the session takes: one view in training, one or more in evaluation. */
  views: SessionClip[];
  problems: DataProblem[];
  /** Nothing of the clip could be read: it is black. */
  bad: boolean;
}

/** A batch of them. */
export interface FedBatch {
  clips: FedClip[];
  /** How long the consumer waited for it. */
  waitMs: number;
}

/** Batches in a given order. */
export interface ClipFeed extends AsyncDisposable {
  /** The last batch may be short. */
  epoch(order: readonly OrderEntry[], batchSize: number): AsyncIterable<FedBatch>;
}

/** A loader's batches, each clip made ready. */
export function feedFrom(
  loader: ClipLoader,
  feed: (clip: LoadedClip) => FedClip,
): ClipFeed {
  return {
    async *epoch(order, batchSize) {
      for await (const { clips, waitMs } of loader.epoch(order, batchSize)) {
        yield { clips: clips.map(feed), waitMs };
      }
    },
    [Symbol.asyncDispose]: () => loader[Symbol.asyncDispose](),
  };
}
