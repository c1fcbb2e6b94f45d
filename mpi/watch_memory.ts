/**
 * What the threads of a rank tell its watch (`watchdog.ts`): which exchange each of them is in, written where the watch sees it whatever
 * they are doing, inside a call of MPI that does not return too.
 */

/** Threads that take part in exchanges, each on a communicator of its own. */
export const SLOTS = { main: 0, gpu: 1 } as const;
/** One of these threads. */
export type SlotName = keyof typeof SLOTS;
/** How many they are. */
export const SLOT_COUNT = 2;

/** What the process may ask of MPI. */
export const PHASES = {
  /** Nothing yet: it joins. */
  joining: 0,
  running: 1,
  /** The watch is to ask nothing more. */
  leaving: 2,
  left: 3,
} as const;

/** An exchange that a thread is in, or was in last. */
export interface SlotState {
  readonly isWaiting: boolean;
  /** Exchanges begun, the same on all ranks for the same exchange. */
  readonly number: number;
  readonly limitMs: number;
  /** What it is about. */
  readonly what: string;
}

const PHASE = 0, PHASE_SEEN = 1, TAKEN = 2, NAMES = 3, RANK = 4, SIZE = 5, LIMIT = 6;
const SLOT_START = 8, SLOT_WORDS = 4, WORDS = SLOT_START + SLOT_COUNT * SLOT_WORDS;
const TEXT_BYTES = 256, TEXTS_START = WORDS * 4, NAMES_START = TEXTS_START + SLOT_COUNT * TEXT_BYTES;
/** Of the name of a rank: a host's name, and numbers. */
const NAME_BYTES = 320;

/** The memory, as every thread sees it. */
export class WatchMemory {
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;

  /** @param ranks Of the launcher, for which there must be room; or the memory that another thread has made. */
  constructor(ranks: number | SharedArrayBuffer) {
    this.buffer = typeof ranks === "number"
      ? new SharedArrayBuffer(NAMES_START + ranks * NAME_BYTES + 4)
      : ranks;
    this.#words = new Int32Array(this.buffer, 0, WORDS);
    this.#bytes = new Uint8Array(this.buffer);
  }

  /** One of `PHASES`. */
  get phase(): number {
    return Atomics.load(this.#words, PHASE);
  }

  set phase(phase: number) {
    Atomics.store(this.#words, PHASE, phase);
    Atomics.notify(this.#words, PHASE);
  }

  /** The last phase that the watch has taken notice of. */
  get phaseSeen(): number {
    return Atomics.load(this.#words, PHASE_SEEN);
  }

  set phaseSeen(phase: number) {
    Atomics.store(this.#words, PHASE_SEEN, phase);
  }

  /** Whether the main thread ends the job itself. */
  get isTaken(): boolean {
    return Atomics.load(this.#words, TAKEN) !== 0;
  }

  /** The main thread ends the job. */
  take(): void {
    Atomics.store(this.#words, TAKEN, 1);
  }

  /** Who this rank is. To be set before `phase` says that it has joined. */
  get place(): { rank: number; size: number } {
    return { rank: Atomics.load(this.#words, RANK), size: Atomics.load(this.#words, SIZE) };
  }

  set place({ rank, size }: { rank: number; size: number }) {
    Atomics.store(this.#words, RANK, rank);
    Atomics.store(this.#words, SIZE, size);
  }

  /** How long a rank is waited for where an exchange says nothing else. */
  get limitMs(): number {
    return Atomics.load(this.#words, LIMIT);
  }

  set limitMs(limitMs: number) {
    Atomics.store(this.#words, LIMIT, limitMs);
  }

  /** How ranks are named: "rank 1 (node7, process 123)"; by their numbers alone until that is known. */
  get names(): readonly string[] {
    const length = Atomics.load(this.#words, NAMES);
    if (length === 0) return Array.from({ length: this.place.size }, (_, rank) => `rank ${rank}`);
    return JSON.parse(this.#text(NAMES_START, length));
  }

  set names(names: readonly string[]) {
    const bytes = new TextEncoder().encode(JSON.stringify(names));
    if (NAMES_START + bytes.length > this.#bytes.length) return; // numbers will do
    this.#bytes.set(bytes, NAMES_START);
    Atomics.store(this.#words, NAMES, bytes.length);
  }

  /** A thread comes to its next exchange. */
  begin(slot: SlotName, what: string, limitMs: number): void {
    const at = SLOT_START + SLOTS[slot] * SLOT_WORDS, textAt = TEXTS_START + SLOTS[slot] * TEXT_BYTES;
    const { written } = new TextEncoder().encodeInto(what, this.#bytes.subarray(textAt, textAt + TEXT_BYTES));
    Atomics.store(this.#words, at + 3, written);
    Atomics.store(this.#words, at + 2, Math.min(limitMs, 2 ** 31 - 1));
    Atomics.add(this.#words, at + 1, 1);
    Atomics.store(this.#words, at, 1);
  }

  /** It has what it came for. */
  end(slot: SlotName): void {
    Atomics.store(this.#words, SLOT_START + SLOTS[slot] * SLOT_WORDS, 0);
  }

  /** Where every thread is. */
  slots(): SlotState[] {
    return Array.from({ length: SLOT_COUNT }, (_, slot) => {
      const at = SLOT_START + slot * SLOT_WORDS;
      const [isWaiting, number, limitMs, length] = [0, 1, 2, 3].map((i) => Atomics.load(this.#words, at + i));
      const what = this.#text(TEXTS_START + slot * TEXT_BYTES, length);
      return { isWaiting: isWaiting !== 0, number, limitMs, what };
    });
  }

  /** Sleeps, or until the phase is another. For a Worker. */
  sleep(ms: number): void {
    Atomics.wait(this.#words, PHASE, this.phase, ms);
  }

  #text(start: number, length: number): string {
    return new TextDecoder().decode(this.#bytes.slice(start, start + length));
  }
}
