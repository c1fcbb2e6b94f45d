import assert from "node:assert/strict";
import {
  clipTokenizer,
  frameSentence,
  frameStrict,
  subsetTokenizer,
  tokensOf,
} from "../../../data/text/tokenizer.ts";
import { ConfigError, DataError } from "../../../lib/errors.ts";
import { FixtureTensors } from "../../_util/fixture_tensors.ts";

interface Recorded {
  strings: { text: string; ids: number[]; too_long_for_77: boolean }[];
  retrieval_max_words: number;
}

const tokenizer = await clipTokenizer();
const recorded: Recorded = JSON.parse(
  Deno.readTextFileSync(new URL("../../fixtures/tokenizer/tokenizer.json", import.meta.url)),
);

/** Rows of a recorded table of integers. */
function rowsOf(name: string): number[][] {
  const { shape: [rows, length], bytes } = new FixtureTensors("tokenizer/tokenizer.safetensors").get(name);
  const values = new Int32Array(bytes.buffer);
  return Array.from({ length: rows }, (_, row) => [...values.subarray(row * length, (row + 1) * length)]);
}

Deno.test("the original's tokens of 211 strings, framed for 77 tokens and for retrieval", () => {
  const rows = rowsOf("ids77"), retrieval = rowsOf("retrieval_ids"), masks = rowsOf("retrieval_mask");
  assert.equal(recorded.strings.length, 211);
  for (const [i, { text, ids, too_long_for_77 }] of recorded.strings.entries()) {
    const shown = JSON.stringify(text);
    assert.deepEqual(tokenizer.encode(text), ids, shown);
    assert.deepEqual([...frameStrict(tokenizer, text, { context: 77, truncate: true }).ids], rows[i], shown);
    const sentence = frameSentence(tokenizer, text, { words: recorded.retrieval_max_words });
    assert.deepEqual([...sentence.ids], retrieval[i], shown);
    assert.deepEqual([...sentence.mask], masks[i], shown);
    assert.equal(sentence.end, retrieval[i].indexOf(Math.max(...retrieval[i])), shown);
    const strict = () => frameStrict(tokenizer, text, { context: 77 });
    if (too_long_for_77) {
      assert.throws(strict, /must have at most 77 tokens with start and end, current count is/);
    } else assert.deepEqual([...strict().ids], rows[i], shown);
  }
});

Deno.test("texts of captions, in several scripts, misread or escaped, have the specified tokens", () => {
  const vectors: Record<string, string> = {
    "a man is playing a guitar": "320 786 533 1629 320 5084",
    "hello world!": "3306 1002 256",
    "don't do 3d-printing 42": "847 713 818 274 323 268 7369 275 273",
    "don’t": "847 713",
    "The man's 2nd-best guitar!!!": "518 786 568 273 1764 268 949 5084 995",
    "“quoted” text…": "257 27706 257 4160 959",
    "café": "15304",
    "cafÃ©": "15304",
    "naïve": "1097 35689 563",
    "日本語": "39121 44353 34002 508",
    "🎸 rock": "22122 2172",
    "Ｆｕｌｌ ｗｉｄｔｈ": "1476 23571",
    "&lt;b&gt; &amp;amp; x": "283 321 285 261 343",
    "it's the 1990s o'clock": "585 568 518 272 280 280 271 338 334 262 6716",
    "constructor": "13321 1208",
    "a video of a person abseiling.": "320 1455 539 320 2533 596 567 3299 269",
    "<|startoftext|>": "49406",
  };
  for (const [text, ids] of Object.entries(vectors)) {
    assert.equal(tokenizer.encode(text).join(" "), ids, text);
  }
  assert.deepEqual(tokenizer.encode("__proto__"), tokenizer.encode("__PROTO__"));
  assert.ok(tokenizer.encode("__proto__ \ud800").every((id) => id < 49_406));
});

Deno.test("a sentence for retrieval has start, tokens, end and zeros; what is too much of it is cut before the end", () => {
  const text = "a cartoon character is running around inside of a video game";
  const short = frameSentence(tokenizer, text, { words: 32 });
  const tokens = [49406, 320, 7651, 4009, 533, 2761, 1630, 2912, 539, 320, 1455, 1063, 49407];
  assert.deepEqual([...short.ids], [...tokens, ...Array(19).fill(0)]);
  assert.deepEqual([...short.mask], [...Array(13).fill(1), ...Array(19).fill(0)]);
  assert.equal(short.end, 12);
  const long = frameSentence(tokenizer, "word ".repeat(50), { words: 32 });
  assert.deepEqual([...long.ids], [49406, ...Array(30).fill(2653), 49407]);
  assert.ok(long.mask.every((value) => value === 1));
  assert.equal(frameSentence(tokenizer, "a <|endoftext|> b", { words: 32 }).end, 2);
  assert.deepEqual([...frameSentence(tokenizer, "", { words: 2 }).ids], [49406, 49407]);
  assert.throws(() => frameSentence(tokenizer, text, { words: 1 }), RangeError);
});

Deno.test("a text that is too long for a tower is an error that shows it, unless it may be truncated", () => {
  const text = "x, ".repeat(60);
  assert.throws(
    () => frameStrict(tokenizer, text, { context: 77 }),
    (error) =>
      error instanceof DataError &&
      /^Cannot tokenize "x, x, .*current count is 122; shorten it$/.test(error.message),
  );
  const cut = frameStrict(tokenizer, text, { context: 77, truncate: true });
  assert.deepEqual([...cut.ids.slice(74)], [267, 343, 49407].slice(-3));
});

Deno.test("a tower of few tokens has them renumbered, and names the words that it cannot say", () => {
  const tokens = tokensOf(tokenizer, ["a red circle moves left", "a blue abseiling square"]);
  assert.deepEqual(tokens.slice(-2), [49406, 49407]);
  const small = subsetTokenizer(tokenizer, tokens);
  assert.deepEqual([small.vocabulary, small.start, small.end], [
    tokens.length,
    tokens.length - 2,
    tokens.length - 1,
  ]);
  assert.deepEqual(small.encode("Red square").map((id) => tokens[id]), tokenizer.encode("red square"));
  assert.deepEqual(small.encode("a green circle"), small.encode("a circle"));
  assert.deepEqual(small.unknownIn("A green Circle, green abseiling elephant"), ["green", ",", "elephant"]);
  assert.deepEqual(small.unknownIn("a red abseiling"), []);
  const { ids, end } = frameSentence(small, "a green circle", { words: 6 });
  assert.deepEqual(ids[end], Math.max(...ids));
  assert.deepEqual([...frameSentence(small, "elephants", { words: 4 }).ids], [small.start, small.end, 0, 0]);
  for (
    const wrong of [[3, 2, 49406, 49407], [320, 320, 49406, 49407], [320, 49407], [], [
      320,
      49406,
      49407,
      49408,
    ]]
  ) {
    assert.throws(() => subsetTokenizer(tokenizer, wrong), ConfigError);
  }
});
