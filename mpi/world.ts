/** The ranks of a run as the rest of the program sees them. A single process is a world of one, for which nothing is loaded. */

import { deserialize, serialize } from "node:v8";
import { AbsentRankError, Exchange } from "./exchange.ts";
import { type Launcher, libraryCandidates, requireMpiSystem, requireWorld } from "./launcher.ts";
import type { Environment } from "./launcher.ts";
import { type Handle, MpiLibrary } from "./library.ts";

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
  readonly names: readonly string[];
  readonly limitSeconds: number;
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

/** Several ranks of MPI. */
export class MpiWorld implements World {
  readonly rank: number;
  readonly size: number;
  readonly localRank: number;
  readonly localSize: number;
  readonly host: string;
  card: string | null = null;
  readonly forWorker: WorkerWorld;
  readonly #library: MpiLibrary;
  readonly #exchange: Exchange;

  /**
   * Joins the world of the launcher.
   *
   * @throws {ConfigError} where there is no library, or it is not the launcher's.
   */
  static async join(
    launcher: Launcher,
    options: { env: Environment; limitSeconds?: number },
  ): Promise<MpiWorld> {
    requireMpiSystem(Deno.build.os, launcher);
    const library = MpiLibrary.open(libraryCandidates(launcher, options.env));
    library.init();
    const size = library.size(library.world), rank = library.rank(library.world);
    requireWorld(launcher, { size, library: library.path, kind: library.kind });
    const { limitSeconds = DEFAULT_LIMIT_SECONDS } = options;
    const place = { rank, size, limitSeconds, comm: library.duplicate(library.world) };
    const own: RankIdentity = { rank, host: Deno.hostname(), process: Deno.pid };
    const first = new Exchange(library, { ...place, names: place0(size) });
    await first.meetIdle("the start", START_LIMIT_SECONDS);
    const all = first.gather(new Uint8Array(serialize(own))).map((bytes) =>
      deserialize(bytes) as RankIdentity
    );
    const comm = library.duplicate(library.world);
    return new MpiWorld(library, { ...place, comm: place.comm, workerComm: comm, all, launcher });
  }

  private constructor(
    library: MpiLibrary,
    { rank, size, comm, workerComm, limitSeconds, all, launcher }: {
      rank: number;
      size: number;
      comm: Handle;
      workerComm: Handle;
      limitSeconds: number;
      all: readonly RankIdentity[];
      launcher: Launcher;
    },
  ) {
    this.#library = library;
    this.rank = rank;
    this.size = size;
    const here = all.filter(({ host }) => host === all[rank].host);
    this.localRank = launcher.localRank ?? here.findIndex((one) => one.rank === rank);
    this.localSize = here.length;
    this.host = all[rank].host;
    const names = all.map((one) => `rank ${one.rank} (${one.host}, process ${one.process})`);
    this.#exchange = new Exchange(library, { comm, rank, size, names, limitSeconds });
    this.forWorker = { library: library.path, comm: workerComm, rank, size, names, limitSeconds };
  }

  get mpi(): string {
    return this.#library.version;
  }

  async gather<T>(value: T, what: string, options: { limitSeconds?: number } = {}): Promise<T[]> {
    await this.#exchange.meetIdle(what, options.limitSeconds);
    return this.#exchange.gather(new Uint8Array(serialize(value))).map((bytes) => deserialize(bytes) as T);
  }

  async share<T>(value: T | null, what: string, options: { limitSeconds?: number } = {}): Promise<T> {
    await this.#exchange.meetIdle(what, options.limitSeconds);
    const own = this.rank === 0 ? new Uint8Array(serialize(value)) : new Uint8Array();
    return deserialize(this.#exchange.gather(own)[0]) as T;
  }

  async max(values: readonly number[], what: string): Promise<number[]> {
    await this.#exchange.meetIdle(what);
    return this.#exchange.max(values);
  }

  async meet(what: string, options: { limitSeconds?: number } = {}): Promise<void> {
    await this.#exchange.meetIdle(what, options.limitSeconds);
  }

  /** Sums over ranks, and blocks the thread. For measurements: gradients are summed by the GPU Worker. */
  sum(values: Float32Array, into: Float32Array<ArrayBuffer>, what: string): void {
    this.#exchange.meet(what);
    this.#exchange.sum(values, into);
  }

  /** Leaves the world. Waits for all others, who must leave too. */
  async leave(limitSeconds: number): Promise<void> {
    await this.#exchange.meetIdle("the end", limitSeconds);
    this.#library.finalize();
  }

  /** Ends all ranks at once. */
  abort(code: number): void {
    this.#library.abort(code);
  }
}

export { AbsentRankError };

/** Names of ranks that are not known yet. */
function place0(size: number): string[] {
  return Array.from({ length: size }, (_, rank) => `rank ${rank}`);
}
