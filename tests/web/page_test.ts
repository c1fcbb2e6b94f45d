/**
 * The page in a real browser: a trained model and videos go in, and what comes out is what `predict` says. One browser, one page and one
 * model for all of it, because a software adapter compiles for many seconds.
 */
import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { buildWebPage } from "../../pages/web/build.ts";
import { packagedMerges } from "../../tools/vocabulary.ts";
import { wordsMetadata } from "../../train/files/run_state.ts";
import { writeTinyClip } from "../_util/tiny_clip.ts";
import { writeRetrieval } from "./_retrieval_file.ts";
import type { outcomeJson } from "../../train/evaluation/timeline.ts";
import { ffmpeg, hasFfmpeg } from "../_util/video_files.ts";
import * as pageVerb from "../../cli/extras/page.ts";
import { runVerb } from "../_util/run_verb.ts";
import { TinyFolder } from "../cli/_tiny.ts";
import { hasBrowser, startBrowser } from "./_browser.ts";
import { ADAPTERS, complaintsAbout, kernelsOfCase, SYSTEM_CASES } from "./_kernels.ts";

/** A public field of the results of `predict --json`. */
type Prediction = ReturnType<typeof outcomeJson>;

/** Videos whose colours are told, or not, in different ways. */
const VIDEOS = {
  "told.mp4": [
    "-c:v",
    "libx264",
    "-qp",
    "4",
    "-colorspace",
    "bt709",
    "-color_primaries",
    "bt709",
    "-color_trc",
    "bt709",
  ],
  "untold.webm": ["-c:v", "libvpx-vp9", "-crf", "10", "-b:v", "0"],
};
/** Differences of probabilities: kernels of two compilers on equal pictures. */
const TOLERANCE = 1e-4;

/** Bytes that the page without a model may have, and when packed. */
const MOST_BYTES = 1_000_000, MOST_PACKED = 300_000;

const sanitize = { sanitizeOps: false, sanitizeResources: false };

