/** A world of several ranks, over MPI. */

import { deserialize, serialize } from "node:v8";
import { Exchange } from "./exchange.ts";
import { type Launcher, libraryCandidates, requireMpiSystem, requireWorld } from "./launcher.ts";
import type { Environment } from "./launcher.ts";
import { type Handle, MpiLibrary } from "./library.ts";
import {
  DEFAULT_LIMIT_SECONDS,
  type RankIdentity,
  START_LIMIT_SECONDS,
  type WorkerWorld,
  type World,
} from "./world.ts";

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

/** Names of ranks that are not known yet. */
function place0(size: number): string[] {
  return Array.from({ length: size }, (_, rank) => `rank ${rank}`);
}
