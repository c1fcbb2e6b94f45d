/**
 * Exchanges between ranks on one communicator. Everybody's arrival is waited for first, by asking and sleeping: a core is left to
 * those who still compute, and whoever does not come is named after a limit. Then MPI's own blocking call is quick.
 */

import type { Handle, MpiLibrary } from "./library.ts";

/** A rank did not come within the limit. */
export class AbsentRankError extends Error {
  override name = "AbsentRankError";
  readonly exitCode = 1;
}

/** Where an exchange takes place. */
export interface Place {
  readonly comm: Handle;
  readonly rank: number;
  readonly size: number;
  /** How ranks are named: "rank 1 (node7, process 123)". */
  readonly names: readonly string[];
  /** Seconds that a rank is waited for. */
  readonly limitSeconds: number;
}

/** How long the others are asked for without sleeping. */
const BUSY_MS = 2;
const SLEEP_MS = 1;
/** After this time those who wait say that they are there, so that all know who is not. */
const TELL_AFTER_MS = 1000;
/** Time for such words to arrive. */
const GRACE_MS = 3000;

/** Waits for arrivals and exchanges values. */
export class Exchange {
  readonly #library: MpiLibrary;
  readonly #place: Place;
  /** Exchanges begun. */
  #count = 0;
  /** The last exchange that each rank has said it waits in. */
  readonly #heard: number[];
  readonly #asleep = new Int32Array(new SharedArrayBuffer(4));

  constructor(library: MpiLibrary, place: Place) {
    this.#library = library;
    this.#place = place;
    this.#heard = new Array<number>(place.size).fill(0);
  }

  /** Blocks the thread until all ranks have come: for a Worker. @param what What the exchange is about, for the error. */
  meet(what: string): void {
    const arrival = this.#arrive(what);
    while (!arrival.isComplete()) {
      if (arrival.isBusy) continue;
      Atomics.wait(this.#asleep, 0, 0, SLEEP_MS);
    }
  }

  /** The same for a thread that has other things to do meanwhile. */
  async meetIdle(what: string, limitSeconds?: number): Promise<void> {
    const arrival = this.#arrive(what, limitSeconds);
    while (!arrival.isComplete()) await new Promise((resolve) => setTimeout(resolve, SLEEP_MS));
  }

  /** Sums over ranks. All must have come. */
  sum(values: Float32Array, into: Float32Array<ArrayBuffer>): void {
    this.#library.sumFloats(values, into, this.#place.comm);
  }

  /** The largest of each place. All must have come. */
  max(values: readonly number[]): number[] {
    return [...this.#library.maxDoubles(Float64Array.from(values), this.#place.comm)];
  }

  /** One rank's bytes to all, into the same number of bytes. All must have come. */
  broadcast(bytes: Uint8Array<ArrayBuffer>, root = 0): void {
    this.#library.broadcast(bytes, root, this.#place.comm);
  }

  /** Everybody's bytes, in the order of ranks. All must have come. */
  gather(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>[] {
    const { size, rank, comm } = this.#place, lengths = new Float64Array(size);
    lengths[rank] = bytes.length;
    return this.#library.gather(bytes, [...this.#library.maxDoubles(lengths, comm)], comm);
  }

  #arrive(what: string, limitSeconds = this.#place.limitSeconds) {
    const number = ++this.#count, since = performance.now();
    const isThere = this.#library.startBarrier(this.#place.comm);
    let told = false;
    return {
      get isBusy() {
        return performance.now() - since < BUSY_MS;
      },
      isComplete: (): boolean => {
        if (isThere()) {
          this.#listen(); // words that nobody takes would be left at the end
          return true;
        }
        const waited = performance.now() - since;
        if (waited < TELL_AFTER_MS) return false;
        if (!told) this.#tell(number);
        told = true;
        this.#listen();
        if (waited > limitSeconds * 1000 + GRACE_MS) throw this.#absence(number, { what, limitSeconds });
        return false;
      },
    };
  }

  /** Says to all that this rank waits. */
  #tell(number: number): void {
    const { rank, size, comm } = this.#place;
    for (let other = 0; other < size; other++) {
      if (other !== rank) this.#library.send(Float64Array.of(rank, number), other, 0, comm);
    }
  }

  #listen(): void {
    const said = new Float64Array(2);
    while (this.#library.receive(said, this.#place.comm)) {
      this.#heard[said[0]] = Math.max(this.#heard[said[0]], said[1]);
    }
  }

  #absence(number: number, { what, limitSeconds }: { what: string; limitSeconds: number }): AbsentRankError {
    const { rank, names } = this.#place;
    const absent = names.filter((_, other) => other !== rank && this.#heard[other] < number);
    const who = absent.length > 0 ? absent.join(", ") : "a rank";
    return new AbsentRankError(
      `Cannot go on: ${who} must come to ${what} within ${limitSeconds} seconds (SIDENET_MPI_TIMEOUT), and has not: ` +
        "it is dead, stuck or too slow",
    );
  }
}
