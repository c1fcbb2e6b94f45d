/** Data sets with captions by their own files: which clips and captions they name, in which order, and what is refused. */
import assert from "node:assert/strict";
import { parseCaptioned } from "../../../data/datasets/captioned/parse.ts";
import type { Dataset } from "../../../data/datasets/entries.ts";
import { ConfigError, DataError } from "../../../lib/errors.ts";

type Files = [file: string, content: unknown][];

function read(files: Files): Dataset | null {
  const texts = files.map(([file, content]) => ({
    file,
    text: typeof content === "string" ? content : JSON.stringify(content),
  }));
  return parseCaptioned(texts);
}

/** `split path: captions` of every clip, by the first of its paths. */
function clipsOf(dataset: Dataset | null): string[] {
  assert.equal(dataset?.classes, null);
  return dataset!.entries.map(({ split, paths: [path], captions }) =>
    `${split} ${path}: ${captions!.map(({ text }) => text).join(" | ")}`
  );
}

/** All captions of a split in the order of the data set. */
function captionsOf({ entries }: Dataset, split: string): string[] {
  return entries.filter((entry) => entry.split === split).flatMap(({ captions }) => captions!)
    .sort((a, b) => a.place - b.place).map(({ text }) => text);
}

const sentence = (video: number, caption: string) => ({ video_id: `video${video}`, caption, sen_id: 9 });
const MSRVTT: Files = [
  ["MSRVTT_data.json", {
    info: {},
    videos: [
      { video_id: "video0", split: "train" },
      { video_id: "video1", split: "validate" },
      { video_id: "video2", split: "test" },
    ],
    sentences: [sentence(1, "a"), sentence(0, "b"), sentence(2, "c"), sentence(0, "d"), sentence(1, "e")],
  }],
];
const MSRVTT_LISTS: Files = [
  ["MSRVTT_train.9k.csv", "video_id\r\nvideo0\r\nvideo1\r\nvideo9\r\n"],
  [
    "MSRVTT_JSFUSION_test.csv",
    'key,vid_key,video_id,sentence\nret0,msr8,video8,"a man, who sings"\nret1,m,video2,two\n',
  ],
];

Deno.test("MSR-VTT: the videos of the lists, with all captions in the order of the JSON", () => {
  const expanded = read([...MSRVTT_LISTS, ...MSRVTT])!;
  assert.deepEqual(clipsOf(expanded), [
    "train video0: b | d",
    "train video1: a | e",
    "test video8: a man, who sings",
    "test video2: two",
  ]);
  assert.deepEqual(captionsOf(expanded, "train"), ["a", "b", "d", "e"]);
  assert.deepEqual(expanded.unusable, [{ split: "train", path: "video9", reason: "it has no caption" }]);
});

Deno.test("MSR-VTT: without lists the splits and captions are those of the JSON, and a test list needs no JSON", () => {
  assert.deepEqual(clipsOf(read(MSRVTT)), ["train video0: b | d", "val video1: a | e", "test video2: c"]);
  assert.deepEqual(clipsOf(read([MSRVTT_LISTS[1]])), ["test video8: a man, who sings", "test video2: two"]);
  const several = "video_id,sentence\nx,one\ny,two\nx,three\n";
  assert.deepEqual(captionsOf(read([["test.csv", several]])!, "test"), ["one", "two", "three"]);
});

const LISTS: Files = [["d/train_list.txt", "a\n\nb\n"], ["val_list.txt", "c\r\n"], ["test_list.txt", "e\n"]];

Deno.test("MSVD: lists of ids, and captions as lists of words or text", () => {
  const captions = { c: [["x"]], a: [["two", "words"], "three of them"], b: ["y"], other: [["z"]] };
  const dataset = read([...LISTS, ["raw-captions.pkl", captions]])!;
  assert.deepEqual(clipsOf(dataset), ["train a: two words | three of them", "train b: y", "val c: x"]);
  assert.deepEqual(dataset.unusable, [{ split: "test", path: "e", reason: "it has no caption" }]);
});

