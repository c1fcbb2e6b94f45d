/** Captions in pickles of Python: all protocols, and what is refused. */
import assert from "node:assert/strict";
import { pickledCaptionsAsJson } from "../../../data/datasets/captioned/pickled_captions.ts";
import { DataError } from "../../../lib/errors.ts";
import { ascii, call, dict, textOf, tuple } from "../../_util/pickle_pieces.ts";

const read = (...bytes: (number | number[])[]) =>
  JSON.parse(pickledCaptionsAsJson(Uint8Array.from(bytes.flat()), "captions.pkl"));
const STOP = 0x2e;
const list = (...items: number[][]) => [0x5d, ...items.flatMap((item) => [...item, 0x61])];
const protocol = (number: number) => [0x80, number];

Deno.test("captions are read from protocol 0, as Python 2 and 3 write it", () => {
  const two = String.raw`(dp0
S'id'
p1
(lp2
(lp3
S'a'
p4
aS"isn't"
aS'\xc3\xa9\t\'x\\'
aag4
as.`;
  assert.deepEqual(read(ascii(two)), { id: ["a isn't é\t'x\\", "a"] });
  const three = [
    "(dp0\nV\\u65e5",
    [0xe9],
    "\np1\n(lp2\n(lp3\nVa\\u005c\\u000ab\np4\naV\\U0001f3b8\np5\naas.",
  ];
  assert.deepEqual(read(...three.map((part) => typeof part === "string" ? ascii(part) : part)), {
    "日é": ["a\\\nb 🎸"],
  });
});

Deno.test("captions are read from later protocols, as text or as lists or tuples of words, in order", () => {
  const captions = list(list(textOf("a"), textOf("b")), textOf("c d"), tuple(textOf("é")));
  assert.deepEqual(read(protocol(2), dict(["z", captions], ["a", list()]), STOP), {
    z: ["a b", "c d", "é"],
    a: [],
  });
  const framed = [0x95, 8, 0, 0, 0, 0, 0, 0, 0, 0x7d, 0x94, 0x8c, 1, 0x61, 0x94, 0x5d, 0x94, 0x73];
  assert.deepEqual(read(protocol(4), framed, STOP), { a: [] });
});

Deno.test("an id may be called like a property of every object", () => {
  assert.deepEqual(
    Object.entries(read(protocol(2), dict(["__proto__", list(textOf("x"))], ["constructor", list()]), STOP)),
    [["__proto__", ["x"]], ["constructor", []]],
  );
});

const refused: [what: string, pickle: number[], message: RegExp][] = [
  ["a call", dict(["a", call("os.system", textOf("x"))]), /refers to "os\.system", .* nothing was called$/],
  ["another value", list(textOf("x")), /must hold a dict from id to captions$/],
  [
    "a caption that is a number",
    dict(["a", list([0x4b, 1])]),
    /the captions of "a" must be a list of text, or of lists of words$/,
  ],
  [
    "a word that is a number",
    dict(["a", list(list([0x4b, 1]))]),
    /the words of the captions of "a" must be text$/,
  ],
  ["a caption alone", dict(["a", textOf("x")]), /the captions of "a" must be a list/],
  ["a reference", [...textOf("x"), 0x51], /must not refer to other data$/],
  [
    "a list in itself",
    dict(["a", [0x5d, 0x71, 0, 0x68, 0, 0x61]]),
    /the words of the captions of "a" must be text$/,
  ],
  ["a memo without a number", [...ascii("(dpx\n")], /a memo of the pickle must have a number$/],
  ["text without quotes", [...ascii("Sx\n")], /a STRING of the pickle must be in quotes$/],
];

for (const [what, pickle, message] of refused) {
  Deno.test(`a pickle of captions is refused: ${what}`, () => {
    assert.throws(() => read(protocol(2), pickle, STOP), (error: Error) => {
      assert.ok(error instanceof DataError, String(error));
      assert.match(error.message, message);
      return true;
    });
  });
}

Deno.test("a pickle of captions is refused: one list of words named again and again", () => {
  const words = list(...Array.from({ length: 4096 }, () => textOf("w")));
  const again = Array.from({ length: 4096 }, () => [0x68, 0, 0x61]).flat();
  assert.throws(
    () => read(protocol(2), words, [0x71, 0, 0x30], dict(["a", [0x5d, ...again]]), STOP),
    /may have at most 8388608 words$/,
  );
});
