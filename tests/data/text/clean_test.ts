import assert from "node:assert/strict";
import { cleanText } from "../../../data/text/clean.ts";
import { splitWords } from "../../../data/text/words.ts";

const { cases }: { cases: [text: string, cleaned: string, words: string[]][] } = JSON.parse(
  Deno.readTextFileSync(new URL("../../fixtures/tokenizer/cleaning.json", import.meta.url)),
);

Deno.test("texts are cleaned and split as by Python's ftfy, html and regex: mojibake, references, widths, white space, case", () => {
  assert.ok(cases.length > 150);
  for (const [text, cleaned, words] of cases) {
    assert.equal(cleanText(text), cleaned, JSON.stringify(text));
    assert.deepEqual(splitWords(cleaned), words, JSON.stringify(cleaned));
  }
});

Deno.test("half a surrogate pair becomes the replacement character", () => {
  assert.equal(cleanText("a\ud83d b\udca9"), "a\ufffd b\ufffd");
  assert.equal(cleanText("\ud83d\udca9"), "💩");
});

Deno.test("texts made to be slow are cleaned in passes over them: spaces, nested references, marks, misread UTF-8", () => {
  const many = (text: string) => text.repeat(100_000 / text.length);
  assert.equal(cleanText(`a${many(" ")}b`), "a b");
  assert.ok(
    cleanText(`&${many("amp;")}`).startsWith("&amp;"),
    "what is escaped a thousand times keeps some of it",
  );
  assert.equal([...cleanText(`a${many("\u0301\u0323")}`)].length, 100_001);
  assert.equal(cleanText(many("Ã©")), many("é").slice(0, 50_000));
});
