/** The page without a model: what it asks for until all is there that a model needs. Without a GPU, where it must then stop. */
import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { encodeSafetensors } from "../../data/checkpoint/safetensors.ts";
import { clipTokenizer, tokensOf } from "../../data/text/tokenizer.ts";
import { createModel } from "../../models/mod.ts";
import { systemOf } from "../../models/registry.ts";
import { originalName } from "../../models/parts/file_names.ts";
import { buildWebPage } from "../../pages/web/build.ts";
import { keptWeights } from "../../train/files/load_weights.ts";
import { initialState, metadataOf, wordsMetadata } from "../../train/files/run_state.ts";
import { parseConfig } from "../../train/recipe/config.ts";
import { modelSpec } from "../../train/recipe/model.ts";
import { packagedMerges } from "../../tools/vocabulary.ts";
import { captionsRecipe } from "../cli/_tiny_captions.ts";
import { writeTinyClip } from "../_util/tiny_clip.ts";
import { hasBrowser, startBrowser } from "./_browser.ts";

const SENTENCES = ["something moves left"];
/** Bytes that the page may have, and when packed. */
const MOST_BYTES = 1_000_000, MOST_PACKED = 300_000;

/** Writes a network for retrieval as a run does, with weights of nothing. */
async function writeRetrieval(path: string, metadata: Readonly<Record<string, string>>): Promise<void> {
  const recipe = captionsRecipe(tokensOf(await clipTokenizer(), SENTENCES));
  const { config } = parseConfig(recipe, { overrides: ["network.weights=/elsewhere/clip.safetensors"] });
  const model = createModel(modelSpec(config)), { files } = systemOf(config.system);
  const tensors = keptWeights(model).map(({ name, shape }) => {
    const data = new Float32Array(shape.reduce((a, b) => a * b, 1));
    return { name: originalName(files, name), dtype: "F32", shape, data } as const;
  });
  const own = metadataOf({ config, labels: [], state: initialState(0) });
  await Deno.writeFile(
    path,
    await new Blob([...encodeSafetensors(tensors, { ...own, ...metadata })] as Uint8Array<ArrayBuffer>[])
      .bytes(),
  );
}

Deno.test({
  name: "the page without a model asks for what a model needs, and refuses the rest at once",
  ignore: !hasBrowser,
  sanitizeOps: false,
  sanitizeResources: false,
}, async (t) => {
  const folder = await Deno.makeTempDir({ prefix: "sidenet-" }), file = (name: string) => `${folder}/${name}`;
  const page_ = await buildWebPage({ title: "<no> model" });
  const browser = await startBrowser({ webGpu: false });
  const open = async (): Promise<Page> => {
    const page = await browser.newPage();
    await page.goto(`file://${file("page.html")}`);
    return page;
  };
  const sees = (page: Page, where: string, hasText: string) =>
    page.locator(where, { hasText }).first().waitFor({ timeout: 20_000 });
  try {
    await Deno.writeTextFile(file("page.html"), page_);
    await writeTinyClip(file("clip.safetensors"));
    await writeRetrieval(file("old.safetensors"), {});
    await writeRetrieval(file("new.safetensors"), await wordsMetadata());
    const merges = packagedMerges().map((pair) => pair.join(" "));
    await Deno.writeTextFile(file("merges.txt"), ["#version: 0.2", ...merges].join("\n"));

    await t.step("it is small", async () => {
      const packed = await new Response(new Blob([page_]).stream().pipeThrough(new CompressionStream("gzip")))
        .bytes();
      const bytes = new TextEncoder().encode(page_).length;
      assert.ok(bytes < MOST_BYTES && packed.length < MOST_PACKED, `${bytes} bytes, ${packed.length} packed`);
    });

    await t.step("a network for retrieval and its CLIP file are enough", async () => {
      const page = await open();
      assert.equal(await page.textContent("h1"), "<no> model");
      await page.setInputFiles("#files", file("new.safetensors"));
      await sees(page, ".wanted", "This model was trained beside clip.safetensors: drop that file too.");
      assert.equal(await page.locator(".wanted").count(), 1);
      await page.setInputFiles("#files", file("clip.safetensors"));
      await sees(page, "#error", "this browser offers no GPU to pages");
      await page.close();
    });

    await t.step("one of an earlier version needs the table of words, in any order", async () => {
      const page = await open();
      await page.setInputFiles("#files", file("clip.safetensors"));
      await sees(
        page,
        "#status",
        "clip.safetensors is a backbone: drop the model that was trained beside it",
      );
      assert.ok(await page.locator("#progress").isHidden());
      await page.setInputFiles("#files", file("old.safetensors"));
      await sees(page, ".wanted", "CLIP's table of words, and its file does not hold it: drop");
      await page.setInputFiles("#files", file("merges.txt"));
      await sees(page, "#error", "this browser offers no GPU to pages");
      await page.close();
    });

    await t.step("other files are refused, each in a line, and those beside them are taken", async () => {
      const page = await open();
      const wrong: Record<string, string> = {
        "notes.txt": "hello",
        "empty.mp4": "",
        "it's.avi": "RIFF    AVI ",
        "x_tokenizer.json": "{}",
        "x.safetensors": "no weights",
      };
      for (const [name, text] of Object.entries(wrong)) await Deno.writeTextFile(file(name), text);
      await page.setInputFiles("#files", [...Object.keys(wrong), "new.safetensors"].map(file));
      await sees(page, ".wanted", "clip.safetensors");
      const lines = await page.locator("#error span").allTextContents();
      const expected = [
        /^Cannot use "notes.txt": it must be a video \(MP4, MOV, WebM or MKV\) or a model/,
        /^Cannot use "empty.mp4": it is empty/,
        /^Cannot use "it's.avi": .* is an AVI file; ffmpeg -i 'it'\\''s.avi' out.mp4 makes/,
        /^Cannot use "x_tokenizer.json": it must be CLIP's table of words/,
        /^Cannot read "x.safetensors"/,
      ];
      assert.equal(lines.length, expected.length, lines.join("\n"));
      lines.forEach((line, i) => assert.match(line, expected[i]));
      assert.equal(await page.locator("article").count(), 0);
      await page.close();
    });
  } finally {
    await browser.close();
    await Deno.remove(folder, { recursive: true });
  }
});
