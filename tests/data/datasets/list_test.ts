import assert from "node:assert/strict";
import { formatClipList, parseClipList } from "../../../data/datasets/list.ts";
import { readClipList, readLabels } from "../../../data/datasets/read.ts";
import { DataError } from "../../../lib/errors.ts";

const file = "train.txt";

Deno.test("a frame list gives path, frames, label and line; blank lines and CRLF are no matter", () => {
  const { clips, dropped, repairedLines } = parseClipList("a/1 30 0\r\n\n b/2 7 1 \n", { file, classes: 2 });
  assert.deepEqual(clips, [
    { path: "a/1", frames: 30, label: 0, line: 1 },
    { path: "b/2", frames: 7, label: 1, line: 3 },
  ]);
  assert.equal(dropped, 0);
  assert.deepEqual(repairedLines, []);
});

Deno.test("lines that state fewer than 8 frames are dropped and counted when asked for", () => {
  const { clips, dropped } = parseClipList("a 30 0\nb 7 1\nc 8 1\n", { file, dropShorterThan: 8 });
  assert.deepEqual(clips.map((clip) => clip.path), ["a", "c"]);
  assert.equal(dropped, 1);
});

Deno.test("a video list has two fields, or three with a count that the drop rule obeys", () => {
  const two = parseClipList("a.mp4 3\nb.mp4 0\n", { file, modality: "video", dropShorterThan: 8 });
  assert.deepEqual(two.clips.map(({ path, label, frames }) => [path, label, frames]), [["a.mp4", 3, null], [
    "b.mp4",
    0,
    null,
  ]]);
  const three = parseClipList("a.mp4 7 3\nb.mp4 9 0\n", { file, modality: "video", dropShorterThan: 8 });
  assert.deepEqual(three.clips.map((clip) => clip.path), ["b.mp4"]);
  assert.throws(
    () => parseClipList("a.mp4 3\nb.mp4 9 0\n", { file, modality: "video" }),
    /line 2: .* must have 2 fields/,
  );
});

Deno.test("two records on one line, as in a published list, are split and reported", () => {
  const { clips, repairedLines } = parseClipList("a/x 300 12\nb/y 250 13c/z 200 14\nd/w 100 0\n", { file });
  assert.deepEqual(clips.map(({ path, label }) => [path, label]), [["a/x", 12], ["b/y", 13], ["c/z", 14], [
    "d/w",
    0,
  ]]);
  assert.deepEqual(repairedLines, [2]);
});

Deno.test("a quoted path may hold spaces and any other character, a line without quotes is read as ever", () => {
  const text = '"my clips/a b.mp4" 120 3\n"tab\\tquote\\" \\u00fc"  9 0\n"odd 8 1\nC:\\\\x 7 2\n';
  assert.deepEqual(
    parseClipList(text, { file }).clips.map(({ path, frames, label }) => [path, frames, label]),
    [
      ["my clips/a b.mp4", 120, 3],
      ['tab\tquote" ü', 9, 0],
      ['"odd', 8, 1],
      ["C:\\\\x", 7, 2],
    ],
  );
  const glued = parseClipList('a 1 0\n"b c" 250 13d/z 200 14\n', { file });
  assert.deepEqual(glued.clips.map(({ path }) => path), ["a", "b c", "d/z"]);
});

Deno.test("lines of lists of either kind have two or three fields each", () => {
  const text = 'a 12 3\nb.mp4 0\n"c d" 2\ne.mp4 2f.mp4 1\n';
  const { clips, repairedLines } = parseClipList(text, { file, modality: "either", dropShorterThan: 8 });
  assert.deepEqual(clips.map(({ path, frames, label }) => [path, frames, label]), [
    ["a", 12, 3],
    ["b.mp4", null, 0],
    ["c d", null, 2],
    ["e.mp4", null, 2],
    ["f.mp4", null, 1],
  ]);
  assert.deepEqual(repairedLines, [4]);
  const refused = (line: string) => () => parseClipList(line, { file, modality: "either" });
  assert.throws(refused("a 3.5 1"), /frames must be an integer from 0, current value is "3\.5"$/);
  assert.throws(refused("a"), /must have 2 or 3 fields .* current count is 1$/);
  assert.throws(refused("a 3 2 1"), /must have 2 or 3 fields .* current count is 4$/);
});

