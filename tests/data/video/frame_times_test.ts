import assert from "node:assert/strict";
import { settleTimes } from "../../../data/video/_frame_times.ts";

/** Times in tenths of a second; "?" where the decoder tells none. */
function settled(text: string): string | null {
  const told = settleTimes(text.split(" ").map((word) => word === "?" ? NaN : Number(word)), 0.1);
  return told && `${told.times.join(" ")}${told.exact ? "" : " *"}`;
}

Deno.test("times that the decoder tells stay as they are", () => {
  assert.equal(settled("5 6 16 17"), "5 6 16 17");
  assert.equal(settled("5"), "5");
});

Deno.test("times that are missing lie evenly between the others, and go on at their mean pace", () => {
  assert.equal(settled("0 ? ? 6 8"), "0 2 4 6 8 *");
  assert.equal(settled("? 1 2 3 ? ?"), "0 1 2 3 4 5 *"); // the last pictures of an AVI
  assert.equal(settled("? ? ?"), null); // a raw stream
  assert.equal(settled("? 4 ?"), null);
  assert.equal(settled("?"), null);
});

Deno.test("times never go back: a flaw stands still, another recording goes on where the first ended", () => {
  assert.equal(settled("0 2 1 3 4"), "0 2 2 3 4 *");
  assert.equal(settled("0 2 4 ? 40 0 2 4 6"), "0 2 4 22 40 58 60 62 64 *");
  assert.equal(settled("0 1 1 2"), "0 1 1 2 *");
});
