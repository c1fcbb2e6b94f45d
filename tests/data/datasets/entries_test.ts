import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { detectTemplate, findClips, formatLabels, modalityOf } from "../../../data/datasets/entries.ts";
import { parseLabels } from "../../../data/datasets/labels.ts";
import { mapConcurrently, sortNames } from "../../../data/datasets/walk.ts";
import { inTempFolder, writeFrames } from "../../_util/frame_folders.ts";
import { greyOf, hasFfmpeg, writeVideo } from "../../_util/video_files.ts";

/** Entries that name these paths, one list of candidates each. */
function datasetOf(...paths: string[][]) {
  const entries = paths.map((one, label) => ({ split: "train" as const, label, paths: one }));
  return { classes: [], entries, unusable: [] };
}

Deno.test("clips are found in the first place that exists, and each unusable one has its reason", async () => {
  await inTempFolder(async (root) => {
    await writeFrames(join(root, "good"), { frames: 3, shade: 1 });
    await writeFile(join(root, "good", "thumb.png"), "");
    await mkdir(join(root, "empty"));
    await mkdir(join(root, "foreign"));
    await writeFile(join(root, "foreign", "1.jpg"), "");
    await writeFile(join(root, "file"), "x");
    await writeFrames(join(root, "two words", "ü 1"), { frames: 1, shade: 2 });
    const dataset = {
      ...datasetOf(["empty"], ["absent", "good"], ["absent", "gone"], ["foreign"], ["file"], [
        "two words/ü 1",
      ], [
        "file/below",
      ]),
      unusable: [{ split: null, path: "x", reason: "earlier" }],
    };
    const { clips, unusable } = await findClips(dataset, { root, template: "{:05d}.jpg" });
    assert.deepEqual(clips, [
      { split: "train", label: 1, path: "good", kind: "frames", frames: 3 },
      { split: "train", label: 5, path: "two words/ü 1", kind: "frames", frames: 1 },
    ]);
    assert.deepEqual(unusable.map(({ path, reason }) => `${path}: ${reason}`), [
      "x: earlier",
      "empty: its folder is empty",
      "absent: it does not exist",
      'foreign: none of its 1 files is named like "{:05d}.jpg"; its pictures are named like "{:d}.jpg" (data.image_tmpl, or --template)',
      "file: it is neither a folder of frames nor a video file, but text",
      "file/below: a part of the path is not a folder",
    ]);
  });
});

Deno.test("videos are found by their name or what stands before its extension, and looked at from outside", async () => {
  await inTempFolder(async (root) => {
    for (const name of ["a b.MP4", "k/id_1.webm", "k/id_1.mp4", "both.mp4", "v.1.mkv"]) {
      await mkdir(join(root, "k"), { recursive: true });
      await writeFile(join(root, name), "no video at all");
    }
    await writeFrames(join(root, "both"), { frames: 2, shade: 1 });
    await writeFile(join(root, "empty.mp4"), "");
    await mkdir(join(root, "folder.mp4"));
    await symlink(join(root, "a b.MP4"), join(root, "link.mp4"));
    await symlink(join(root, "nothing"), join(root, "dead.mp4"));
    const names = ["a b", "k/id_1", "both", "v.1", "link.mp4", "both.mp4", "empty", "folder.mp4", "dead.mp4"];
    const { clips, unusable } = await findClips(datasetOf(...names.map((name) => [name])), {
      root,
      template: "{:05d}.jpg",
    });
    assert.deepEqual(clips.map(({ path, kind, frames }) => [path, kind, frames]), [
      ["a b.MP4", "video", null],
      ["k/id_1.mp4", "video", null],
      ["both", "frames", 2],
      ["v.1.mkv", "video", null],
      ["link.mp4", "video", null],
      ["both.mp4", "video", null],
    ]);
    assert.deepEqual(unusable.map(({ path, reason }) => `${path}: ${reason}`), [
      "empty.mp4: the file is empty",
      "folder.mp4: its folder is empty",
      "dead.mp4: it does not exist",
    ]);
    assert.equal(modalityOf(clips), "either");
    assert.equal(modalityOf(clips.slice(0, 2)), "video");
    assert.equal(modalityOf(clips.slice(2, 3)), "RGB");
  });
});

Deno.test({
  name: "a pipe named like a video is not opened",
  ignore: Deno.build.os === "windows",
  async fn() {
    await inTempFolder(async (root) => {
      execFileSync("mkfifo", [join(root, "a.mp4")]);
      const options = { root, template: "{:05d}.jpg", countVideos: true };
      const { unusable } = await findClips(datasetOf(["a.mp4"]), options);
      assert.deepEqual(unusable.map(({ reason }) => reason), ["it is no regular file"]);
    });
  },
});

Deno.test({
  name: "the frames of videos are counted on request, and those that cannot be read are named",
  ignore: !hasFfmpeg,
  async fn() {
    await inTempFolder(async (root) => {
      await writeVideo(join(root, "a.mp4"), { frames: 9, width: 16, height: 16, pixel: greyOf });
      await writeFile(join(root, "b.mp4"), "no video");
      const options = { root, template: "{:05d}.jpg", countVideos: true };
      const { clips, unusable } = await findClips(datasetOf(["a"], ["b"]), options);
      assert.deepEqual(clips.map(({ path, frames }) => [path, frames]), [["a.mp4", 9]]);
      assert.match(unusable[0].reason, /^it cannot be read: Invalid data/);
    });
  },
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

Deno.test("a template of one's own is found out, a known one before it", async () => {
  await inTempFolder(async (root) => {
    await writeFrames(join(root, "clip"), { frames: 1, shade: 1, template: "f{:03d}.jpg" });
    await writeFrames(join(root, "known"), { frames: 1, shade: 1, template: "{:05d}.jpg" });
    assert.equal(await detectTemplate(root, ["clip"]), "f{:03d}.jpg");
    await writeFrames(join(root, "other"), { frames: 2, shade: 1, template: "g{:d}.jpg" });
    assert.equal(await detectTemplate(root, ["clip", "other"]), "g{:d}.jpg");
    assert.equal(await detectTemplate(root, ["clip", "known"]), "{:05d}.jpg");
    assert.equal(await detectTemplate(root, ["known", "clip"], ["f{:03d}.jpg"]), "f{:03d}.jpg");
  });
});

Deno.test("written label files are read back as they were", () => {
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