Deno.test("written lists are read back as they were, whatever the paths hold", () => {
  const odd = [
    "a/1",
    "two words",
    '"',
    'quote"inside',
    "a\nb",
    "\u00a0x",
    "\ufeffx",
    "tab\t",
    "\u{1F600} é",
    "back\\slash",
  ];
  const clips = odd.map((path, i) => ({ path, frames: i % 2 ? null : 12 + i, label: i }));
  const text = formatClipList(clips);
  assert.match(text, /^a\/1 12 0\n"two words" 1\n/);
  const again = parseClipList(text, { file, modality: "either" }).clips;
  assert.deepEqual(again.map(({ path, frames, label }) => ({ path, frames, label })), clips);
});

const bad: [string, string, RegExp][] = [
  ["too few fields", "a 30 0\nb 1\n", /line 2: a line must have 3 fields .* current count is 2$/],
  ["one field", "a\n", /line 1: a line must have 2 or 3 fields .* current count is 1$/],
  ["several labels a clip", "a 30 1 2 3\n", /line 1: .* one label a clip; .* current count is 5$/],
  ["an empty path", '"" 30 0\n', /line 1: the path must not be empty$/],
  ["a quoted path that is not JSON", '"a\\x" 30 0\n', /line 1: a path in quotes must be text as in JSON/],
  [
    "a label that is no integer",
    "a 30 zero\n",
    /line 1: the label must be an integer in 0 … 3, current value is "zero"$/,
  ],
  [
    "a label outside the classes",
    "a 30 3\nb 30 4\n",
    /line 2: the label .* in 0 … 3, current value is "4"; labels must count from 0, those of the list may count from 1$/,
  ],
  ["a label far outside", "a 30 0\nb 30 4\n", /line 2: the label .* in 0 … 3, current value is "4"$/],
  ["a negative label", "a 30 -1\n", /line 1: the label .* current value is "-1"$/],
  [
    "a count that is no integer",
    "a 3.5 1\n",
    /line 1: the number of frames must be .* current value is "3.5"$/,
  ],
  [
    "a line of 100 kB",
    `a 30 0\n${"b".repeat(100_000)} 30 1\n`,
    /line 2: a line must have at most 65536 characters, current count is 100005$/,
  ],
  [
    "a path of 5 kB",
    `a 30 0\n${"b".repeat(5000)} 30 1\n`,
    /line 2: the path must have at most 4096 characters, current count is 5000$/,
  ],
  [
    "a field of 100 kB in a table",
    `path,label\na,0\n${"b".repeat(100_000)},1\n`,
    /line 3: a line must have at most 65536 characters, current count is 100000$/,
  ],
  ["an empty list", "\n\n", /must have at least one clip, current count is 0$/],
  [
    "a list of dropped clips only",
    "a 5 0\n",
    /current count is 0 \(1 of fewer than 8 frames are left out: data\.min_frames\)$/,
  ],
];

for (const [what, text, message] of bad) {
  Deno.test(`a list with ${what} is refused by file and line`, () => {
    assert.throws(() => parseClipList(text, { file, classes: 4, dropShorterThan: 8 }), (error: Error) => {
      assert(error instanceof DataError);
      assert.match(error.message, /^Cannot read "train\.txt"/);
      assert.match(error.message, message);
      return true;
    });
  });
}

Deno.test("a missing list is named", async () => {
  await assert.rejects(
    readClipList("nowhere/train.txt"),
    /^DataError: Cannot read "nowhere\/train.txt": it does not exist$/,
  );
  await assert.rejects(readLabels("nowhere/labels.csv"), /nowhere\/labels.csv": it does not exist/);
});
