/** Lists of pairs in both forms: what is read, what is refused, and the clips that they make. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  formatPairs,
  groupedPairs,
  isPairsList,
  parsePairs,
  trainingPairs,
} from "../../../data/datasets/pairs.ts";
import { readAnyList, readPairs } from "../../../data/datasets/read.ts";
import { DataError } from "../../../lib/errors.ts";
import { inTempFolder } from "../../_util/frame_folders.ts";

const fieldsOf = (text: string) =>
  parsePairs(text, { file: "list" }).pairs.map(({ path, caption, line }) => [path, caption, line]);

const forms: [what: string, text: string, pairs: unknown[][]][] = [
  ["CSV", "path,caption\na.mp4,a red car\nb,two\n", [["a.mp4", "a red car", 2], ["b", "two", 3]]],
  ["other names, columns and order", "id;Sentence;Video\n7; a car ;v/a b.mp4\n", [["v/a b.mp4", "a car", 2]]],
  [
    "quotes, commas and line breaks",
    'path,caption\r\n"a, ""b"".mp4","one, ""two""\nthree"\r\nb,x\r\n',
    [['a, "b".mp4', 'one, "two"\nthree', 2], ["b", "x", 4]],
  ],
  ["tabs", "video\ttext\na.mp4\ta man, who runs\n", [["a.mp4", "a man, who runs", 2]]],
  [
    "paths in several spellings, which are one clip",
    "path,caption\nc,x\n./c,y\nc/,z\n/v//d/../c/,x\n",
    [["c", "x", 2], ["c", "y", 3], ["c", "z", 4], ["/v/c", "x", 5]],
  ],
  ["empty rows", "path,caption\n\na,x\n\n", [["a", "x", 3]]],
  ["an absolute path", "path,caption\n/v/a.mp4,x\n", [["/v/a.mp4", "x", 2]]],
  [
    "JSON lines with one caption and several",
    '\n{"path": "a", "caption": "x"}\n{"captions": ["y", " z "], "video": "b", "id": 3}\n',
    [["a", "x", 2], ["b", "y", 3], ["b", "z", 3]],
  ],
  ["a byte order mark", '\ufeff{"path": "a", "text": "ü 日本"}\r\n', [["a", "ü 日本", 1]]],
];

for (const [what, text, pairs] of forms) {
  Deno.test(`a list of pairs is read: ${what}`, () => {
    assert.deepEqual(fieldsOf(text), pairs);
    assert.ok(isPairsList(text));
  });
}

const refused: [what: string, text: string, message: RegExp][] = [
  [
    "nothing",
    "path,caption\n",
    /^Cannot read "list": a list must have at least one pair, current count is 0$/,
  ],
  [
    "a slip in the header",
    "path,captoin\na,x\n",
    /line 1: .* and one of captions \(caption, .*\), current columns are "path, captoin"; "captoin" may be meant for "caption"$/,
  ],
  [
    "no column of paths",
    "sentence,video_id\nx,7\n",
    /names a column of paths \(path, .*\) .* "sentence, video_id"/,
  ],
  [
    "a JSON list around it",
    '[{"path": "a", "caption": "x"}]',
    /must be JSON lines, one object a line, it is a JSON list; leave out its brackets/,
  ],
  [
    "keys that seem to be times",
    '{"path": "a", "caption": "x"}\n{"path": "a", "caption": "x", "start": 1, "end": 2}',
    /line 2: a clip must be a whole video, windows of time are not read, current key is "start"; cut the videos/,
  ],
  [
    "columns that seem to be times",
    "path,caption,End Time\na,x,2\n",
    /line 1: .* current column is "end time"/,
  ],
  [
    "a column twice",
    "path,caption,caption\na,x,y\n",
    /line 1: one column of captions must be there, current columns are "caption, caption"/,
  ],
  ["paths twice", "path,path,caption\na,b,x\n", /line 1: one column of paths .* "path, path"/],
  [
    "two names for captions",
    '{"path": "a", "caption": "x", "sentence": "y"}',
    /line 1: one key of captions must be there, current keys are "caption, sentence"/,
  ],
  ["no header", "a.mp4 a red car\n", /line 1: a list of pairs must be JSON lines, or CSV whose header names/],
  [
    "a comma in a caption",
    "path,caption\na.mp4,a man, who runs\n",
    /line 2: a row must have 2 fields, .* current count is 3; put a caption that holds "," in double quotes$/,
  ],
  ["a short row", "path,caption\na.mp4\n", /line 2: a row must have 2 fields, .* current count is 1$/],
  [
    "an empty caption",
    "path,caption\na.mp4,x\nb.mp4, \n",
    /line 3: the caption of "b\.mp4" must not be empty$/,
  ],
  ["an empty path", "path,caption\n ,x\n", /line 2: the path must not be empty$/],
  ["an open quote", 'path,caption\n"a.mp4,x\n', /it must be CSV, /],
  [
    "a path that is too long",
    `path,caption\n${"a".repeat(4097)},x\n`,
    /line 2: the path must have at most 4096 .* 4097$/,
  ],
  [
    "a caption that is too long",
    `path,caption\na,${"x".repeat(65_537)}\n`,
    /line 2: a line must have at most 65536 /,
  ],
  [
    "a JSON line that is too long",
    `{"path": "${"a".repeat(2 ** 20)}"}`,
    /line 1: a line must have at most 1048576 /,
  ],
  ["broken JSON", '{"path": "a", "caption": "x"}\n{"path": "a\n', /line 2: a line must be a JSON object, /],
  [
    "a JSON line that is none of an object",
    '{"path": "a", "caption": "x"}\n[1]\n',
    /line 2: .* current value is "\[1\]"$/,
  ],
  [
    "a key that is a slip",
    '{"pth": "a", "caption": "x"}\n',
    /line 1: an object must have a path \(path, .*\), current keys are "pth, caption"; "pth" may be meant for "path"$/,
  ],
  [
    "a caption that is a number",
    '{"path": "a", "caption": ["x", 7]}\n',
    /line 1: a caption must be text, .* "7"$/,
  ],
  [
    "a path that is a number",
    '{"path": 7, "caption": "x"}\n',
    /line 1: the path must be text, current value is "7"$/,
  ],
  [
    "no captions",
    '{"path": "a", "caption": []}\n',
    /line 1: a clip must have at least one caption, current count is 0$/,
  ],
  [
    "an empty caption among others",
    '{"path": "a", "caption": ["x", "\\n"]}\n',
    /the caption of "a" must not be empty$/,
  ],
  [
    "a zero byte in a path",
    '{"path": "a\\u0000", "caption": "x"}\n',
    /must not hold control characters, .* "a\\u0000"$/,
  ],
];

for (const [what, text, message] of refused) {
  Deno.test(`a list of pairs with ${what} is refused`, () => {
    assert.throws(() => parsePairs(text, { file: "list" }), (error: Error) => {
      assert.ok(error instanceof DataError);
      assert.match(error.message, message);
      // deno-lint-ignore no-control-regex
      assert.doesNotMatch(error.message, /[\x00-\x1f\x7f]/);
      return true;
    });
  });
}

const LIST = 'path,caption\nb,x\na,y\nb,"z, ü"\nb,x\n';

Deno.test("training takes a clip a pair, and a search a clip a path with its captions in order", () => {
  const { pairs } = parsePairs(LIST, { file: "list" });
  const clip = { label: 0, frames: null };
  assert.deepEqual(trainingPairs(pairs), [
    { ...clip, path: "b", line: 2, captions: ["x"] },
    { ...clip, path: "a", line: 3, captions: ["y"] },
    { ...clip, path: "b", line: 4, captions: ["z, ü"] },
    { ...clip, path: "b", line: 5, captions: ["x"] },
  ]);
  assert.deepEqual(groupedPairs(pairs), [
    { ...clip, path: "b", line: 2, captions: ["x", "z, ü", "x"] },
    { ...clip, path: "a", line: 3, captions: ["y"] },
  ]);
});

Deno.test("a list that is written is read as the same clips", () => {
  const groups = groupedPairs(parsePairs(LIST, { file: "list" }).pairs);
  const text = formatPairs(groups);
  assert.equal(text, '{"path":"b","caption":["x","z, ü","x"]}\n{"path":"a","caption":"y"}\n');
  const again = groupedPairs(parsePairs(text, { file: "list" }).pairs);
  assert.deepEqual(again.map(({ path, captions }) => [path, captions]), [["b", ["x", "z, ü", "x"]], ["a", [
    "y",
  ]]]);
});

Deno.test("captions that are too long for one line are written on several, and stay those of one clip", () => {
  const captions = Array.from({ length: 40 }, (_, i) => `${i} ${"\u0001x".repeat(20_000)}`);
  const text = formatPairs([{ path: "a", captions }, { path: "b", captions: ["x"] }]);
  assert.ok(text.split("\n").length > 10);
  const [a, b] = groupedPairs(parsePairs(text, { file: "list" }).pairs);
  assert.deepEqual([a.captions, b.captions], [captions, ["x"]]);
});

Deno.test("lists of labelled clips are no lists of pairs", () => {
  for (const text of ["a.mp4 3\n", "path,label\na,3\n", "path,label,caption\na,3,x\n", "caption 3\n", ""]) {
    assert.equal(isPairsList(text), false, text);
  }
});

Deno.test("a list of pairs is read from a file in UTF-16", async () => {
  await inTempFolder(async (root) => {
    const text = "\ufeffpath,caption\r\nä.mp4,größer\r\n", bytes = new Uint8Array(2 * text.length);
    for (let i = 0; i < text.length; i++) {
      new DataView(bytes.buffer).setUint16(2 * i, text.charCodeAt(i), true);
    }
    await writeFile(join(root, "pairs.csv"), bytes);
    assert.deepEqual(await readPairs(join(root, "pairs.csv")), [{
      path: "ä.mp4",
      caption: "größer",
      line: 2,
    }]);
    await assert.rejects(readPairs(join(root, "none.csv")), /Cannot read ".*none\.csv": it does not exist$/);
  });
});

Deno.test("what was meant for a list of pairs is told so where any list is read", async () => {
  await inTempFolder(async (root) => {
    const told: [string, RegExp][] = [
      ['[{"path": "a", "caption": "x"}]', /one object a line, it is a JSON list/],
      [
        "clip,description\na.mp4,a red car\n",
        /line 1: .* a list of pairs has a header with a column of captions/,
      ],
      ["a.mp4,a red car\n", /line 1: .* a list of pairs has a header with a column of captions/],
    ];
    for (const [text, message] of told) {
      const file = join(root, "list");
      await writeFile(file, text);
      await assert.rejects(
        readAnyList(file),
        (error) => error instanceof DataError && message.test(error.message),
      );
    }
  });
});
