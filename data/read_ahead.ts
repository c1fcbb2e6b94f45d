/**
 * Room for clips that are read ahead, in bytes. A clip takes a place of the size that is expected of it; one that has more waits
 * until there is room for it, or until it is the next to be taken: so there is always one that goes on.
 */

/** What the first clips are expected to have: 64 frames of 340x256 with room to spare. */
const FIRST_EXPECTED = 2 ** 25;
const LEAST_EXPECTED = 2 ** 22;
/** Clips of a set are of like sizes, not of the same. */
const MARGIN = 1.25;

export class ReadAhead {
  readonly #most: number;
  readonly #waiting = new Set<ReadAheadPlace>();
  #taken = 0;
  #expected = FIRST_EXPECTED;

  /** @param most Bytes in all, unless one clip alone has more. */
  constructor(most: number) {
    this.#most = most;
  }

  /** A place for another clip; null where there is no room now. @param isNext it is the next to be taken: there always is */
  take(isNext: boolean): ReadAheadPlace | null {
    if (!isNext && this.#taken + this.#expected > this.#most) return null;
    return new ReadAheadPlace(this.#expected, isNext, {
      change: (bytes) => {
        this.#taken += bytes;
        for (const place of this.#waiting) place.look();
      },
      fits: (bytes) => this.#taken + bytes <= this.#most,
      expect: (bytes) => this.#expected = Math.max(LEAST_EXPECTED, Math.ceil(MARGIN * bytes)),
      waiting: this.#waiting,
    });
  }

  /** Those who wait fail with this reason. */
  close(reason: unknown): void {
    for (const place of this.#waiting) place.fail(reason);
  }
}

interface Room {
  change(bytes: number): void;
  fits(bytes: number): boolean;
  expect(bytes: number): void;
  readonly waiting: Set<ReadAheadPlace>;
}

/** The room of one clip. */
export class ReadAheadPlace {
  readonly #room: Room;
  #bytes: number;
  #isNext: boolean;
  #wanted: { bytes: number; resolve(): void; reject(reason: unknown): void } | null = null;

  constructor(bytes: number, isNext: boolean, room: Room) {
    this.#bytes = bytes;
    this.#isNext = isNext;
    this.#room = room;
    room.change(bytes);
  }

  /** Bytes that the clip may have. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Waits until the clip may have so many bytes. */
  async grow(bytes: number): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#wanted = { bytes, resolve, reject };
    this.#room.waiting.add(this);
    this.look();
    await promise;
  }

  /** The clip is the next to be taken. */
  becomeNext(): void {
    this.#isNext = true;
    this.look();
  }

  /** Looks whether what is waited for is there. */
  look(): void {
    const wanted = this.#wanted;
    if (wanted === null || !(this.#isNext || this.#room.fits(wanted.bytes - this.#bytes))) return;
    this.#leave();
    this.#set(wanted.bytes);
    wanted.resolve();
  }

  fail(reason: unknown): void {
    const wanted = this.#wanted;
    this.#leave();
    wanted?.reject(reason);
  }

  /** The clip is read, and has so many bytes. */
  settle(bytes: number): void {
    this.#room.expect(bytes);
    this.#set(bytes);
  }

  /** The clip was taken, or is not to come. */
  release(): void {
    this.#set(0);
  }

  #leave(): void {
    this.#wanted = null;
    this.#room.waiting.delete(this);
  }

  #set(bytes: number): void {
    const change = bytes - this.#bytes;
    this.#bytes = bytes;
    this.#room.change(change);
  }
}
