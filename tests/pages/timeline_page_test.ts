import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { createClipSource } from "../../data/open_clip_source.ts";
import { clockDigits, formatClock, windowsOf } from "../../train/evaluation/timeline.ts";
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
    const page = new PredictionPage(file, { model: "runs/<x>", labels: LABELS, top: 3 });
    page.add(entry("a&b.mp4", 60, ["frame 4: broken"]));
    page.add({ ...entry("short.mp4", 1), thumbnails: [] });
    const whole = entry("whole", 1);
    page.add({ ...whole, outcome: { ...whole.outcome, windows: null }, length: null, seconds: null });
    page.fail("<b>lost</b>.mp4", "it does not exist");
    await assert.rejects(Deno.stat(file), Deno.errors.NotFound); // whole or not at all
    await page.close();
    const html = await Deno.readTextFile(file);
    assert.match(html, /^<!doctype html>[^]*<\/html>\n$/);
    assert.match(html, /<title>Predictions of runs\/&lt;x&gt; · sidenet<\/title>/);
    assert.equal(count(html, 'role="img"'), 6); // the ribbon and the curves of the one timeline, in three sizes
    assert.match(html, /60 windows of 1 s, one every 1 s/);
    assert.match(
      html,
      /<td class="time">00:00–00:01<\/td><td><i[^>]*><\/i>&lt;run&gt; &amp; jump<\/td><td class="tight">45\.0 %/,
    );
    assert.match(html, /frame 4: broken/);
    assert.match(html, /<a href="#input-3">whole<\/a>/);
    assert.match(html, /one prediction of the whole clip/);
    assert.equal(count(html, '<ol class="top">'), 3);
    assert.equal(count(html, "data:image/jpeg;base64,"), 2);
    assert.ok(!html.includes("<run>") && !html.includes("<b>"));
    assert.match(
      html,
      /<h2>Could not be predicted[^]*&lt;b&gt;lost&lt;\/b&gt;\.mp4<\/th><td>it does not exist</,
    );
    assert.match(html, /3 clips, 1 that could not be predicted/);
    assert.doesNotMatch(html.replace(/<(style|script)>[^]*?<\/\1>/g, ""), /.{60}(NaN|undefined).{40}/);
    assert.ok(!/(src|href)="(?!data:|#)/.test(html));
  }));

Deno.test("a timeline of many windows and a part that could not be read is drawn in a bounded number of points", () =>
  inTempFolder(async (root) => {
    const file = join(root, "page.html"), long = entry("long.mp4", 20_000);
    const windows = long.outcome.windows.map((window, i) =>
      i > 5000 && i < 9000 ? { ...window, probabilities: null } : window
    );
    const page = new PredictionPage(file, { model: "m", labels: LABELS, top: 3 });
    page.add({ ...long, outcome: { ...long.outcome, windows } });
    await page.close();
    const html = await Deno.readTextFile(file);
    assert.ok(html.length < 500_000, `${html.length}`);
    assert.match(html, /and 15,\d\d\d more segments/);
    assert.doesNotMatch(html.replace(/<script>[^]*?<\/script>/, ""), /NaN/);
  }));

Deno.test("a class has one colour on the whole page, and different classes have different ones", () =>
  inTempFolder(async (root) => {
    const file = join(root, "page.html"), labels = Array.from({ length: 40 }, (_, k) => `class ${k}`);
    const page = new PredictionPage(file, { model: "m", labels, top: 3 });
    const clip = (path: string, classes: readonly number[]) => {
      const windows = classes.map((best, i) => ({
        from: i,
        to: i + 1,
        range: { first: i + 1, count: 1 },
        probabilities: Float64Array.from(labels, (_, k) => k === best ? 0.9 : 0.001),
      }));
      const outcome = { path, probabilities: windows[0].probabilities, windows, problems: [], bad: false };
      return { outcome, seconds: classes.length, length: { window: 1, stride: 1 }, thumbnails: [] };
    };
    page.add(clip("a", [...labels.keys()]));
    page.add(clip("b", [39, 2, 17, 39, 2]));
    page.add(clip("c", [17, 17, 5]));
    await page.close();
    const html = await Deno.readTextFile(file), colours = new Map<string, Set<string>>();
    const found = [
      ...html.matchAll(/<i[^>]*--tone:(#[0-9a-f]{6})"><\/i>(class \d+)/g),
      ...html.matchAll(/fill="(#[0-9a-f]{6})"><title>[\d:.–]+ (class \d+)/g),
    ];
    for (const [, colour, name] of found) colours.set(name, (colours.get(name) ?? new Set()).add(colour));
    assert.equal(colours.size, 40);
    for (const [name, own] of colours) assert.equal(own.size, 1, `${name}: ${[...own]}`);
    assert.equal(new Set([...colours.values()].flatMap((own) => [...own])).size, 40);
  }));

Deno.test("a page of very many clips stays small, and says what was left out", () =>
  inTempFolder(async (root) => {
    const file = join(root, "page.html");
    const page = new PredictionPage(file, { model: "m", labels: LABELS, top: 3, mostBytes: 100_000 });
    for (let i = 0; i < 2500; i++) {
      page.add(entry(`clip ${i}`, 4));
      page.fail(`lost ${i}`, "gone");
    }
    assert.ok(page.isFull);
    await page.close();
    const html = await Deno.readTextFile(file);
    assert.ok(html.length < 900_000, `${html.length}`);
    const shown = count(html, "<article");
    assert.ok(shown > 1 && shown < 20, `${shown}`);
    assert.equal(count(html, 'href="#input-'), shown);
    assert.match(html, new RegExp(`The first ${shown} are shown below`));
    assert.match(html, /500 more are not listed/);
    assert.match(html, /2,500 paths, of which the first 200 are listed/);
    assert.match(html, /2,500 clips, 2,500 that could not be predicted/);
  }));

Deno.test("times are rounded to the nearest second, with tenths where segments would else begin where they end", () => {
  const span = (from: number, to: number) => ({ from, to });
  assert.equal(clockDigits(60, 1.5, [span(0, 2.25), span(2.25, 60)]), 0);
  assert.equal(formatClock(2.25), "00:02");
  assert.equal(formatClock(2.75), "00:03");
  assert.equal(clockDigits(60, 1.5, [span(0, 2.25), span(2.25, 2.45), span(2.45, 60)]), 1);
  assert.equal(clockDigits(60, 0.5), 1);
  assert.equal(clockDigits(9, 2), 1);
});

Deno.test("a page that cannot be written says why, and one that is not closed leaves no file", () =>
  inTempFolder(async (root) => {
    new PredictionPage(join(root, "page.html"), { model: "m", labels: LABELS, top: 3 }).add(entry("a", 3));
    assert.deepEqual(await Array.fromAsync(Deno.readDir(root)), []);
    await mkdir(join(root, "folder.html"));
    await Deno.writeTextFile(join(root, "file"), "");
    const options = { model: "m", labels: LABELS, top: 3 };
    const below = new PredictionPage(join(root, "file", "page.html"), options);
    await assert.rejects(below.close(), /Cannot write ".*page\.html": /);
    const taken = new PredictionPage(join(root, "folder.html"), options);
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
