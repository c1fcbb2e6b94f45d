/**
 * Batches of a run that several ranks share: each decodes its part of every batch, all know the whole of it, and what only one of them
 * knows (that it is to stop, that a state is due, that it has failed) is agreed upon before the batch, so that all do the same.
 */

import type { OrderEntry } from "../../data/sampling/epoch_order.ts";
import type { World } from "../../mpi/world.ts";
import type { ClipFeed, FedClip } from "../feed/clip_feed.ts";
import { rankPlaces } from "../runtime/micro_batches.ts";
import type { SessionClip, TrainBatch } from "../runtime/session_plan.ts";

/** What is known of a clip of the whole batch, whichever rank has decoded it. */
export type BatchClip = Omit<FedClip, "views">;

/** A batch, and this rank's part of it. */
export interface RankBatch {
  /** All clips of the batch, in order. */
  readonly clips: readonly BatchClip[];
  /** Those of this rank, ready for the session. */
  readonly own: readonly SessionClip[];
  readonly whole: TrainBatch["whole"];
  readonly waitMs: number;
  /** The run is to stop after this batch. */
  readonly stops: boolean;
  /** A state is to be written after this batch. */
  readonly saves: boolean;
}

/** A rank has failed, and all know: what was done can be saved, and the run ends. */
export class SharedEnd extends Error {
  override name = "SharedEnd";
  readonly exitCode: number;
  constructor(message: string, options: { exitCode?: number; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.exitCode = options.exitCode ?? 1;
  }
}

/** How batches are shared. */
export interface SharedBatches {
  readonly world: World;
  readonly batchSize: number;
  /** Copies of each clip, which stay together. */
  readonly copies: number;
  /** Every clip stays with its partner in the reversed batch. */
  readonly pairs: boolean;
  /** What this rank alone knows. */
  readonly isStopping: () => boolean;
  readonly isStateDue: () => boolean;
}

/**
 * The batches of an order.
 *
 * @throws {SharedEnd} on all ranks where one has failed.
 */
export async function* rankBatches(
  feed: ClipFeed,
  order: readonly OrderEntry[],
  options: SharedBatches,
): AsyncGenerator<RankBatch> {
  const { world, batchSize, isStopping, isStateDue } = options;
  if (world.size === 1) {
    for await (const { clips, waitMs } of feed.epoch(order, batchSize)) {
      const own = clips.map(({ views: [view] }) => view);
      yield {
        clips,
        own,
        whole: null,
        waitMs,
        get stops() {
          return isStopping();
        },
        get saves() {
          return isStateDue();
        },
      };
    }
    return;
  }
  const sizes = batchSizes(order.length, batchSize);
  const all = sizes.map((size) => places(size, options));
  const own = all.flatMap((byRank, batch) =>
    byRank[world.rank].map((place) => order[batch * batchSize + place])
  );
  const decoded = feed.epoch(own, Math.max(1, all[0]?.[world.rank].length ?? 1))[Symbol.asyncIterator]();
  try {
    for (const [batch, byRank] of all.entries()) {
      const wanted = byRank[world.rank].length;
      let fed: FedClip[] = [], waitMs = 0, failure: unknown = null;
      try {
        if (wanted > 0) ({ clips: fed, waitMs } = (await decoded.next()).value!);
      } catch (error) {
        failure = error;
      }
      const views = fed.map(({ views: [view] }) => view);
      const told = await world.gather({
        clips: fed.map(({ views: _, ...clip }): BatchClip => clip),
        stops: isStopping(),
        saves: isStateDue(),
        failure: failure === null ? null : failureOf(failure),
      }, "the next batch");
      const failed = told.findIndex((one) => one.failure !== null);
      if (failed >= 0) {
        const { message, exitCode } = told[failed].failure!;
        throw new SharedEnd(`rank ${failed} has failed: ${message}`, {
          exitCode,
          cause: failure ?? undefined,
        });
      }
      const { copies } = options, clips = new Array<BatchClip>(sizes[batch] * copies);
      const placesOf = byRank.map((entries) =>
        entries.flatMap((entry) => Array.from({ length: copies }, (_, copy) => entry * copies + copy))
      );
      placesOf.forEach((ofRank, rank) => ofRank.forEach((place, i) => clips[place] = told[rank].clips[i]));
      yield {
        clips,
        own: views,
        whole: { places: placesOf[world.rank], clips: clips.length },
        waitMs,
        stops: told.some(({ stops }) => stops),
        saves: told.some(({ saves }) => saves),
      };
    }
  } finally {
    await decoded.return?.();
  }
}

function failureOf(error: unknown): { message: string; exitCode?: number } {
  const { message, exitCode } = error as Error & { exitCode?: number };
  return { message, exitCode };
}

/** Sizes of the batches of so many clips. */
function batchSizes(clips: number, batchSize: number): number[] {
  return Array.from(
    { length: Math.ceil(clips / batchSize) },
    (_, batch) => Math.min(batchSize, clips - batch * batchSize),
  );
}

/** Places of every rank in a batch. */
function places(size: number, { world: { size: ranks }, pairs }: SharedBatches): number[][] {
  return Array.from({ length: ranks }, (_, rank) => rankPlaces(size, { rank, ranks, pairs }));
}
