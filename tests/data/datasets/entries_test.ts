import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  countEntries,
  detectTemplate,
  formatClipList,
  formatLabels,
  mapConcurrently,
  sortNames,
} from "../../../data/datasets/entries.ts";
import { parseClipList, parseLabels } from "../../../data/datasets/list.ts";
import { inTempFolder, writeFrames } from "../../_util/frame_folders.ts";

Deno.test("frames are counted in the first folder that exists, and each unusable clip has its reason", async () => {
  await inTempFolder(async (root) => {
    await writeFrames(join(root, "good"), { frames: 3, shade: 1 });
    await writeFile(join(root, "good", "thumb.png"), "");
    await mkdir(join(root, "empty"));
    await mkdir(join(root, "foreign"));
    await writeFile(join(root, "foreign", "1.jpg"), "");
    await writeFile(join(root, "file"), "");
    await writeFrames(join(root, "two words"), { frames: 1, shade: 2 });
    const entry = (label: number, ...folders: string[]) => ({ split: "train" as const, label, folders });
    const dataset = {
      classes: ["a"],
      entries: [
        entry(1, "empty"),
        entry(0, "absent", "good"),
        entry(0, "absent", "gone"),
        entry(0, "foreign"),
        entry(0, "file"),
        entry(0, "two words"),
      ],
      unusable: [{ split: null, path: "x", reason: "earlier" }],
    };
    const { clips, unusable } = await countEntries(dataset, { root, template: "{:05d}.jpg" });
    assert.deepEqual(clips, [{ split: "train", label: 0, path: "good", frames: 3 }]);
    assert.deepEqual(unusable.map(({ path, reason }) => `${path}: ${reason}`), [
      "x: earlier",
      "empty: its folder is empty",
      "absent: its folder does not exist",
      'foreign: none of its 1 files is named like "{:05d}.jpg"',
      "file: a part of the path is not a folder",
      "two words: its path holds a space, which a list cannot hold: rename the folder",
    ]);
  });
});

for (const template of ["{:05d}.jpg", "{:06d}.jpg", "img_{:05d}.jpg"]) {
  Deno.test(`frames named ${template} are recognised, past folders without any`, async () => {
    await inTempFolder(async (root) => {
      await mkdir(join(root, "empty"));
      await writeFrames(join(root, "clip"), { frames: 1, shade: 1, template });
      assert.equal(await detectTemplate(root, ["absent", "empty", "clip"]), template);
      assert.equal(await detectTemplate(root, ["absent", "empty"]), null);
    });
  });
}

Deno.test("written lists and label files are read back as they were", () => {
  const clips = [{ path: "a/1", frames: 12, label: 3 }, { path: "b", frames: 1, label: 0 }];
  const again = parseClipList(formatClipList(clips), { file: "t" }).clips;
  assert.deepEqual(again.map(({ path, frames, label }) => ({ path, frames, label })), clips);
  const names = ["plain", "with, comma", '"quoted" start', 'end "quoted"', '"', " spaces ", "7"];
  assert.deepEqual(parseLabels(formatLabels(names), { file: "l" }), names);
});

Deno.test("names are in code-point order, beyond the sixteen-bit range too", () => {
  assert.deepEqual(sortNames(["b", "a1", "\u{1F600}", "B", "a", "\uFF5E"]), [
    "B",
    "a",
    "a1",
    "b",
    "\uFF5E",
    "\u{1F600}",
  ]);
});

Deno.test("mapConcurrently() keeps the order, bounds the work under way and stops when told", async () => {
  let running = 0, most = 0;
  const done: number[] = [];
  const work = async (item: number) => {
    most = Math.max(most, ++running);
    await new Promise((resolve) => setTimeout(resolve, item));
    running--;
    return item * 2;
  };
  const items = [5, 1, 3, 0, 2];
  assert.deepEqual(await mapConcurrently(items, work, { atOnce: 2, onProgress: (n) => done.push(n) }), [
    10,
    2,
    6,
    0,
    4,
  ]);
  assert.equal(most, 2);
  assert.deepEqual(done, [1, 2, 3, 4, 5]);
  assert.deepEqual(await mapConcurrently([], work, { atOnce: 2 }), []);
  await assert.rejects(
    mapConcurrently(items, work, { atOnce: 2, signal: AbortSignal.abort(new Error("stop")) }),
    /^Error: stop$/,
  );
});