Deno.test({
  name: "the page of a run says in a browser what predict says, and can be used by keyboard on any screen",
  ignore: !hasBrowser || !hasFfmpeg,
  ...sanitize,
}, async (t) => {
  await using folder = await TinyFolder.create();
  const trained = await folder.sidenet(["train", "tiny.yaml", "solver.epochs=1"]);
  assert.equal(trained.code, 0, trained.stderr);
  for (const [name, encoding] of Object.entries(VIDEOS)) {
    const source = ["-f", "lavfi", "-i", "testsrc2=size=20x20:rate=8:duration=3"];
    await ffmpeg([...source, "-pix_fmt", "yuv420p", ...encoding, folder.file(name)]);
  }
  const written = await runVerb(pageVerb, [folder.file("runs", "tiny"), "--out", folder.file("tiny.html")]);
  assert.equal(written.code, 0, written.stderr);
  await assert.rejects(
    runVerb(pageVerb, [folder.file("runs", "tiny"), "--out", folder.file("x.pdf")]),
    /Cannot write ".*x\.pdf": --out must be the name of a page, which ends in \.html/,
  );
  const bare = await runVerb(pageVerb, ["--without-model", "--out", folder.file("bare.html")]);
  assert.match(bare.stdout, /^page: .*bare\.html, \d+ KiB;/);
  await assert.rejects(runVerb(pageVerb, []), /expected RUN\|CHECKPOINT or --without-model/);
  const expected = await folder.sidenet([
    ...["predict", "runs/tiny", ...Object.keys(VIDEOS), "--window", "1", "--json"],
  ]);
  const predicted = expected.stdout.trim().split("\n").map((line): Prediction => JSON.parse(line));

  const browser = await startBrowser({
    more: ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"],
  });
  try {
    const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
    const requests: string[] = [], complaints: string[] = [];
    page.on("request", (request) => requests.push(request.url()));
    page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
    page.on("pageerror", (error) => complaints.push(error.message));
    await page.goto(`file://${folder.file("tiny.html")}`);

    await t.step("every kernel of every system compiles in the browser, for GPUs and for CPUs", async () => {
      for (const [name, environment] of Object.entries(ADAPTERS)) {
        const kernels = (await Promise.all(SYSTEM_CASES.map((one) => kernelsOfCase(one, environment))))
          .flat();
        assert.ok(kernels.length > 100, `${kernels.length} kernels for ${name}`);
        assert.deepEqual(await complaintsAbout(page, kernels), [], name);
      }
      const broken = [{ label: "broken", code: "fn main() { return 1; }" }];
      assert.equal(
        (await complaintsAbout(page, broken)).length,
        1,
        "the compiler complains of what is wrong",
      );
    });

    await t.step("the model inside is loaded without being asked for, and told", async () => {
      await page.locator("#camera:enabled").waitFor({ timeout: 120_000 });
      const model = await page.textContent("#model");
      for (
        const word of [
          "Side4Video",
          "moves left, moves right",
          "a ViT of 1 block",
          "4 frames",
          "of 16×16 pixels",
          "GPU memory",
        ]
      ) {
        assert.ok(model!.includes(word), `"${word}" in ${model}`);
      }
    });

    await t.step("several videos, compared with predict through the JSON that can be saved", async () => {
      await page.setInputFiles("#files", Object.keys(VIDEOS).map((name) => folder.file(name)));
      for (const [i, name] of Object.keys(VIDEOS).entries()) {
        const article = page.locator("article.input").nth(i);
        const save = article.getByRole("button", { name: "JSON" });
        await save.waitFor({ timeout: 60_000 });
        const [download] = await Promise.all([page.waitForEvent("download"), save.click()]);
        assert.equal(download.suggestedFilename(), name.replace(/\..*/, ".json"));
        const found: Prediction = JSON.parse(await Deno.readTextFile(await download.path()));
        assertSame(found, { ...predicted[i], path: name });
        assert.equal(await article.locator(".thumbs img").count(), 12);
      }
    });

    await t.step("arrow keys walk along the windows, Escape goes back to the whole clip", async () => {
      const article = page.locator("article.input").first(), slider = article.getByRole("slider");
      const readout = article.locator(".readout");
      await slider.focus();
      assert.equal(await readout.textContent(), "Whole clip");
      for (const [key, text] of [["ArrowRight", "00:00.0–00:01.0"], ["ArrowRight", "00:00.5–00:01.5"]]) {
        await page.keyboard.press(key);
        assert.equal(await readout.textContent(), text);
      }
      await page.keyboard.press("End");
      assert.equal(await slider.getAttribute("aria-valuenow"), "4");
      const { timeline } = predicted[0] as Extract<Prediction, { timeline: unknown }>;
      assert.ok((await slider.getAttribute("aria-valuetext"))!.endsWith(timeline.at(-1)!.top[0].label));
      await page.keyboard.press("Escape");
      assert.equal(await readout.textContent(), "Whole clip");
    });

    await t.step("a camera is classified while it runs, and stops", async () => {
      await page.click("#camera");
      const shares = page.locator("#live .shares li");
      await shares.first().waitFor({ timeout: 20_000 });
      assert.equal(await shares.count(), 2);
      assert.match((await page.textContent("#live .about"))!, /answers a second/);
      await page.getByRole("button", { name: "Stop" }).click();
      assert.equal(await page.textContent("#live"), "");
    });

    await t.step(
      "the same video takes its own place, a window too short is told once, and a video can go",
      async () => {
        const names = Object.keys(VIDEOS), articles = page.locator("article.input");
        await page.setInputFiles("#files", folder.file(names[0]));
        await articles.first().getByRole("button", { name: "JSON" }).waitFor({ timeout: 60_000 });
        assert.equal(await articles.count(), names.length);
        await page.fill("#window", "0.05");
        await page.getByRole("button", { name: "Predict again" }).click();
        await articles.last().locator(".body", { hasText: "window too short" }).waitFor();
        assert.match((await page.textContent("#choice"))!, /^Window: at least 0\.25 s, [^-]*$/);
        await page.getByRole("button", { name: `Remove ${names[1]}` }).focus();
        await page.keyboard.press("Enter");
        assert.equal(await articles.count(), names.length - 1);
        assert.equal(await page.evaluate("document.activeElement.ariaLabel"), `Remove ${names[0]}`);
      },
    );

    await t.step("the whole clip at once, and what cannot be used is told in words", async () => {
      await page.fill("#window", "");
      await page.getByRole("button", { name: "Predict again" }).click();
      await page.locator(".about", { hasText: "whole clip at once" }).first().waitFor({ timeout: 60_000 });
      await folder.write("wrong.safetensors", "no weights");
      await folder.write("wrong.mp4", "no video");
      await page.setInputFiles("#files", [folder.file("wrong.safetensors"), folder.file("wrong.mp4")]);
      await page.locator("#error", { hasText: 'Cannot read "wrong.safetensors"' }).waitFor({
        timeout: 20_000,
      });
      await page.locator("#error", { hasText: 'Cannot use "wrong.mp4": it must be a video' }).waitFor();
    });

    await t.step("phones and wide screens, light and dark", async () => {
      const grounds = new Set<string>();
      for (const [width, colorScheme] of [[1440, "light"], [390, "light"], [390, "dark"]] as const) {
        await page.setViewportSize({ width, height: 900 });
        await page.emulateMedia({ colorScheme });
        const [wide, ground] = await page.evaluate<[number, string]>(
          "[document.documentElement.scrollWidth, getComputedStyle(document.body).backgroundColor]",
        );
        assert.ok(wide <= width, `${wide} pixels of ${width}`);
        grounds.add(ground);
      }
      assert.equal(grounds.size, 2, "two backgrounds");
    });

    await t.step("nothing was sent for, and nothing went wrong unseen", () => {
      assert.deepEqual(requests.filter((url) => !/^(file|blob):/.test(url)), []);
      assert.deepEqual(complaints, []);
    });
  } finally {
    await browser.close();
  }
  const without = await startBrowser({ webGpu: false });
  try {
    const page = await without.newPage();
    await page.goto(`file://${folder.file("tiny.html")}`);
    await page.locator("#trouble", { hasText: "this browser offers no GPU to pages" }).waitFor({
      timeout: 20_000,
    });
    await page.locator("#model .tile").first().waitFor();
    await page.setInputFiles("#files", folder.file("told.mp4"));
    await page.locator("article .error", { hasText: "no GPU, see above" }).waitFor();
    assert.match((await page.textContent("#trouble"))!, /offers no GPU/);
  } finally {
    await without.close();
  }
});

