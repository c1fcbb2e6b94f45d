import assert from "node:assert/strict";
import { copyFile, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { openCase } from "../../../train/parity/case.ts";
import { replayTokenizerCase } from "../../../train/parity/tokenizer.ts";
import { inTempFolder } from "../../_util/frame_folders.ts";

const folder = new URL("../../fixtures/tokenizer/", import.meta.url);

Deno.test("a case of texts holds, and one with an id more names the text", () =>
  inTempFolder(async (root) => {
    const description = JSON.parse(await readFile(new URL("tokenizer.json", folder), "utf8"));
    await copyFile(new URL("tokenizer.safetensors", folder), join(root, "tokenizer.safetensors"));
    const replay = async () => {
      await writeFile(join(root, "case.json"), JSON.stringify(description));
      await using reference = await openCase(join(root, "case.json"));
      return await replayTokenizerCase(reference);
    };
    const groups = await replay();
    assert.deepEqual(groups.map(({ group, max_abs, ok }) => ({ group, max_abs, ok })), [
      { group: "ids", max_abs: 0, ok: true },
      { group: "ids77", max_abs: 0, ok: true },
      { group: "retrieval_ids", max_abs: 0, ok: true },
      { group: "retrieval_mask", max_abs: 0, ok: true },
    ]);
    description.strings[7].ids.push(320);
    const [ids] = await replay();
    assert.deepEqual([ids.ok, ids.worst], [false, JSON.stringify(description.strings[7].text)]);
    description.strings.pop();
    await assert.rejects(replay(), /"ids77" must have 210 rows, current count is 211/);
  }));
