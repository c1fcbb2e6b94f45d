/**
 * Who of the ranks does not take part, found by a thread that does nothing else (`cli/ranks/watch_worker.ts`): so no call of MPI that
 * never returns can keep it from looking. Whoever waits for more than a second says so to all, every second, and those that do not wait
 * answer; a process that is stopped, dead or on a machine that hangs does neither. Nothing is sent while exchanges are quick.
 *
 * Time is counted in small steps of this thread, so that a process which was itself stopped blames nobody for that time.
 */

import { SLOT_COUNT, type SlotState } from "./watch_memory.ts";

/** What a rank says to another. */
export interface Word {
  readonly rank: number;
  /** Exchanges that each of its threads has begun, and whether it waits in the last. */
  readonly numbers: readonly number[];
  readonly waits: readonly boolean[];
}

/** Time between two looks. */
export const TICK_MS = 200;
/** Of a step of time that is longer, this thread itself was stopped. */
const LONGEST_STEP_MS = 2000;
/** Who waits so long says so, and as often. */
const TELL_AFTER_MS = 1000;
const BEAT_MS = 1000;
/** Time for words to arrive. */
const GRACE_MS = 2000;
/** Who has not answered for so long does not answer. */
const SILENT_MS = 3000;
/** The first of those that wait speaks for them; the others speak if it has not done so. */
const LATER_MS = 4000;
/** Time beyond a limit after which somebody has spoken. */
export const PATIENCE_MS = GRACE_MS + LATER_MS;
/** A look that comes so late: the process was stopped. */
const STILL_MS = 5000;
/** A stop so long before a wait began has to do with it. */
const STOP_MS = 30_000;

/** Who is absent, and how that was found. */
export interface Absence {
  readonly ranks: readonly number[];
  /** Their processes do not answer; if false they do, and are somewhere else. */
  readonly isSilent: boolean;
  /** What they are waited for. */
  readonly what: string;
  readonly limitMs: number;
  /** How long this process was stopped meanwhile. */
  readonly stoodStillMs: number;
}

interface Wait {
  number: number;
  since: number;
}

/** The watch of one rank. */
export class Watchdog {
  readonly #rank: number;
  readonly #size: number;
  /** How long a rank may be silent while it is waited for. */
  readonly #limitMs: number;
  #clock = 0;
  #last: number | null = null;
  readonly #waits: (Wait | null)[] = new Array(SLOT_COUNT).fill(null);
  /** Since when the others are asked. */
  #asking: number | null = null;
  #toldAll = -Infinity;
  /** When this process was stopped last, and for how long. */
  #stop = { at: -Infinity, ms: 0 };
  readonly #heard: { at: number; word: Word | null }[];
  readonly #owed = new Set<number>();

  constructor({ rank, size, limitMs }: { rank: number; size: number; limitMs: number }) {
    this.#rank = rank;
    this.#size = size;
    this.#limitMs = limitMs;
    this.#heard = Array.from({ length: size }, () => ({ at: -Infinity, word: null }));
  }

  /** Takes a word. */
  hear(word: Word): void {
    this.#heard[word.rank] = { at: this.#clock, word };
    if (word.waits.includes(true)) this.#owed.add(word.rank);
  }

