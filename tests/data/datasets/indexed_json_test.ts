/** DiST's annotation files: clips with label indices, class names with quotes, and lists of video paths. */
import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseIndexedClips, parseIndexedLabels } from "../../../data/datasets/indexed_json.ts";
import { parseClipList } from "../../../data/datasets/list.ts";
import { readAnyList, readClipList } from "../../../data/datasets/read.ts";
import { parseSsv2Split } from "../../../data/datasets/ssv2_json.ts";
import { readSplit } from "../../../train/feed/lists.ts";
import { withFoundModality } from "../../../train/feed/modality.ts";
import { parseConfig } from "../../../train/recipe/config.ts";
import { inTempFolder } from "../../_util/frame_folders.ts";

const file = "x.json";

Deno.test("clips with label indices are videos named by their ids", () => {
  const text = JSON.stringify([
    { id: "74225", label: "spinning cube", label_idx: 143, template: "Spinning [something]" },
    { id: "116154", label_idx: 0 },
    { id: "a/1.mp4", label_idx: 0 },
    { id: "a/2.WebM", label_idx: 1 },
    { id: "dr. who", label_idx: 2 },
  ]);
  assert.deepEqual(parseIndexedClips(text, { file, classes: 174 }), [
    { path: "74225.mp4", label: 143, frames: null, line: 1 },
    { path: "116154.mp4", label: 0, frames: null, line: 2 },
    { path: "a/1.mp4", label: 0, frames: null, line: 3 },
    { path: "a/2.WebM", label: 1, frames: null, line: 4 },
    { path: "dr. who.mp4", label: 2, frames: null, line: 5 },
  ]);
});

Deno.test("class names lose their quotes and blanks; indices may be text or numbers", () => {
  assert.deepEqual(
    parseIndexedLabels(JSON.stringify({ '"air drumming"': 1, abseiling: 0, ' "zumba" ': "2" }), file),
    ["abseiling", "air drumming", "zumba"],
  );
});

Deno.test("Kinetics lists, one path and label a line, are read as lists of videos", () => {
  const { clips } = parseClipList("abseiling/a_000_010.mp4 0\nzumba/b_001_011.mp4 399\n", {
    file: "kinetics400_train_list.txt",
    classes: 400,
    modality: "video",
  });
  assert.deepEqual(clips.map(({ path, label, frames }) => [path, label, frames]), [
    ["abseiling/a_000_010.mp4", 0, null],
    ["zumba/b_001_011.mp4", 399, null],
  ]);
});

Deno.test("a JSON list is read where a list is due, absolute paths among it", async () => {
  await inTempFolder(async (root) => {
    const list = join(root, "list.json");
    await writeFile(list, `[{"id": 7, "label_idx": 1}, {"id": "/data/a b", "label_idx": 0}]`);
    const { clips } = await readClipList(list, { classes: 2 });
    assert.deepEqual(clips.map(({ path, label }) => [path, label]), [["7.mp4", 1], ["/data/a b.mp4", 0]]);
    await writeFile(list, "[a] 8 0\n");
    assert.equal((await readClipList(list)).clips[0].path, "[a]");
  });
});

Deno.test("ids of a JSON list stand for what is on the disk: the video, a folder of frames, another ending", async () => {
  await inTempFolder(async (root) => {
    const list = join(root, "list.json"), clips = join(root, "clips");
    for (const folder of ["2", "sub/5", "6"]) await mkdir(join(clips, folder), { recursive: true });
    for (const name of ["1.mp4", "3.webm", "3.txt", "sub/4.webm", "6.mp4", "8.json"]) {
      await writeFile(join(clips, name), "x");
    }
    const ids = ["1", "2", "3", "sub/4", "sub/5", "6", "7", "8", "away/9", join(clips, "3"), "2.mp4"];
    await writeFile(list, JSON.stringify(ids.map((id) => ({ id, label_idx: 0 }))));
    const expected = ["1.mp4", "2", "3.webm", "sub/4.webm", "sub/5", "6.mp4", "7.mp4", "8.mp4", "away/9.mp4"]
      .concat(join(clips, "3.webm"), "2");
    const read = await readClipList(list, { root: clips });
    assert.deepEqual(read.clips.map(({ path }) => path), expected);
    assert.deepEqual((await readAnyList(list, clips)).clips, read.clips);
    // The same for those who train on it.
    const { config } = parseConfig("system: side4video\ndata: { num_classes: 2 }", {
      source: "x.yaml",
      overrides: [`data.root=${clips}`, `data.train_list=${list}`, "data.modality=video"],
    });
    assert.deepEqual((await readSplit(config, "train")).map(({ path }) => path), expected);
    assert.equal((await withFoundModality(config, { splits: ["train"] })).data.modality, "either");
  });
});

Deno.test("DiST's split files can be prepared, by templates or by numbers of labels alone", () => {
  const classes = ["Spinning something", "Holding something"],
    names = { file: "x-train.json", split: "train" } as const;
  const clips = [
    { id: "1", template: "Holding [something]", label_idx: 0 },
    { id: "2", label_idx: 1 },
  ];
  const entries = parseSsv2Split(JSON.stringify(clips), { ...names, classes });
  assert.deepEqual(entries.map(({ paths, label }) => [paths[0], label]), [["1", 1], ["2", 1]]);
  for (const label_idx of [2, -1, 0.5, "length", null]) {
    assert.throws(
      () => parseSsv2Split(JSON.stringify([{ id: "3", label_idx }]), { ...names, classes }),
      /the template of clip "3" must be one of the 2 labels, current value is null$/,
    );
  }
});

const bad: [situation: string, text: string, message: RegExp][] = [
  ["no JSON", "a 1\n", /^DataError: Cannot read "x\.json": it must be JSON, /],
  [
    "an object",
    "{}",
    /^DataError: Cannot read "x\.json": it must be a list of clips, current value is a JSON object$/,
  ],
  ["no clip", "[]", /it must be a list of clips, current value is an empty one$/],
  ["a clip that is nothing", "[null]", /clip 1 must have an id, current value is null$/],
  [
    "an id with a line break",
    '[{"id":"a\\nb","label_idx":1}]',
    /clip 1 must have an id, current value is "a\\nb"$/,
  ],
  ["no label", '[{"id":"7"}]', /label_idx of clip "7" must be an integer in 0 … 3, current value is null$/],
  [
    "a label that is text",
    '[{"id":"7","label_idx":"2"}]',
    /must be an integer in 0 … 3, current value is "2"$/,
  ],
  ["a label beyond the classes", '[{"id":"7","label_idx":4}]', /in 0 … 3, current value is 4$/],
  ["a negative label", '[{"id":"7","label_idx":-1}]', /in 0 … 3, current value is -1$/],
];

for (const [situation, text, message] of bad) {
  Deno.test(`a list with ${situation} is refused in one line`, () => {
    assert.throws(() => parseIndexedClips(text, { file, classes: 4 }), message);
  });
}
