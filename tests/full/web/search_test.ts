/** A network for retrieval in the page, of a run or without a model: what a sentence finds there is what `index` and `search` find. */
import assert from "node:assert/strict";
import * as index from "../../../cli/index.ts";
import * as pageVerb from "../../../cli/extras/page.ts";
import * as search from "../../../cli/search.ts";
import { buildWebPage } from "../../../pages/web/build.ts";
import { runVerb } from "../../_util/run_verb.ts";
import { writeTinyClip } from "../../_util/tiny_clip.ts";
import { ffmpeg } from "../../_util/video_files.ts";
import { captionedFolder } from "../../cli/_tiny_captions.ts";
import { browserTest } from "../../web/_browser.ts";

const SENTENCE = "something moves right";

/** Sizes of the network's towers, as in the file of a tiny CLIP. */
const OF_A_FILE = [
  "network.weights=clip.safetensors",
  "network.backbone={image_size: 16, patch_size: 8, width: 64, layers: 1, heads: 1}",
  "network.text={width: 8, heads: 1, layers: 1, context: 16}",
  "network.embed_dim=16",
  "network.tokens=null",
];

browserTest("a sentence finds the parts of videos in a browser that search finds", async (browser) => {
  await using folder = await captionedFolder();
  await writeTinyClip(folder.file("clip.safetensors"));
  const videos: string[] = [];
  for (
    const [i, source] of ["testsrc2=size=20x20:rate=8:duration=4", "smptebars=size=20x20:rate=8:duration=3"]
      .entries()
  ) {
    videos.push(folder.file(`${i}.mp4`));
    await ffmpeg(["-f", "lavfi", "-i", source, "-pix_fmt", "yuv420p", "-c:v", "libx264", "-y", videos[i]]);
  }
  for (
    const { name, keys, isBare } of [
      { name: "mean", keys: ["network.interaction=mean"], isBare: false },
      { name: "wti", keys: ["network.interaction=wti"], isBare: false },
      { name: "bare", keys: OF_A_FILE, isBare: true },
    ]
  ) {
    const run = folder.file("runs", name), out = folder.file(`${name}.html`);
    const trained = await folder.sidenet(["train", "captions.yaml", ...keys, `name=${name}`]);
    assert.equal(trained.code, 0, trained.stderr);
    const built = folder.file(`index_${name}`);
    await runVerb(index, [run, ...videos, "--out", built, "--window", "1"]);
    const found = JSON.parse((await runVerb(search, [built, SENTENCE, "--json"])).stdout);
    if (isBare) await Deno.writeTextFile(out, await buildWebPage());
    else assert.equal((await runVerb(pageVerb, [run, "--out", out])).code, 0);

    const page = await browser.newPage();
    page.on("pageerror", (error) => assert.fail(error.message));
    await page.goto(`file://${out}`);
    const model = isBare
      ? [folder.file("runs", name, "best.safetensors"), folder.file("clip.safetensors")]
      : [];
    await page.setInputFiles("#files", [...model, ...videos]);
    await page.locator("#search:visible").waitFor({ timeout: 180_000 });
    await page.fill("#stride", "1");
    await page.getByRole("button", { name: "Read again" }).click();
    await page.locator(".about", { hasText: "4 parts" }).waitFor({ timeout: 60_000 });
    await page.locator(".about", { hasText: "3 parts" }).waitFor({ timeout: 60_000 });
    await page.fill("#sentence", SENTENCE);
    await page.keyboard.press("Enter");
    await page.locator(".hits li").first().waitFor({ timeout: 30_000 });
    const hits = await page.locator(".hits li").evaluateAll((lines) =>
      lines.map((line) =>
        [".name", ".span", ".figure"].map((part) =>
          (line as unknown as ParentNodeLike).querySelector(part)!.textContent
        )
      )
    );
    const clock = (at: number) => `00:${at.toFixed(1).padStart(4, "0")}`;
    const expected = found.hits.map((
      { path, from, to, score }: Record<"from" | "to" | "score", number> & { path: string },
    ) => [
      path.replace(/^.*\//, ""),
      `${clock(from)}–${clock(to)}`,
      score.toFixed(4),
    ]);
    // Parts of still pictures have equal scores, to the last digits: their order is not compared, those are.
    const inOrder = (lines: readonly (readonly string[])[]) => lines.map((line) => line.join(" ")).sort();
    assert.deepEqual(inOrder(hits), inOrder(expected));
    assert.deepEqual(hits.map(([, , score]) => score), expected.map(([, , score]: string[]) => score));
    await page.close();
  }
});

/** The part of an element that is used in the page. */
interface ParentNodeLike {
  querySelector(selector: string): { textContent: string } | null;
}
