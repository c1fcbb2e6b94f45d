/**
 * Exchanges between ranks on one communicator. Everybody's arrival is waited for first, by asking and sleeping, so that a core is left
 * to those who still compute; MPI's own blocking call is quick then. Whoever does not come, or stops within such a call, is found by
 * the watch (`watchdog.ts`), which is told of each of them.
 */

import type { Handle, MpiLibrary } from "./library.ts";
import type { SlotName, WatchMemory } from "./watch_memory.ts";

/** A rank does not take part. */
export class AbsentRankError extends Error {
  override name = "AbsentRankError";
  readonly exitCode = 1;
}

/** Where exchanges take place. */
export interface Place {
  readonly comm: Handle;
  readonly rank: number;
  readonly size: number;
  readonly watch: WatchMemory;
  /** The thread that takes part. */
  readonly slot: SlotName;
}

/** How long the others are asked for without sleeping. */
const BUSY_MS = 2;
const SLEEP_MS = 1;

/** Waits for arrivals and exchanges values. */
export class Exchange {
  readonly #library: MpiLibrary;
  readonly #place: Place;
  /** What the last meeting was about. */
  #what = "an exchange";
  #limitMs: number;
  readonly #asleep = new Int32Array(new SharedArrayBuffer(4));

  constructor(library: MpiLibrary, place: Place) {
    this.#library = library;
    this.#place = place;
    this.#limitMs = place.watch.limitMs;
  }

  /** Blocks the thread until all ranks have come: for a Worker. @param what What the exchange is about, for the error. */
  meet(what: string): void {
    const since = performance.now();
    this.#about(what);
    this.#watched(() => {
      const isThere = this.#library.startBarrier(this.#place.comm);
      while (!isThere()) {
        if (performance.now() - since >= BUSY_MS) Atomics.wait(this.#asleep, 0, 0, SLEEP_MS);
      }
    });
  }

  /** The same for a thread that has other things to do meanwhile. */
  async meetIdle(what: string, limitSeconds?: number): Promise<void> {
    this.#about(what, limitSeconds);
    const { watch, slot, comm } = this.#place;
    watch.begin(slot, this.#what, this.#limitMs);
    const isThere = this.#library.startBarrier(comm);
    while (!isThere()) await new Promise((resolve) => setTimeout(resolve, SLEEP_MS));
    watch.end(slot);
  }

  /** Sums over ranks. All must have come. */
  sum(values: Float32Array, into: Float32Array<ArrayBuffer>): void {
    this.#watched(() => this.#library.sumFloats(values, into, this.#place.comm));
  }

  /** The largest of each place. All must have come. */
  max(values: readonly number[]): number[] {
    return this.#watched(() => [...this.#library.maxDoubles(Float64Array.from(values), this.#place.comm)]);
  }

  /** One rank's bytes to all, into the same number of bytes. All must have come. */
  broadcast(bytes: Uint8Array<ArrayBuffer>, root = 0): void {
    this.#watched(() => this.#library.broadcast(bytes, root, this.#place.comm));
  }

  /** Everybody's bytes, in the order of ranks. All must have come. */
  gather(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>[] {
    const { size, rank, comm } = this.#place, lengths = new Float64Array(size);
    lengths[rank] = bytes.length;
    return this.#watched(() =>
      this.#library.gather(bytes, [...this.#library.maxDoubles(lengths, comm)], comm)
    );
  }

  /** A communicator of the same ranks. All must have come. */
  duplicate(): Handle {
    return this.#watched(() => this.#library.duplicate(this.#place.comm));
  }

  #about(what: string, limitSeconds?: number): void {
    this.#what = what;
    this.#limitMs = limitSeconds === undefined ? this.#place.watch.limitMs : limitSeconds * 1000;
  }

  /** Does what may not return. */
  #watched<T>(body: () => T): T {
    const { watch, slot } = this.#place;
    watch.begin(slot, this.#what, this.#limitMs);
    try {
      return body();
    } finally {
      watch.end(slot);
    }
  }
}
