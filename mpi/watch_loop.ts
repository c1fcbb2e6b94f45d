/** The watch's thread: tells the other ranks over MPI where this one is, hears them, and ends the job when one is absent. */

import type { MpiLibrary } from "./library.ts";
import { PHASES, SLOT_COUNT, type SlotState, type WatchMemory } from "./watch_memory.ts";
import { describeAbsence, PATIENCE_MS, TICK_MS, Watchdog, type Word } from "./watchdog.ts";

/** What the thread needs. */
export interface WatchSetup {
  /** File of the library that the process joins with. */
  readonly library: string;
  readonly memory: SharedArrayBuffer;
}

/** Who speaks. */
export interface Speaker {
  /** Asks the main thread to end the job with these words. */
  ask(message: string): void;
  /** Says them where it cannot. */
  say(message: string): void;
}

/** Numbers of a word. */
export const WORD_LENGTH = 1 + 2 * SLOT_COUNT;
/** Time that the main thread has to take over, and to end the job then. */
const TAKE_MS = 1500, END_MS = 5000;
/** Time that launchers need to pass words on, which they do not do once the job is ended. */
export const WORDS_MS = 300;
/** Time in which the library may end the job. */
const ABORT_MS = 2000;

/** Watches until the process has left the world. Blocks the thread. */
export function watchRanks(library: MpiLibrary, memory: WatchMemory, speaker: Speaker): void {
  const words = new Words(library);
  let watchdog: Watchdog | null = null;
  const blind = Array.from({ length: SLOT_COUNT }, () => ({ number: -1, waitedMs: 0 }));
  for (;;) {
    const { phase } = memory, slots = memory.slots();
    memory.phaseSeen = phase;
    if (phase === PHASES.left) return;
    if (phase === PHASES.running) {
      const { place, names, limitMs } = memory;
      watchdog ??= new Watchdog({ ...place, limitMs });
      for (const word of words.receive()) watchdog.hear(word);
      const { tell, absence } = watchdog.look(performance.now(), slots);
      words.send(tell, { rank: place.rank, slots });
      if (absence !== null) {
        const message = describeAbsence(absence, { rank: place.rank, names, generalLimitMs: limitMs });
        endJob(library, memory, { speaker, message, canAbort: true });
      }
    } else {
      // The others cannot be asked: nobody knows who is missing.
      slots.forEach(({ isWaiting, number, limitMs, what }, slot) => {
        const last = blind[slot];
        last.waitedMs = isWaiting && last.number === number ? last.waitedMs + TICK_MS : 0;
        last.number = number;
        if (last.waitedMs <= limitMs + PATIENCE_MS) return;
        const message = `Cannot go on: all ranks must come to ${what} within ${limitMs / 1000} seconds, ` +
          `and some have not: dead, stopped or stuck`;
        endJob(library, memory, { speaker, message, canAbort: false });
      });
    }
    memory.sleep(TICK_MS);
  }
}

function endJob(
  library: MpiLibrary,
  memory: WatchMemory,
  { speaker, message, canAbort }: { speaker: Speaker; message: string; canAbort: boolean },
): void {
  speaker.ask(message);
  for (let waited = 0; waited < TAKE_MS && !memory.isTaken; waited += TICK_MS) memory.sleep(TICK_MS);
  if (memory.isTaken) memory.sleep(END_MS);
  else {
    speaker.say(message);
    memory.sleep(WORDS_MS);
  }
  if (canAbort) {
    library.startAbort(1);
    memory.sleep(ABORT_MS);
  }
  library.exit(1);
}

/** Words between the watches of all ranks: on the communicator of the world, where nothing else is sent. */
class Words {
  readonly #library: MpiLibrary;
  readonly #under = new Map<number, { isSent: () => boolean; values: Float64Array }>();

  constructor(library: MpiLibrary) {
    this.#library = library;
  }

  receive(): Word[] {
    const words: Word[] = [], values = new Float64Array(WORD_LENGTH);
    while (this.#library.receive(values, this.#library.world)) {
      const [rank, ...rest] = values;
      words.push({
        rank,
        numbers: rest.slice(0, SLOT_COUNT),
        waits: rest.slice(SLOT_COUNT).map((wait) => wait !== 0),
      });
    }
    return words;
  }

  /** Says where this rank is, but not to one whose last word is still on its way. */
  send(to: readonly number[], { rank, slots }: { rank: number; slots: readonly SlotState[] }): void {
    for (const [other, { isSent }] of this.#under) if (isSent()) this.#under.delete(other);
    for (const other of to) {
      if (this.#under.has(other)) continue;
      const values = Float64Array.of(
        rank,
        ...slots.map(({ number }) => number),
        ...slots.map(({ isWaiting }) => Number(isWaiting)),
      );
      this.#under.set(other, { isSent: this.#library.startSend(values, other, this.#library.world), values });
    }
  }
}
