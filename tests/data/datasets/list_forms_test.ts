/** Annotation lists in the forms and encodings that other projects and people's programs write. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseClipList } from "../../../data/datasets/list.ts";
import { readClipList, readLabels } from "../../../data/datasets/read.ts";
import { DataError } from "../../../lib/errors.ts";
import { inTempFolder } from "../../_util/frame_folders.ts";

type Fields = [path: string, frames: number | null, label: number];

const fieldsOf = (text: string): Fields[] =>
  parseClipList(text, { file: "list", modality: "either" }).clips.map(({ path, frames, label }) => [
    path,
    frames,
    label,
  ]);

const forms: [what: string, line: string, fields: Fields][] = [
  ["VideoMAE, two spaces", "dataset_root/video_1.mp4  7", ["dataset_root/video_1.mp4", null, 7]],
  ["VideoMAE, a comma", "dataset_root/video_1.mp4,7", ["dataset_root/video_1.mp4", null, 7]],
  ["MMAction2, videos", "some/path/000.mp4 1", ["some/path/000.mp4", null, 1]],
  ["MMAction2, frames", "some/directory-1 163 1", ["some/directory-1", 163, 1]],
  ["frames as CSV", "some/directory-1,163,1", ["some/directory-1", 163, 1]],
  ["a comma and a space", "a.mp4, 12, 3", ["a.mp4", 12, 3]],
  ["semicolons", "a.mp4;3", ["a.mp4", null, 3]],
  ["tabs", "a.mp4\t12\t3", ["a.mp4", 12, 3]],
  ["a class folder of Kinetics", "train/air drumming/x_1.mp4 9", ["train/air drumming/x_1.mp4", null, 9]],
  ["the same with a count", "air drumming/x 300 9", ["air drumming/x", 300, 9]],
  ["the same as CSV", "air drumming/x y.mp4,9", ["air drumming/x y.mp4", null, 9]],
  ["two spaces in the path", "a  b.mp4 3", ["a  b.mp4", null, 3]],
  ["a comma in the path", "a, b.mp4 3", ["a, b.mp4", null, 3]],
  ["commas in the path of a CSV", "a,b.mp4,3", ["a,b.mp4", null, 3]],
  ["a path in CSV's quotes", '"a, ""b"" 5.mp4",12,3', ['a, "b" 5.mp4', 12, 3]],
  ["a path in JSON's quotes with a comma", '"a \\"b\\" 5.mp4", 3', ['a "b" 5.mp4', null, 3]],
  ["quotes inside the path", 'a"b.mp4 3', ['a"b.mp4', null, 3]],
  ["an absolute path", "/data/my set/a.mp4 3", ["/data/my set/a.mp4", null, 3]],
  ["a path of Windows", "C:\\videos\\a b.mp4 3", ["C:\\videos\\a b.mp4", null, 3]],
  ["a path that leads up", "../../other/a.mp4 3", ["../../other/a.mp4", null, 3]],
  ["a name that is a number", "12 30 3", ["12", 30, 3]],
];

for (const [what, line, fields] of forms) {
  Deno.test(`a line is read: ${what}`, () => {
    assert.deepEqual(fieldsOf(`${line}\n`), [fields]);
  });
}

const refused: [what: string, text: string, message: RegExp][] = [
  ["several labels", "a 163 1 3 5\n", /one label a clip; .* current count is 5$/],
  ["offsets", "dir 0 163 1\n", /line 1: a line must have 2 or 3 fields .* current count is 4$/],
  [
    "detection boxes",
    "-5KQ66BBWC4,0902,0.077,0.151,0.283,0.811,80,1\n",
    /must have 2 or 3 fields .* current count is 8$/,
  ],
  ["no label", "a.mp4\nb.mp4\n", /line 1: .* current count is 1$/],
  [
    "Kinetics' own header",
    "label,youtube_id,time_start,time_end,split\nabseiling,x,1,2,train\n",
    /it is a CSV of Kinetics, which names neither; sidenet prepare makes lists of it$/,
  ],
  ["class names", "path,label\na.mp4,jump\n", /line 2: the label must be an integer .* "jump"$/],
  ["a short row", "path,label\na.mp4\n", /line 2: a row must have 2 fields, .* current count is 1$/],
  ["escape sequences", "a.mp4 \x1b[31mred\n", /current value is "\\u001b\[31mred"$/],
];

for (const [what, text, message] of refused) {
  Deno.test(`a list with ${what} is refused by its line`, () => {
    assert.throws(() => parseClipList(text, { file: "list" }), (error: Error) => {
      assert.ok(error instanceof DataError);
      assert.match(error.message, message);
      return true;
    });
  });
}

Deno.test("a table is read by the names of its columns, in any order", () => {
  const text = 'Label;num_frames;video_path;note\n3;12;"a; b.mp4";x\n0;;c.mp4;\n';
  assert.deepEqual(fieldsOf(text), [["a; b.mp4", 12, 3], ["c.mp4", null, 0]]);
  assert.deepEqual(fieldsOf("path\tlabel\r\na b.mp4\t1\r\n"), [["a b.mp4", null, 1]]);
});

const TEXT = "ü/a 8 0\nb 9 1\n";
const utf16 = (text: string, bigEndian: boolean) => {
  const view = new DataView(new ArrayBuffer(2 * text.length));
  [...text].forEach((_, i) => view.setUint16(2 * i, text.charCodeAt(i), !bigEndian));
  return new Uint8Array(view.buffer);
};
const utf8 = (text: string) => new TextEncoder().encode(text);

const encodings: [what: string, bytes: Uint8Array][] = [
  ["UTF-8", utf8(TEXT)],
  ["UTF-8 with a byte order mark", utf8(`\ufeff${TEXT}`)],
  ["UTF-16 as PowerShell writes it", utf16(`\ufeff${TEXT.replaceAll("\n", "\r\n")}`, false)],
  ["UTF-16, big-endian, with a byte order mark", utf16(`\ufeff${TEXT}`, true)],
  ["UTF-16 without a byte order mark", utf16(TEXT, false)],
  ["UTF-16, big-endian, without a byte order mark", utf16(TEXT, true)],
  ["CRLF", utf8(TEXT.replaceAll("\n", "\r\n"))],
  ["CR alone", utf8(TEXT.replaceAll("\n", "\r"))],
];

for (const [what, bytes] of encodings) {
  Deno.test(`a list and its labels are read: ${what}`, async () => {
    await inTempFolder(async (root) => {
      const list = join(root, "list.txt");
      await writeFile(list, bytes);
      const { clips } = await readClipList(list);
      assert.deepEqual(clips.map(({ path, frames, line }) => [path, frames, line]), [
        ["ü/a", 8, 1],
        ["b", 9, 2],
      ]);
    });
  });
}

Deno.test("labels in UTF-16 are read", async () => {
  await inTempFolder(async (root) => {
    await writeFile(join(root, "labels.csv"), utf16("\ufeffid,name\r\n0,größer\r\n1,b\r\n", false));
    assert.deepEqual(await readLabels(join(root, "labels.csv")), ["größer", "b"]);
  });
});

Deno.test("the reported list in UTF-16 is read", async () => {
  const list = fileURLToPath(new URL("../../fixtures/reports/utf16_list/list.txt", import.meta.url));
  const { clips } = await readClipList(list);
  assert.deepEqual(clips[0], { path: "train/00001", frames: 8, label: 0, line: 1 });
  assert.ok(clips.every(({ path, frames }) => /^train\/\d{5}$/.test(path) && frames === 8));
});

const unreadable: [what: string, bytes: Uint8Array, message: RegExp][] = [
  [
    "Latin-1",
    Uint8Array.from([...utf8("a 8 0\n"), 0xfc, ...utf8("/b 8 1\n")]),
    /line 2: it must be text in UTF-8, as Latin-1 the line would be "ü\/b 8 1"; save the file as UTF-8$/,
  ],
  [
    "a zero byte",
    utf8("a 8 0\nlong enough a path to be no UTF-16\0 8 1\n"),
    /line 2: it must be text in UTF-8, it holds a zero byte$/,
  ],
  [
    "UTF-32 with a byte order mark",
    Uint8Array.from([...`\ufeffa 8 0\n`].flatMap((c) => [c.charCodeAt(0) & 255, c.charCodeAt(0) >> 8, 0, 0])),
    /it must be text in UTF-8, it looks like UTF-32; save it as UTF-8$/,
  ],
  [
    "UTF-32, big-endian, without one",
    Uint8Array.from([..."a 8 0\n"].flatMap((c) => [0, 0, 0, c.charCodeAt(0)])),
    /it looks like UTF-32/,
  ],
  [
    "a header without a column of paths",
    utf8("video_id,start,end,label\nx,0,1,2\n"),
    /^Cannot read ".*" line 1: a header must name a column of paths \(path, video_path, .*\) and one of labels \(label, .*\), current columns are video_id, start, end, label$/,
  ],
  [
    "a header without a column of labels",
    utf8("path;start;end\nx;0;1\n"),
    /and one of labels \(label, .*\), current columns are path, start, end$/,
  ],
  [
    "UTF-16 cut in a character",
    utf16(TEXT, false).subarray(0, 13),
    /it looks like UTF-16 and is broken or cut/,
  ],
];

for (const [what, bytes, message] of unreadable) {
  Deno.test(`a list that holds ${what} is refused`, async () => {
    await inTempFolder(async (root) => {
      const list = join(root, "list.txt");
      await writeFile(list, bytes);
      await assert.rejects(readClipList(list), (error: Error) => {
        assert.ok(error instanceof DataError);
        assert.match(error.message, message);
        // deno-lint-ignore no-control-regex
        assert.doesNotMatch(error.message, /[\x00-\x1f\x7f]/);
        return true;
      });
    });
  });
}
