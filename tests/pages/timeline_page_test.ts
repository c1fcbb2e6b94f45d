import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { createClipSource } from "../../data/open_clip_source.ts";
import { windowsOf } from "../../train/evaluation/timeline.ts";
import { PredictionPage, thumbnailsOf } from "../../pages/timeline_page.ts";
import { inTempFolder, writeFrames } from "../_util/frame_folders.ts";

const LABELS = Array.from({ length: 12 }, (_, k) => k === 3 ? "<run> & jump" : `class ${k}`);
const JPEG = Uint8Array.from([0xff, 0xd8, 0xff, 4, 5]);

/** A clip of this many windows, whose best classes are 3, 4, 5, 3, 4, 5 … */
function entry(path: string, count: number, problems: string[] = []) {
  const frames = Float64Array.from({ length: 2 * count }, (_, i) => i / 2);
  const windows = windowsOf({ frames, seconds: count }, { window: 1, stride: 1 }).map((window, i) => ({
    ...window,
    probabilities: Float64Array.from(LABELS, (_, k) => k === 3 + i % 3 ? 0.45 : 0.05),
  }));
  return {
    outcome: {
      path,
      probabilities: Float64Array.from(LABELS, (_, k) => k === 3 ? 0.45 : 0.05),
      windows,
      problems: problems.map((problem) => ({ path, problem })),
      bad: false,
    },
    seconds: count,
    length: { window: 1, stride: 1 },
    thumbnails: [{ at: 0.5, jpeg: JPEG }],
  };
}

const count = (text: string, part: string) => text.split(part).length - 1;

Deno.test("the page shows a timeline, segments, thumbnails and bars of each clip, and loads nothing", () =>
  inTempFolder(async (root) => {
    const file = join(root, "new", "page.html");
    {
      await using page = new PredictionPage(file, { model: "runs/<x>", labels: LABELS, top: 3 });
      await page.add(entry("a&b.mp4", 60, ["frame 4: broken"]));
      await page.add({ ...entry("short.mp4", 1), thumbnails: [] });
      const whole = entry("whole", 1);
      await page.add({ ...whole, outcome: { ...whole.outcome, windows: null }, length: null, seconds: null });
      await assert.rejects(Deno.stat(file), Deno.errors.NotFound); // whole or not at all
      await page.close();
    }
    const html = await Deno.readTextFile(file);
    assert.match(html, /^<!doctype html>[^]*<\/html>\n$/);
    assert.match(html, /<title>Predictions of runs\/&lt;x&gt; · sidenet<\/title>/);
    assert.equal(count(html, 'role="img"'), 2); // the ribbon and the curves of the one timeline
    assert.match(html, /60 windows of 1 s, one every 1 s/);
    assert.match(
      html,
      /<td>00:00–00:01<\/td><td class="wrap">&lt;run&gt; &amp; jump<\/td><td class="number">45\.0 %/,
    );
    assert.match(html, /frame 4: broken/);
    assert.match(html, /<a href="#input-3">whole<\/a>/);
    assert.match(html, /one prediction of the whole clip/);
    assert.equal(count(html, '<ol class="top">'), 3);
    assert.equal(count(html, "data:image/jpeg;base64,"), 2);
    assert.ok(!html.includes("<run>"));
    assert.doesNotMatch(html.replace(/<style>[^]*?<\/style>/g, ""), /.{60}(NaN|undefined).{40}/);
    assert.ok(!/(src|href)="(?!data:|#)/.test(html));
  }));

Deno.test("a timeline of many windows and a part that could not be read is drawn in a bounded number of points", () =>
  inTempFolder(async (root) => {
    const file = join(root, "page.html"), long = entry("long.mp4", 20_000);
    const windows = long.outcome.windows.map((window, i) =>
      i > 5000 && i < 9000 ? { ...window, probabilities: null } : window
    );
    await using page = new PredictionPage(file, { model: "m", labels: LABELS, top: 3 });
    await page.add({ ...long, outcome: { ...long.outcome, windows } });
    await page.close();
    const html = await Deno.readTextFile(file);
    assert.ok(html.length < 500_000, `${html.length}`);
    assert.match(html, /and 15,\d\d\d more/);
    assert.ok(!html.includes("NaN"));
  }));

Deno.test("a page that is given up leaves no file, and one that cannot be written says why", () =>
  inTempFolder(async (root) => {
    {
      await using page = new PredictionPage(join(root, "page.html"), { model: "m", labels: LABELS, top: 3 });
      await page.add(entry("a", 3));
    }
    assert.deepEqual(await Array.fromAsync(Deno.readDir(root)), []);
    await mkdir(join(root, "folder.html"));
    await Deno.writeTextFile(join(root, "file"), "");
    await using below = new PredictionPage(join(root, "file", "page.html"), {
      model: "m",
      labels: LABELS,
      top: 3,
    });
    await assert.rejects(below.add(entry("a", 3)), /Cannot write ".*page\.html": /);
    await using taken = new PredictionPage(join(root, "folder.html"), { model: "m", labels: LABELS, top: 3 });
    await taken.add(entry("a", 3));
    await assert.rejects(taken.close(), /Cannot write ".*folder\.html": it is a folder/);
  }));

Deno.test("thumbnails are spread over a clip's time, small, and none where nothing can be read", () =>
  inTempFolder(async (root) => {
    await writeFrames(join(root, "a"), { frames: 30, shade: 9, width: 400, height: 200 });
    await using source = createClipSource({
      modality: "either",
      root: "",
      template: "{:05d}.jpg",
      workers: 1,
    });
    const frames = Float64Array.from({ length: 30 }, (_, i) => i / 10);
    const thumbnails = await thumbnailsOf(source, join(root, "a"), { frames, seconds: 3 });
    assert.equal(thumbnails.length, 12);
    assert.deepEqual([thumbnails[0].at, thumbnails[11].at], [0.1, 2.8]);
    assert.ok(thumbnails.every(({ jpeg }) => jpeg[0] === 0xff && jpeg.length < 5000));
    await mkdir(join(root, "b"));
    await Deno.writeTextFile(join(root, "b", "00001.jpg"), "no picture");
    const one = { frames: Float64Array.of(0), seconds: 1 };
    assert.deepEqual(await thumbnailsOf(source, join(root, "b"), one), []);
  }));
