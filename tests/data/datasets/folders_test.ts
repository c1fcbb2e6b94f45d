import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFile, cp, mkdir, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { countUnusable, findClips } from "../../../data/datasets/entries.ts";
import { readClassFolders, remarkOnSplits, stratifiedSplit } from "../../../data/datasets/folders.ts";
import { DataError } from "../../../lib/errors.ts";
import { inTempFolder, writeFrames } from "../../_util/frame_folders.ts";
import { hasFfmpeg } from "../../_util/video_files.ts";

const REPORT = fileURLToPath(new URL("../../fixtures/reports/video_extensions/cls/", import.meta.url));

Deno.test("the split takes the nearest whole number of a class, at least one and never all", () => {
  const size = (count: number, share: number) => stratifiedSplit(count, share, [1]).size;
  assert.deepEqual([20, 24, 26, 2, 3, 1].map((count) => size(count, 0.1)), [2, 2, 3, 1, 1, 0]);
  assert.deepEqual([size(4, 0.95), size(4, 1), size(1, 1), size(4, 0), size(0, 0.5)], [3, 4, 1, 0, 0]);
});

Deno.test("the split depends on the seed alone, and every clip can be chosen", () => {
  const pick = (...seeds: number[]) => [...stratifiedSplit(10, 0.3, seeds)].sort();
  assert.deepEqual(pick(5, 0), pick(5, 0));
  assert.notDeepEqual(pick(5, 0), pick(6, 0));
  const chosen = new Set(Array.from({ length: 40 }, (_, seed) => pick(seed, 0)).flat());
  assert.equal(chosen.size, 10);
  for (const index of chosen) assert.ok(index >= 0 && index < 10);
});

const OPTIONS = { valShare: 0.5, seed: 3, template: null };

Deno.test("classes are the folders in code-point order, clips are folders of frames and videos", async () => {
  await inTempFolder(async (root) => {
    for (const clip of ["b/2", "b/1", "B/1", "B/2", "é/1", ".hidden/1"]) {
      await writeFrames(join(root, clip), { frames: 1, shade: 1, template: "img_{:05d}.jpg" });
    }
    await mkdir(join(root, "bare"));
    await mkdir(join(root, "broken", "none"), { recursive: true });
    await symlink(join(root, "b/1"), join(root, "B/linked"));
    await symlink(join(root, "é"), join(root, "z linked class"));
    await symlink(join(root, "B/loop"), join(root, "B/loop"));
    for (const file of ["README", "b/my clip.mp4", "b/notes.txt", "b/.hidden.mp4", "b/1.avi"]) {
      await writeFile(join(root, file), "x");
    }
    await writeFile(join(root, "b/zero.mp4"), "");
    const found = await readClassFolders(root, OPTIONS);
    assert.deepEqual(found.classes, ["B", "b", "z linked class", "é"]);
    assert.deepEqual(found.emptyClasses, ["bare", "broken"]);
    assert.equal(found.template, "img_{:05d}.jpg");
    assert.deepEqual(found.clips.map(({ path, label, kind }) => [path, label, kind]), [
      ["B/1", 0, "frames"],
      ["B/2", 0, "frames"],
      ["B/linked", 0, "frames"],
      ["b/1", 1, "frames"],
      ["b/2", 1, "frames"],
      ["b/my clip.mp4", 1, "video"],
      ["z linked class/1", 2, "frames"],
      ["é/1", 3, "frames"],
    ]);
    const inVal = (label: number) =>
      found.clips.filter((one) => one.label === label && one.split === "val").length;
    assert.deepEqual([inVal(0), inVal(1), inVal(2), inVal(3)], [2, 2, 0, 0]);
    assert.deepEqual(found.unusable.map(({ path, reason }) => `${path}: ${reason}`), [
      "B/loop: its symbolic links lead back to themselves",
      "b/notes.txt: it is neither a folder of frames nor a video file, but text",
      "bare: the class has no folder of frames and no video file",
      "b/zero.mp4: the file is empty",
      "broken/none: its folder is empty",
      'b/1.avi: its frames are taken from the folder "b/1"',
    ]);
  });
});

