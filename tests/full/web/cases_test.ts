/** The recorded cases of every system, replayed in Chromium: minutes, because its software adapter compiles slowly. */
import assert from "node:assert/strict";
import { browserTest, callHarness, openHarness } from "../../web/_browser.ts";

const FIXTURES = new URL("../../fixtures/", import.meta.url);
const CASES = [
  "clip-vit/tiny",
  "clip-vit/tiny-fp16-weights",
  "dist/small",
  "side4video/tiny",
  "side4video/two-side-heads",
  "side4video-eva/tiny-L14-options",
  "side4video-retrieval/small-eva-mean",
  "side4video-retrieval/small-eva-wti",
  "side4video-retrieval/small-wti",
  "tds-clip/odd",
];

browserTest("the recorded cases of all systems hold in a browser", async (browser) => {
  const folder = await Deno.makeTempDir({ prefix: "sidenet-" });
  try {
    const page = await openHarness(browser, folder);
    for (const name of CASES) {
      const description = await Deno.readTextFile(new URL(`${name}.json`, FIXTURES));
      const tensors = await Deno.readFile(new URL(`${name}.safetensors`, FIXTURES));
      const groups = await callHarness(page, "replay", description, tensors.toBase64());
      assert.ok(groups.length > 3, name);
      for (const group of groups) assert.ok(group.ok, `${name}: ${JSON.stringify(group)}`);
      const logits = groups.find(({ group }) => group === "eval.logits");
      console.log(name, groups.length, "groups, eval.logits within", logits?.max_abs);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
