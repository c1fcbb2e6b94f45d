/** What an attack on the product is: something that users, machines or hostile files do to it, tried a number of times. */

/** What went wrong in a try. */
export interface Damage {
  /** A run or a result that cannot be gone on with; a file that says something false; an answer that is not one clear line. */
  kind: "lost" | "wrong file" | "unclear";
  /** What was seen, for the table's end. */
  detail: string;
}

/** One way to attack the product. */
export interface Attack {
  /** The part of the product that should hold, such as "interrupts". */
  part: string;
  /** What is done to it, in a few words. */
  what: string;
  tries: number;
  /**
   * Tries once.
   *
   * @param folder An empty folder of its own, removed afterwards.
   * @param number The number of the try, from 0; draws come from it.
   * @returns null where the product held.
   */
  attempt(folder: string, number: number): Promise<Damage | null>;
}
