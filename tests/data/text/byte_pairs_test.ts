import assert from "node:assert/strict";
import fc from "fast-check";
import { FIRST_MERGED } from "../../../data/text/byte_pairs.ts";
import { clipVocabulary } from "../../../data/text/vocabulary.ts";
import { mergesFile, packagedMerges } from "../../../tools/vocabulary.ts";

const merges = packagedMerges();

/** Bytes by id, as the specification has them: those that print, then the others. */
const BYTES = [[33, 126], [161, 172], [174, 255], [0, 32], [127, 160], [173, 173]].flatMap(
  ([from, to]) => Array.from({ length: to - from + 1 }, (_, i) => from + i),
);
/** The texts of all ids. */
const symbols = (() => {
  const bytes = BYTES.map((byte, id) => String.fromCharCode(id < 188 ? byte : 256 + id - 188));
  return [...bytes, ...bytes.map((one) => `${one}</w>`), ...merges.map((pair) => pair.join(""))];
})();

/** The encoder of the original, over texts of symbols: the pair of the smallest rank, wherever it stands, until there is none. */
function plainEncoder(): (word: string) => number[] {
  const character = Array.from(BYTES, (_, byte) => symbols[BYTES.indexOf(byte)]);
  const idOf = new Map(symbols.map((symbol, id) => [symbol, id]));
  const rankOf = new Map(merges.map((pair, rank) => [pair.join(" "), rank]));
  return (word) => {
    let parts = Array.from(new TextEncoder().encode(word), (byte) => character[byte]);
    parts[parts.length - 1] += "</w>";
    while (true) {
      const ranks = parts.slice(1).map((part, i) => rankOf.get(`${parts[i]} ${part}`) ?? Infinity);
      const rank = Math.min(...ranks);
      if (rank === Infinity) return parts.map((part) => idOf.get(part)!);
      const [left, right] = merges[rank], merged: string[] = [];
      for (let i = 0; i < parts.length; i++) {
        const isPair = parts[i] === left && parts[i + 1] === right;
        merged.push(isPair ? left + right : parts[i]);
        if (isPair) i++;
      }
      parts = merged;
    }
  };
}

Deno.test("the committed table is the package's, and merges only what was merged before", async () => {
  assert.equal(merges.length, 48_894);
  assert.deepEqual([merges[0], merges.at(-1)], [["i", "n"], ["jeky", "ll</w>"]]);
  const file = new URL("../../../data/text/clip_merges.txt", import.meta.url);
  const committed = await Deno.readTextFile(file);
  assert.ok(committed === mergesFile(merges), "run tools/vocabulary.ts");
  const ids = new Uint16Array(Uint8Array.fromBase64(committed).buffer);
  assert.ok(
    ids.every((id, i) => id < FIRST_MERGED + (i >> 1)),
    "a pair merged late never makes room for an earlier one",
  );
  assert.equal((await clipVocabulary()).size, 49_406);
});

Deno.test("every word is merged as by the original's encoder", async () => {
  const plain = plainEncoder(), pairs = await clipVocabulary();
  const pieces = fc.constantFrom(
    ...merges.filter((_, i) => i % 7 === 0).map((pair) => pair.join("").replace("</w>", "")),
  );
  const word = fc.oneof(
    fc.string({ unit: "binary", minLength: 1, maxLength: 40 }),
    fc.string({ unit: "grapheme", minLength: 1, maxLength: 40 }),
    fc.string({ unit: fc.constantFrom("a", "b", "n", "'"), minLength: 1, maxLength: 80 }), // overlapping pairs
    fc.array(pieces, { minLength: 1, maxLength: 8 }).map((parts) => parts.join("")),
  );
  fc.assert(
    fc.property(word, (text) => assert.deepEqual(pairs.encode(text), plain(text))),
    { numRuns: 400 },
  );
});

Deno.test("a word of many letters is merged without trying all of it again for each pair", async () => {
  const pairs = await clipVocabulary();
  assert.deepEqual(pairs.encode("a".repeat(200_000)), [...Array(24_999).fill(23126), 6727, 19336]);
  const letters = "qwertyuiopasdfghjklzxcvbnm";
  const word = Array.from({ length: 100_000 }, (_, i) => letters[(i * i + (i >> 5)) % 26]).join("");
  assert.ok(pairs.encode(word).map((id) => symbols[id]).join("") === `${word}</w>`);
});