  /**
   * Looks.
   *
   * @param now Milliseconds of any clock.
   * @returns Ranks to say to where this one is, and who is absent.
   */
  look(now: number, slots: readonly SlotState[]): { tell: number[]; absence: Absence | null } {
    const step = now - (this.#last ?? now);
    this.#last = now;
    this.#clock += Math.min(step, LONGEST_STEP_MS);
    if (step > STILL_MS) this.#stop = { at: this.#clock, ms: step };
    this.#follow(slots);
    return { tell: this.#toTell(), absence: this.#absence(slots) };
  }

  /** Keeps since when each thread waits. */
  #follow(slots: readonly SlotState[]): void {
    slots.forEach(({ isWaiting, number }, slot) => {
      if (!isWaiting) this.#waits[slot] = null;
      else if (this.#waits[slot]?.number !== number) this.#waits[slot] = { number, since: this.#clock };
    });
    const longest = Math.max(0, ...this.#waits.map((wait) => wait === null ? 0 : this.#clock - wait.since));
    if (longest < TELL_AFTER_MS) this.#asking = null;
    else this.#asking ??= this.#clock;
  }

  #toTell(): number[] {
    const others = Array.from({ length: this.#size }, (_, rank) => rank).filter((rank) =>
      rank !== this.#rank
    );
    if (this.#asking !== null && this.#clock - this.#toldAll >= BEAT_MS) {
      this.#toldAll = this.#clock;
      this.#owed.clear();
      return others;
    }
    const owed = [...this.#owed];
    this.#owed.clear();
    return owed;
  }

  #silentFor(rank: number): number {
    return this.#asking === null ? 0 : this.#clock - Math.max(this.#asking, this.#heard[rank].at);
  }

  #absence(slots: readonly SlotState[]): Absence | null {
    if (this.#asking === null) return null;
    const others = this.#heard.map((_, rank) => rank).filter((rank) => rank !== this.#rank);
    for (const [slot, state] of slots.entries()) {
      const wait = this.#waits[slot];
      if (wait === null) continue;
      const found = (ranks: number[], isSilent: boolean, limitMs: number, over: number): Absence | null =>
        ranks.length === 0 || over < this.#patience(ranks) ? null : {
          ranks,
          isSilent,
          limitMs,
          what: state.what,
          stoodStillMs: this.#stop.at < wait.since - STOP_MS ? 0 : this.#stop.ms,
        };
      // Whatever the limit of the exchange, a process that is there answers.
      const longSilent = others.filter((rank) => this.#silentFor(rank) >= this.#limitMs);
      const silence = Math.min(...longSilent.map((rank) => this.#silentFor(rank) - this.#limitMs));
      const gone = found(longSilent, true, this.#limitMs, silence);
      if (gone !== null) return gone;
      const over = this.#clock - wait.since - state.limitMs;
      if (over < 0) continue;
      const silent = others.filter((rank) => this.#silentFor(rank) >= SILENT_MS);
      if (silent.length > 0) return found(silent, true, state.limitMs, over);
      const late = others.filter((rank) => (this.#heard[rank].word?.numbers[slot] ?? 0) < state.number);
      // Who waits elsewhere waits for the same ranks.
      const idle = late.filter((rank) => !this.#heard[rank].word?.waits.includes(true));
      const absence = found(
        idle.length > 0 ? idle : late.length > 0 ? late : others,
        false,
        state.limitMs,
        over,
      );
      if (absence !== null) return absence;
    }
    return null;
  }

  #patience(absent: readonly number[]): number {
    const isFirst = Array.from({ length: this.#rank }, (_, lower) => lower).every((lower) =>
      absent.includes(lower)
    );
    return GRACE_MS + (isFirst ? 0 : LATER_MS);
  }
}

/** An absence in one line. */
export function describeAbsence(
  { ranks, isSilent, what, limitMs, stoodStillMs }: Absence,
  { rank, names, generalLimitMs }: { rank: number; names: readonly string[]; generalLimitMs: number },
): string {
  const seconds = limitMs / 1000, setting = limitMs === generalLimitMs ? " (SIDENET_MPI_TIMEOUT)" : "";
  if (isSilent && stoodStillMs >= generalLimitMs) {
    return `Cannot go on: ${
      names[rank]
    }, this process, must take part in ${what} within ${seconds} seconds${setting}, and stood still for ` +
      `${Math.round(stoodStillMs / 1000)}: the other ranks have ended without it`;
  }
  const [their, they] = ranks.length === 1 ? ["its process", "it is"] : ["their processes", "they are"];
  const why = isSilent
    ? `${their} ${ranks.length === 1 ? "does" : "do"} not answer: dead or stopped, or the machine hangs`
    : `${their} ${ranks.length === 1 ? "answers" : "answer"}: ${they} stuck or too slow`;
  return `Cannot go on: ${
    ranks.map((one) => names[one]).join(", ")
  } must take part in ${what} within ${seconds} seconds${setting}, ` +
    `and ${ranks.length === 1 ? "has" : "have"} not; ${why}`;
}