Deno.test("VATEX: the lists and the JSON of retrieval, and the files of the release", () => {
  const data = {
    e: { enCap: ["1", "2"] },
    a: { enCap: ["3"] },
    b: { enCap: ["4"] },
    c: { enCap: ["5"], chCap: ["中"] },
  };
  const dataset = read([...LISTS, ["vatex_data.json", data]])!;
  assert.deepEqual(clipsOf(dataset), [
    "train train_video/a: 3",
    "train train_video/b: 4",
    "val val_video/c: 5",
    "test test_video/e: 1 | 2",
  ]);
  assert.deepEqual(dataset.entries[0].paths, ["train_video/a", "a"]);
  const released = read([
    ["vatex_training_v1.0.json", [{ videoID: "a_1", enCap: ["x", " "], chCap: [] }, {
      videoID: "-b",
      enCap: ["y"],
    }]],
    ["vatex_validation_v1.0.json", [{ videoID: "c", enCap: ["z"] }]],
  ])!;
  assert.deepEqual(clipsOf(released), [
    "train train_video/a_1: x",
    "train train_video/-b: y",
    "val val_video/c: z",
  ]);
  assert.match(released.unusable[0].reason, /^1 of its 2 captions, without text /);
});

Deno.test("ActivityNet: a paragraph a video, of the lists of ids where there are some", () => {
  const clip = (...sentences: string[]) => ({ duration: 3.5, timestamps: [[0, 1]], sentences });
  const files: Files = [
    ["train.json", { v_b: clip("One.", " Two. "), v_a: clip("Three."), v_x: clip("no") }],
    ["val_1.json", { v_c: clip("Four.") }],
  ];
  const ids: Files = [["train_ids.json", ["v_a", "v_b"]], ["val_ids.json", ["v_c", "v_none"]]];
  const dataset = read([...ids, ...files])!;
  assert.deepEqual(clipsOf(dataset), ["train v_a: Three.", "train v_b: One. Two.", "val v_c: Four."]);
  assert.deepEqual(dataset.entries[0].paths, ["v_a", "a"]);
  assert.deepEqual(dataset.unusable, [{ split: "val", path: "v_none", reason: "it has no caption" }]);
  assert.equal(read(files)!.entries.length, 4);
});

Deno.test("DiDeMo: a paragraph a video, whose id ends at the first dot", () => {
  const moment = (video: string, description: string) => ({ video, description, times: [[0, 0]] });
  const dataset = read([
    ["train_list.txt", "2@N.3gp\n1@N.mov\n"],
    ["train_data.json", [
      moment("1@N.mov", "a"),
      moment("2@N.3gp", "b"),
      moment("1@N.mov", "c"),
      moment("3@N", "no"),
    ]],
    ["test_data.json", [moment("4@N.avi", "d")]],
  ])!;
  assert.deepEqual(clipsOf(dataset), ["train 2@N: b", "train 1@N: a c", "test 4@N: d"]);
  assert.deepEqual(dataset.entries[1].paths, ["1@N", "1@N.mov"]);
});

Deno.test("LSMDC: fields between tabs, whatever quotes they hold; the public test of the challenge is the test", () => {
  const id = "0001_American_Beauty_00.00.51.926-00.00.54.129", times = "\t00:00:51.926\t\t0\t0\t";
  const dataset = read([
    ["LSMDC16_annos_training.csv", `${id}${times}He says "no, thanks.\r\n`],
    ["LSMDC16_challenge_1000_publictect.csv", `${id}${times}x\n\n${id}${times}y\n`],
  ])!;
  assert.deepEqual(dataset.entries[0].paths, [`0001_American_Beauty/${id}`, id]);
  assert.deepEqual(captionsOf(dataset, "train"), ['He says "no, thanks.']);
  assert.deepEqual(clipsOf(dataset)[1], `test 0001_American_Beauty/${id}: x | y`);
});

