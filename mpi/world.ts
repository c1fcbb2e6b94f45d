/** The ranks of a run as the rest of the program sees them. A single process is a world of one, for which nothing is loaded. */

import type { Handle } from "./library.ts";

/** Seconds that a rank is waited for where nothing else is said. */
export const DEFAULT_LIMIT_SECONDS = 300;
/** The same at the start, where one rank may make data or fetch weights for all. */
export const START_LIMIT_SECONDS = 3600;

/** Who a rank is. */
export interface RankIdentity {
  readonly rank: number;
  readonly host: string;
  readonly process: number;
}

/** What a GPU Worker needs to take part: plain data. */
export interface WorkerWorld {
  readonly library: string;
  readonly comm: Handle;
  readonly rank: number;
  readonly size: number;
  /** Of `WatchMemory`. */
  readonly watch: SharedArrayBuffer;
}

/** The ranks of a run. All calls but the getters are made by all ranks, in the same order. */
export interface World {
  readonly rank: number;
  readonly size: number;
  /** Number of this rank among those of its machine, and how many these are. */
  readonly localRank: number;
  readonly localSize: number;
  /** Name of its machine. */
  readonly host: string;
  /** The card that was chosen for this rank, in words; null where the system chooses. */
  readonly card: string | null;
  /** The MPI in use, for people; null in a world of one. */
  readonly mpi: string | null;
  /** For the GPU Worker; null in a world of one. */
  readonly forWorker: WorkerWorld | null;
  /** Everybody's value, in the order of ranks. */
  gather<T>(value: T, what: string, options?: { limitSeconds?: number }): Promise<T[]>;
  /** Rank 0's value. The others' is not looked at. */
  share<T>(value: T | null, what: string, options?: { limitSeconds?: number }): Promise<T>;
  /** The largest of each place. */
  max(values: readonly number[], what: string): Promise<number[]>;
  /** Waits for all. */
  meet(what: string, options?: { limitSeconds?: number }): Promise<void>;
}

/** A single process. */
export const ALONE: World = {
  rank: 0,
  size: 1,
  localRank: 0,
  localSize: 1,
  host: "localhost",
  card: null,
  mpi: null,
  forWorker: null,
  gather: (value) => Promise.resolve([value]),
  share: (value) => Promise.resolve(value!),
  max: (values) => Promise.resolve([...values]),
  meet: () => Promise.resolve(),
};
