/** A world of several ranks, over MPI. */

import { deserialize, serialize } from "node:v8";
import { AbsentRankError, Exchange } from "./exchange.ts";
import { type Launcher, libraryCandidates, requireMpiSystem, requireWorld } from "./launcher.ts";
import type { Environment } from "./launcher.ts";
import { type Handle, MpiLibrary } from "./library.ts";
import { type WatchSetup, WORD_LENGTH } from "./watch_loop.ts";
import { PHASES, WatchMemory } from "./watch_memory.ts";
import {
  DEFAULT_LIMIT_SECONDS,
  type RankIdentity,
  START_LIMIT_SECONDS,
  type WorkerWorld,
  type World,
} from "./world.ts";

/** Time in which rank 0 ends a job for all. */
const OTHERS_MS = 2000;

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
  readonly #watch: WatchMemory;

  /**
   * Joins the world of the launcher.
   *
   * @param options.watch Starts the thread that runs `watchRanks`.
   * @param options.signal Ends the wait for ranks that have not started MPI yet.
   *
   * @throws {ConfigError} where there is no library, or it is not the launcher's.
   * @throws {AbsentRankError} where not all have started MPI in time.
   */
  static async join(
    launcher: Launcher,
    options: {
      env: Environment;
      limitSeconds?: number;
      signal?: AbortSignal;
      watch: (setup: WatchSetup) => void;
    },
  ): Promise<MpiWorld> {
    requireMpiSystem(Deno.build.os, launcher);
    const library = MpiLibrary.open(libraryCandidates(launcher, options.env));
    const watch = new WatchMemory(launcher.size), { limitSeconds = DEFAULT_LIMIT_SECONDS } = options;
    watch.limitMs = limitSeconds * 1000;
    options.watch({ library: library.path, memory: watch.buffer });
    watch.begin("main", "the start", START_LIMIT_SECONDS * 1000);
    await within(library.init(), { launcher, limitSeconds, signal: options.signal });
    const size = library.size(library.world), rank = library.rank(library.world);
    requireWorld(launcher, { size, library: library.path, kind: library.kind });
    watch.place = { rank, size };
    watch.phase = PHASES.running;
    const place = { rank, size, watch, slot: "main" } as const;
    const first = new Exchange(library, { ...place, comm: library.world });
    await first.meetIdle("the start", START_LIMIT_SECONDS);
    const [comm, workerComm] = [first.duplicate(), first.duplicate()];
    const own: RankIdentity = { rank, host: Deno.hostname(), process: Deno.pid };
    const all = first.gather(new Uint8Array(serialize(own))).map((bytes) =>
      deserialize(bytes) as RankIdentity
    );
    watch.names = all.map((one) => `rank ${one.rank} (${one.host}, process ${one.process})`);
    return new MpiWorld(library, { rank, size, watch, comm, workerComm, all, launcher });
  }

  private constructor(
    library: MpiLibrary,
    { rank, size, watch, comm, workerComm, all, launcher }: {
      rank: number;
      size: number;
      watch: WatchMemory;
      comm: Handle;
      workerComm: Handle;
      all: readonly RankIdentity[];
      launcher: Launcher;
    },
  ) {
    this.#library = library;
    this.#watch = watch;
    this.rank = rank;
    this.size = size;
    const here = all.filter(({ host }) => host === all[rank].host);
    this.localRank = launcher.localRank ?? here.findIndex((one) => one.rank === rank);
    this.localSize = here.length;
    this.host = all[rank].host;
    this.#exchange = new Exchange(library, { comm, rank, size, watch, slot: "main" });
    this.forWorker = { library: library.path, comm: workerComm, rank, size, watch: watch.buffer };
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
    this.#watch.phase = PHASES.leaving;
    while (this.#watch.phaseSeen !== PHASES.leaving) await new Promise((resolve) => setTimeout(resolve, 1));
    // Nobody says anything more; what has been said is taken, because the library may not leave anything behind.
    await this.#exchange.meetIdle("the end");
    while (this.#library.receive(new Float64Array(WORD_LENGTH), this.#library.world));
    this.#watch.begin("main", "the end", this.#watch.limitMs);
    this.#library.finalize();
    this.#watch.phase = PHASES.left;
  }

  /**
   * Ends all ranks with a code, when all have come to the end. MPICH's launcher forgets the codes of ranks that end by themselves
   * while a signal to it is under way, and gives 0, as if all were done; not so what a rank asks for. (MPICH 4.0.2: 6 of 20 jobs.)
   *
   * @returns false where the ranks are to leave the world instead.
   */
  async endWith(code: number, limitSeconds: number): Promise<boolean> {
    if (this.#library.kind !== "mpich") return false;
    await this.#exchange.meetIdle("the end", limitSeconds);
    if (this.rank > 0) await new Promise((resolve) => setTimeout(resolve, OTHERS_MS));
    this.abort(code);
    return true;
  }

  /** Ends all ranks at once. */
  abort(code: number): void {
    this.#library.abort(code);
  }
}

/** Waits until all ranks have started MPI. Nobody can say yet who has not. */
async function within(
  started: Promise<void>,
  { launcher: { size }, limitSeconds, signal }: {
    launcher: Launcher;
    limitSeconds: number;
    signal?: AbortSignal;
  },
): Promise<void> {
  const end = Promise.withResolvers<never>();
  const stop = () => end.reject(signal!.reason);
  const timer = setTimeout(() =>
    end.reject(
      new AbsentRankError(
        `Cannot join ${size} ranks: all must start MPI within ${limitSeconds} s (SIDENET_MPI_TIMEOUT), and some have not; what they print says why`,
      ),
    ), limitSeconds * 1000);
  signal?.addEventListener("abort", stop, { once: true });
  try {
    signal?.throwIfAborted();
    await Promise.race([started, end.promise]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
  }
}
