/** CLIP's table of words from the files of its checkpoints: each gives the table that is here. */
import assert from "node:assert/strict";
import { readMergesFile } from "../../../data/text/merges_file.ts";
import { giveVocabulary, hasVocabulary, packedVocabulary } from "../../../data/text/vocabulary.ts";
import { packagedMerges } from "../../../tools/vocabulary.ts";

const pairs = packagedMerges(), lines = pairs.map((pair) => pair.join(" "));
const packed = await packedVocabulary();
const file = (name: string, ...parts: BlobPart[]) => new File(parts, name);
const gzip = async (text: string) =>
  await new Response(new Blob([text]).stream().pipeThrough(new CompressionStream("gzip"))).arrayBuffer();

Deno.test("readMergesFile() reads OpenAI's file and Hugging Face's", async () => {
  const openai = ["bpe_simple_vocab_16e6.txt#version: 0.2", ...lines, "th ird", ""].join("\n");
  const texts: [name: string, text: BlobPart][] = [
    ["bpe_simple_vocab_16e6.txt.gz", await gzip(openai)],
    ["bpe_simple_vocab_16e6.txt", openai],
    ["merges.txt", ["#version: 0.2", ...lines, ""].join("\r\n")],
    ["tokenizer.json", JSON.stringify({ model: { type: "BPE", merges: lines } })],
    ["tokenizer.json", JSON.stringify({ model: { merges: pairs } })],
  ];
  for (const [name, text] of texts) assert.ok(await readMergesFile(file(name, text)) === packed, name);
});

Deno.test("readMergesFile() refuses what is no table, is cut off or never ends", async () => {
  const whole = await gzip(`#version: 0.2\n${lines.join("\n")}`), zeros = await gzip("\n".repeat(2 ** 25));
  const wrong: Record<string, BlobPart> = {
    "notes.txt": "hello",
    "empty.txt": "",
    "short.txt": `#version: 0.2\n${lines.slice(0, 100).join("\n")}`,
    "swapped.txt": `#version: 0.2\n${lines.toReversed().join("\n")}`,
    "other.json": "[1]",
    "broken.json": '{"model": {"merges": [',
    "cut.txt.gz": whole.slice(0, 5000),
    "bomb.txt.gz": zeros,
  };
  for (const [name, text] of Object.entries(wrong)) {
    await assert.rejects(
      readMergesFile(file(name, text)),
      { message: new RegExp(`^Cannot use "${name}": it must be CLIP's table of words: .*merges\\.txt`) },
      name,
    );
  }
});

Deno.test("giveVocabulary() takes CLIP's table alone", async () => {
  await giveVocabulary(packed, { label: "x" });
  assert.ok(await hasVocabulary());
  for (const wrong of ["", "!", `AAAA${packed.slice(4)}`, packed.slice(4)]) {
    await assert.rejects(
      giveVocabulary(wrong, { label: "x" }),
      /Cannot use "x": its table of words must be CLIP's/,
    );
  }
});