Deno.test("folders named after the splits give them, and the test clips stand in for validation", async () => {
  await inTempFolder(async (root) => {
    for (const path of ["Train/a/1", "Train/b/1", "Train/b/2", "test/b/1", "test/c/1", "annotations/x"]) {
      await writeFrames(join(root, path), { frames: 1, shade: 1 });
    }
    const read = async () => {
      const { classes, clips, hasSplits, unusable } = await readClassFolders(root, OPTIONS);
      assert.equal(hasSplits, true);
      assert.deepEqual(classes, ["a", "b", "c"]);
      assert.deepEqual(unusable.map(({ path }) => path), ["annotations"]);
      return clips.map(({ split, path, label }) => `${split} ${path} ${label}`);
    };
    const train = ["train Train/a/1 0", "train Train/b/1 1", "train Train/b/2 1"];
    assert.deepEqual(await read(), [...train, "val test/b/1 1", "val test/c/1 2"]);
    await writeFrames(join(root, "validation/a/9"), { frames: 1, shade: 1 });
    assert.deepEqual(await read(), [...train, "test test/b/1 1", "test test/c/1 2", "val validation/a/9 0"]);
  });
});

Deno.test({
  name: "names that are not UTF-8 are named as such",
  ignore: Deno.build.os !== "linux",
  fn: () =>
    inTempFolder(async (root) => {
      execFileSync("sh", ["-c", "mkdir a $(printf 'b\\351') && echo x > $(printf 'a/\\351.mp4')"], {
        cwd: root,
      });
      await writeFile(join(root, "a", "1.mp4"), "x");
      const { unusable, clips } = await readClassFolders(root, OPTIONS);
      assert.deepEqual(clips.map(({ path }) => path), ["a/1.mp4"]);
      assert.deepEqual(unusable.map(({ path, reason }) => `${path}: ${reason}`), [
        "b\uFFFD: its name is not UTF-8",
        "a/\uFFFD.mp4: its name is not UTF-8",
      ]);
    }),
});

Deno.test("classes that are called train and test stay classes", async () => {
  await inTempFolder(async (root) => {
    for (const path of ["train/1.mp4", "test/1.mp4"]) {
      await mkdir(join(root, path, ".."), { recursive: true });
      await writeFile(join(root, path), "x");
    }
    const folder = await readClassFolders(root, OPTIONS);
    assert.deepEqual([folder.classes, folder.hasSplits], [["test", "train"], false]);
    assert.match(remarkOnSplits(folder)!, /^"test", "train" are taken for classes: /);
    assert.equal(remarkOnSplits({ classes: ["bus", "train"], hasSplits: false }), null);
  });
});

Deno.test("pictures where clips are due are named once for their class", async () => {
  await inTempFolder(async (root) => {
    await writeFrames(join(root, "clip"), { frames: 5, shade: 1 });
    const { classes, unusable } = await readClassFolders(root, OPTIONS);
    assert.deepEqual(classes, []);
    assert.deepEqual(unusable.map(({ path, reason }) => `${path}: ${reason}`), [
      "clip/00001.jpg: it and 4 other files of its class are pictures, neither folders of frames nor video files",
      "clip: the class has no folder of frames and no video file",
    ]);
  });
});