Deno.test({
  name: "the page without a model asks for what a model needs, and refuses the rest at once",
  ignore: !hasBrowser,
  ...sanitize,
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
      await sees(page, "#trouble", "this browser offers no GPU to pages");
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
      await sees(page, "#trouble", "this browser offers no GPU to pages");
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
        "state.safetensors": "what a run goes on from",
      };
      for (const [name, text] of Object.entries(wrong)) await Deno.writeTextFile(file(name), text);
      await page.setInputFiles("#files", [...Object.keys(wrong), "new.safetensors"].map(file));
      await sees(page, ".wanted", "clip.safetensors");
      const lines = await page.locator("#error span").allTextContents();
      const expected = [
        /^Cannot use "notes.txt": it must be a video \(MP4, MOV, WebM or MKV\) or a model/,
        /^Cannot use "empty.mp4": it is empty/,
        /^Cannot use "it's.avi": .* is an AVI file; ffmpeg -i 'it'\\''s.avi' out.mp4 makes/,
        /^Cannot use "state.safetensors": this is the state to go on training from; drop best.safetensors/,
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

/** Equal in everything but the last digits of probabilities, and the order that follows from those. */
function assertSame(found: Prediction, expected: Prediction): void {
  const shares = (top: Prediction["top"]) => [...top].sort((a, b) => a.index - b.index);
  const near = (one: Prediction["top"], other: Prediction["top"], where: string) => {
    const [a, b] = [shares(one), shares(other)];
    assert.deepEqual(a.map(({ label }) => label), b.map(({ label }) => label), where);
    a.forEach(({ p, label }, i) =>
      assert.ok(Math.abs(p - b[i].p) < TOLERANCE, `${where}, ${label}: ${p}, ${b[i].p}`)
    );
  };
  const { top, ...rest } = found, { top: expectedTop, ...expectedRest } = expected;
  near(top, expectedTop, "whole clip");
  const windows = (one: object) =>
    (one as { timeline: { from: number; to: number; top: Prediction["top"] }[] }).timeline;
  assert.deepEqual({ ...rest, timeline: 0 }, { ...expectedRest, timeline: 0 });
  assert.equal(windows(found).length, windows(expected).length);
  windows(found).forEach(({ from, to, top }, i) => {
    const other = windows(expected)[i];
    assert.deepEqual([from, to], [other.from, other.to]);
    near(top, other.top, `window ${i}`);
  });
}
