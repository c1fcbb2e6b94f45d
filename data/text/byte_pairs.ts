/** Byte-pair encoding of words: bytes are symbols, and pairs of neighbours are merged in the order of a table. */
import FlatQueue from "flatqueue";

/** What the text of a symbol that ends a word ends in. */
export const END_OF_WORD = "</w>";
const BYTES = 256;
/** Ids begin with the bytes, the bytes that end a word, and what the first pair is merged to. */
export const FIRST_MERGED = 2 * BYTES;

const ALL_BYTES = Array.from({ length: BYTES }, (_, byte) => byte);
const isPrintable = (byte: number) => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
const PRINTABLE = ALL_BYTES.filter(isPrintable), OTHERS = ALL_BYTES.filter((byte) => !isPrintable(byte));
const ID_OF_BYTE = Uint8Array.from(ALL_BYTES, (byte) => [...PRINTABLE, ...OTHERS].indexOf(byte));

/** The characters that stand for bytes in the text of a table, by id. */
export function byteSymbols(): string[] {
  return [...PRINTABLE, ...OTHERS.map((_, i) => BYTES + i)].map((code) => String.fromCodePoint(code));
}

/** A table of merges, ready to be looked up. */
export class BytePairs {
  /** The id that two neighbours become, by `left << 16 | right`. */
  readonly #merged = new Map<number, number>();
  readonly #utf8 = new TextEncoder();

  /** @param merges ids of the left and the right symbol of each pair, first pair first */
  constructor(merges: Uint16Array) {
    for (let i = 0; i < merges.length; i += 2) {
      this.#merged.set(key(merges[i], merges[i + 1]), FIRST_MERGED + i / 2);
    }
  }

  /** Ids there are. */
  get size(): number {
    return FIRST_MERGED + this.#merged.size;
  }

  /**
   * The ids of a word. Of all pairs of neighbours the first of the table is merged, wherever it stands, until none is in the
   * table. A queue finds it: the time grows with n log n, and a text without spaces is one word.
   */
  encode(word: string): number[] {
    const bytes = this.#utf8.encode(word), length = bytes.length, last = length - 1;
    const ids = new Uint16Array(length), next = new Uint32Array(length), previous = new Int32Array(length);
    for (let i = 0; i < length; i++) [ids[i], next[i], previous[i]] = [ID_OF_BYTE[bytes[i]], i + 1, i - 1];
    ids[last] += BYTES;
    const queue = new FlatQueue<number>();
    const offer = (left: number) => {
      const merged = left < 0 || next[left] > last
        ? undefined
        : this.#merged.get(key(ids[left], ids[next[left]]));
      // Pairs of one kind from left to right: "aaa" is "aa" and "a".
      if (merged !== undefined) queue.push(left, merged * 2 ** 32 + left);
    };
    for (let i = 0; i < last; i++) offer(i);
    while (queue.length > 0) {
      const merged = Math.floor(queue.peekValue()! / 2 ** 32), left = queue.pop()!, right = next[left];
      if (right > last || this.#merged.get(key(ids[left], ids[right])) !== merged) continue; // merged otherwise since
      ids[left] = merged;
      ids[right] = GONE;
      next[left] = next[right];
      if (next[left] <= last) previous[next[left]] = left;
      offer(previous[left]);
      offer(left);
    }
    const remaining: number[] = [];
    for (const id of ids) if (id !== GONE) remaining.push(id);
    return remaining;
  }
}

/** Marks the place of a symbol that its left neighbour took in; no id is as large, and no pair has it. */
const GONE = 0xffff;

function key(left: number, right: number): number {
  return left * 2 ** 16 + right;
}