Deno.test({
  name: "videos are told by what they hold, and whatever is left out is counted and named",
  ignore: !hasFfmpeg,
  fn: () =>
    inTempFolder(async (root) => {
      await cp(REPORT, root, { recursive: true });
      await copyFile(join(root, "a/1.ts"), join(root, "b/nameless"));
      await copyFile(join(root, "a/1.ts"), join(root, "stray.ts"));
      await writeFile(join(root, "README"), "no clip");
      await writeFile(join(root, "a/code.ts"), "export {};\n");
      for (const name of ["a/1.mp3", "a/1.zip"]) await writeFile(join(root, name), "PK\x03\x04");
      for (let i = 0; i < 5; i++) await writeFile(join(root, `b/${i}.jpg`), "");
      const { clips, unusable } = await readClassFolders(root, OPTIONS);
      assert.deepEqual(
        clips.map(({ path, kind }) => `${kind} ${path}`),
        ["a/1.ts", "a/2.ts", "a/3.avi", "a/4.avi", "b/1.3gp", "b/2.ogv", "b/3.webm", "b/4.webm", "b/nameless"]
          .map((path) => `video ${path}`),
      );
      const none = "it is neither a folder of frames nor a video file";
      assert.deepEqual(unusable.map(({ path, reason }) => `${path}: ${reason}`), [
        "stray.ts: it lies beside the folders of the classes, and its class is not known",
        `a/1.mp3: ${none}, but sound`,
        `a/1.zip: ${none}, but an archive`,
        `a/code.ts: ${none}, but text`,
        "b/0.jpg: it and 4 other files of its class are pictures, neither folders of frames nor video files",
      ]);
      assert.equal(countUnusable(unusable), 9);
      // The same from a list that leaves the endings out.
      const listed = await findClips({
        classes: [],
        entries: ["a/1", "a/code", "b/2"].map((path) => ({
          split: "train" as const,
          label: 0,
          paths: [path],
        })),
        unusable: [],
      }, { root, template: "{:05d}.jpg" });
      assert.deepEqual(listed.clips.map(({ path }) => path), ["a/1.ts", "b/2.ogv"]);
      assert.deepEqual(listed.unusable.map(({ reason }) => reason), ["it does not exist"]);
    }),
});

Deno.test("a flat folder of videos is answered with how to make classes", async () => {
  await inTempFolder(async (root) => {
    for (const name of ["b.mp4", "a.webm", "c.avi", "labels.csv"]) await writeFile(join(root, name), "x");
    await assert.rejects(readClassFolders(root, OPTIONS), (error) => {
      assert.ok(error instanceof DataError);
      assert.equal(
        error.message,
        `Cannot read "${root}": it must hold a folder for each class, current count is 0 beside 3 videos: ` +
          `make a folder for each class and move its videos there, such as "${
            join(root, "CLASS", "a.webm")
          }"`,
      );
      return true;
    });
  });
});

Deno.test("a flat folder with folders of other things, and one of frames, are answered alike", async () => {
  await inTempFolder(async (root) => {
    for (
      const file of ["flat/a.webm", "flat/b.mp4", "flat/thumbs/a.JPG", "frames/00001.jpg", "frames/00002.jpg"]
    ) {
      await mkdir(dirname(join(root, file)), { recursive: true });
      await writeFile(join(root, file), "x");
    }
    const answers: [folder: string, answer: string][] = [
      ["flat", "2 videos: make a folder for each class and move its videos there, such as CLASS/a.webm"],
      [
        "frames",
        "2 pictures: make a folder for each class and in it one for the frames of each clip, such as CLASS/CLIP/00001.jpg",
      ],
    ];
    for (const [folder, answer] of answers) {
      const [what, example] = answer.split("such as "), whole = join(root, folder);
      await assert.rejects(readClassFolders(whole, OPTIONS), {
        message: `Cannot read "${whole}": it must hold a folder for each class, current count is 0 beside ` +
          `${what}such as "${join(whole, example)}"`,
      });
    }
  });
});

Deno.test("a video one folder too deep is told as a video", async () => {
  await inTempFolder(async (root) => {
    await mkdir(join(root, "class", "group"), { recursive: true });
    await writeFile(join(root, "class", "group", "v.mp4"), "x");
    const { clips, unusable } = await readClassFolders(root, OPTIONS);
    assert.deepEqual([clips, unusable.map(({ reason }) => reason)], [[], [
      'none of its 1 files is named like "{:05d}.jpg", "v.mp4" is a video: a clip is the video itself, not its folder',
    ]]);
  });
});

Deno.test("a folder that is not there or holds no folder is refused", async () => {
  await inTempFolder(async (root) => {
    await assert.rejects(
      readClassFolders(root, OPTIONS),
      (error) => error instanceof DataError && /must hold a folder for each class/.test(error.message),
    );
    await assert.rejects(
      readClassFolders(join(root, "no"), OPTIONS),
      (error) => error instanceof DataError && /it does not exist$/.test(error.message),
    );
  });
});