Deno.test("lists of pairs are a data set, too", () => {
  const dataset = read([["train.csv", "path,caption\nb,x\na,y\nb,z\n"], [
    "val.jsonl",
    '{"path": "c", "caption": "w"}\n',
  ]])!;
  assert.deepEqual(clipsOf(dataset), ["train b: x | z", "train a: y", "val c: w"]);
  assert.deepEqual(captionsOf(dataset, "train"), ["x", "y", "z"]);
});

Deno.test("files of data sets without captions are none of these", () => {
  for (
    const files of [
      [["labels.json", { A: "0" }], ["train.json", [{ id: "1", template: "A" }]]],
      [["train.txt", "a 3 0\n"]],
      [["k.csv", "label,youtube_id,time_start,time_end,split\nx,y,0,1,train\n"]],
      [["trainlist01.txt", "A/a.avi 1\n"], ["classInd.txt", "1 A\n"]],
    ] as Files[]
  ) assert.equal(read(files), null);
});

const refused: [what: string, files: Files, kind: typeof DataError | typeof ConfigError, message: RegExp][] =
  [
    [
      "MSR-VTT's list without captions",
      [MSRVTT_LISTS[0]],
      ConfigError,
      /MSRVTT_data\.json must be given beside "MSRVTT_train\.9k\.csv"/,
    ],
    [
      "MSR-VTT without videos",
      [["d.json", { sentences: [] }]],
      ConfigError,
      /lists of videos must be given beside "d\.json"/,
    ],
    [
      "a sentence without a caption",
      [["d.json", { sentences: [{ video_id: "v" }] }]],
      DataError,
      /"d\.json": sentence 1 must have a caption, current value is \{"video_id":"v"\}$/,
    ],
    [
      "a split of no name",
      [["d.json", { sentences: [], videos: [{ video_id: "v", split: "dev" }] }]],
      DataError,
      /the split of v must be train, validate or test, current value is "dev"$/,
    ],
    [
      "an empty id",
      [["test.csv", "video_id,sentence\n ,x\n"]],
      DataError,
      /"test\.csv" line 2: the id of a clip must be a name/,
    ],
    [
      "a list of no split",
      [["ids.txt", "a\n"], ["c.json", { a: ["x"] }]],
      DataError,
      /its name must say which split/,
    ],
    [
      "captions that are numbers",
      [...LISTS, ["c.json", { a: [7] }]],
      DataError,
      /the captions of "a" must be a list of text, .* \[7\]$/,
    ],
    [
      "VATEX without lists",
      [["vatex_data.json", { a: { enCap: ["x"] } }]],
      ConfigError,
      /lists of ids must be given beside/,
    ],
    [
      "sentences that are none",
      [["train.json", { v: { sentences: "x", timestamps: [] } }]],
      DataError,
      /the captions of "v" must be a list of text, current value is "x"$/,
    ],
    [
      "a moment without a description",
      [["train_data.json", [{ video: "v", description: "x" }, { video: "w" }]]],
      DataError,
      /must have a video and a description, current value is \{"video":"w"\}$/,
    ],
    [
      "a line of LSMDC that is cut",
      [["LSMDC16_annos_val.csv", "0001_A_00.00.51.926-00.00.54.129\t0\tx\n"]],
      DataError,
      /line 1: a line must have 6 fields between tabs, current count is 3/,
    ],
    [
      "broken JSON",
      [["MSRVTT_data.json", '{"sentences": [']],
      DataError,
      /"MSRVTT_data\.json": it must be JSON, /,
    ],
  ];

for (const [what, files, Kind, message] of refused) {
  Deno.test(`a data set of captions is refused: ${what}`, () => {
    assert.throws(() => read(files), (error: Error) => {
      assert.ok(error instanceof Kind, String(error));
      assert.match(error.message, message);
      return true;
    });
  });
}

Deno.test("files of two data sets at once are refused by name", () => {
  const msrvtt = { videos: [], sentences: [sentence(1, "a")] }, vatex = { x: { enCap: ["a"] } };
  assert.throws(() => read([["MSRVTT_data.json", msrvtt], ["vatex_data.json", vatex]]), {
    name: "ConfigError",
    message: /"MSRVTT_data\.json" and "vatex_data\.json" are of two at once; prepare each/,
  });
});
