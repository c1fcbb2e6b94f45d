/** How many bytes of pictures a page may hold: what comes after that is left out, and said to be. */

/** Bytes of picture files on a page, all together; as text they take a third more. */
export const PAGE_PICTURE_BYTES = 12 * 2 ** 20;

/** What is left of a page's bytes. */
export class PictureBudget {
  #left: number;

  constructor(bytes: number = PAGE_PICTURE_BYTES) {
    this.#left = bytes;
  }

  /** Takes room for these pictures, all or none of them. @returns whether there was room */
  take(pictures: readonly Uint8Array[]): boolean {
    const bytes = pictures.reduce((sum, { length }) => sum + length, 0);
    if (bytes > this.#left) {
      this.#left = 0; // what comes first stands; no later and smaller one takes its place
      return false;
    }
    this.#left -= bytes;
    return true;
  }

  /** Whether nothing more goes in. */
  get isFull(): boolean {
    return this.#left <= 0;
  }
}
