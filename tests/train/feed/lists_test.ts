import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { readSplit } from "../../../train/feed/lists.ts";
import { withFoundModality } from "../../../train/feed/modality.ts";
import { readTrainingSet } from "../../../train/feed/training_set.ts";
import { parseConfig } from "../../../train/recipe/config.ts";
import { inTempFolder } from "../../_util/frame_folders.ts";

/** A recipe on `list.txt` in a folder, for training and validation. */
function recipeIn(root: string, data: string) {
  const list = JSON.stringify(join(root, "list.txt"));
  return parseConfig(
    `{system: side4video, data: {num_classes: 3, train_list: ${list}, val_list: ${list}, root: ${
      JSON.stringify(root)
    }${data}}}`,
  ).config;
}

const cases: [data: string, minFrames: number][] = [
  ["", 0],
  [", dataset: demo", 0],
  [", dataset: ucf101", 0],
  [", dataset: somethingv2", 8],
  [", dataset: k400", 8],
  [", dataset: ssv2", 8],
  [", dataset: SSv1", 8],
  [", dataset: sth-v2", 8],
  [", dataset: sth_sth_v1", 8],
  [", dataset: Kinetics 700", 8],
  [", dataset: Something-Something V2", 8],
  [", dataset: k4000", 0],
  [", dataset: mykinetics", 0],
  [", dataset: gossv2", 0],
  [", dataset: kinetics-600", 8],
  [", dataset: somethingv2, min_frames: 0", 0],
  [", min_frames: 5", 5],
];

Deno.test("short clips are left out in published sets, or as a recipe says, and one line tells how many", async () => {
  await inTempFolder(async (root) => {
    const list = join(root, "list.txt");
    await writeFile(list, "a 4 0\nb 12 1\nc 7 2\nd 8 1\n");
    for (const [data, minFrames] of cases) {
      const config = recipeIn(root, data), notes: string[] = [];
      assert.equal(config.data.min_frames, minFrames, data);
      const kept = minFrames === 0 ? "abcd" : minFrames === 5 ? "bcd" : "bd", dropped = 4 - kept.length;
      const expected = dropped === 0 ? [] : [
        `${dropped} of 4 clips of "${list}" are left out: the list states fewer than ${minFrames} frames (data.min_frames)`,
      ];
      const val = await readSplit(config, "val", { note: (text) => notes.push(text) });
      assert.equal(val.map(({ path }) => path).join(""), kept, data);
      assert.deepEqual(notes, expected, data);
      const { clips, notes: ofTraining } = await readTrainingSet(config);
      assert.equal(clips.length, kept.length, data);
      assert.deepEqual(ofTraining, expected, data);
      assert.equal((await readSplit(config, "val", { keepShort: true })).length, 4);
    }
  });
});

Deno.test("lines that were split are told", async () => {
  await inTempFolder(async (root) => {
    const notes: string[] = [];
    await writeFile(join(root, "list.txt"), "a 9 0\nb 9 1c 9 2\n");
    await readSplit(recipeIn(root, ""), "train", { note: (text) => notes.push(text) });
    assert.deepEqual(notes, [
      `"${join(root, "list.txt")}": lines with two records glued together were split: 2`,
    ]);
  });
});

Deno.test("lists of videos are read as such where a recipe is for folders, in one line", async () => {
  await inTempFolder(async (root) => {
    const list = join(root, "list.txt");
    await mkdir(join(root, "folder"));
    await mkdir(join(root, "folder.mp4"));
    await writeFile(join(root, "a.mp4"), "");
    await writeFile(join(root, "b"), "");
    const found: [lines: string, modality: string, example: string | null][] = [
      ["a.mp4 0\n", "video", "a.mp4"],
      ["a.mp4 30 0\n", "video", "a.mp4"],
      [`${root}/a.mp4 30 0\n`, "video", `${root}/a.mp4`],
      ["gone.mp4 0\n", "video", "gone.mp4"],
      ["folder 9 0\na.mp4 1\n", "either", "a.mp4"],
      ["folder 9 0\n", "RGB", null],
      ["folder.mp4 9 0\n", "RGB", null],
      ["folder 9 0\nb 9 0\ngone 9 0\n", "RGB", null],
    ];
    for (const [lines, modality, example] of found) {
      await writeFile(list, lines);
      const notes: string[] = [], config = recipeIn(root, "");
      const { data } = await withFoundModality(config, {
        splits: ["train", "val"],
        note: (text) => notes.push(text),
      });
      assert.equal(data.modality, modality, lines);
      assert.deepEqual(
        notes,
        example === null ? [] : [
          `data.modality is RGB, folders of frames, and "${list}" names videos, such as "${example}": ` +
          `they are read as videos; data.modality=${modality} says so`,
        ],
      );
    }
    const mirrored: [lines: string, modality: string][] = [
      ["a.mp4 0\n", "video"],
      ["gone 0\n", "video"],
      ["folder 9 0\n", "RGB"],
      ["folder 0\nfolder.mp4 0\n", "RGB"],
      ["a.mp4 0\nfolder 9 0\n", "either"],
    ];
    for (const [lines, modality] of mirrored) {
      await writeFile(list, lines);
      const notes: string[] = [];
      const { data } = await withFoundModality(recipeIn(root, ", modality: video"), {
        splits: ["train", "val"],
        note: (text) => notes.push(text),
      });
      assert.equal(data.modality, modality, lines);
      assert.deepEqual(
        notes,
        modality === "video" ? [] : [
          `data.modality is video, video files, and "${list}" names folders of frames, such as "folder": ` +
          `they are read as frames; data.modality=${modality} says so`,
        ],
      );
    }
    await writeFile(list, "a.mp4 0\n");
    const own = recipeIn(root, ", modality: either");
    assert.equal(await withFoundModality(own, { splits: ["train"] }), own);
  });
});

Deno.test("a list in place of that of a synthetic set may name videos", async () => {
  await inTempFolder(async (root) => {
    await writeFile(join(root, "val.txt"), "folder 9 0\n");
    await mkdir(join(root, "folder"));
    await writeFile(join(root, "videos.txt"), "a.mp4 0\n");
    for (const modality of ["RGB", "video"]) {
      const text = `{system: side4video, data: {synth: {}, modality: ${modality}, root: ${
        JSON.stringify(root)
      }}}`;
      const { config } = parseConfig(text), valList = join(root, "videos.txt");
      assert.equal((await withFoundModality(config, { splits: ["val"] })).data.modality, "RGB");
      assert.equal((await withFoundModality(config, { splits: ["val"], valList })).data.modality, "video");
    }
  });
});
