import assert from "node:assert/strict";
import { parseAnnotations } from "../../../data/datasets/annotations.ts";

/** Files by name. */
const filesOf = (texts: Record<string, string>) =>
  Object.entries(texts).map(([file, text]) => ({ file, text }));

/** What a data set names, a line a clip. */
function named(texts: Record<string, string>, labels: string[] | null = null) {
  const { classes, entries } = parseAnnotations(filesOf(texts), labels);
  return {
    classes,
    clips: entries.map(({ split, label, paths }) => `${split} ${label} ${paths.join(" ")}`),
  };
}

Deno.test("UCF101's classes count from 1, and its test list has none", () => {
  assert.deepEqual(
    named({
      "ucf/classInd.txt": "1 ApplyEyeMakeup\r\n2 Archery\r\n",
      "ucf/trainlist01.txt":
        "Archery/v_Archery_g08_c01.avi 2\nApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1\n",
      "ucf/testlist01.txt": "Archery/v_Archery_g01_c01.avi\n",
    }),
    {
      classes: ["ApplyEyeMakeup", "Archery"],
      clips: [
        "train 1 Archery/v_Archery_g08_c01.avi Archery/v_Archery_g08_c01",
        "train 0 ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01",
        "val 1 Archery/v_Archery_g01_c01.avi Archery/v_Archery_g01_c01",
      ],
    },
  );
});

Deno.test("HMDB51 has a file a class, which tells the use of each video", () => {
  assert.deepEqual(
    named({
      "wave_test_split1.txt": "a.avi 1 \nb.avi 0 \nc.avi 2 \n",
      "brush_hair_test_split1.txt": "x y.avi 1 \n",
    }),
    {
      classes: ["brush_hair", "wave"],
      clips: [
        "train 1 wave/a.avi wave/a a.avi a",
        "val 1 wave/c.avi wave/c c.avi c",
        "train 0 brush_hair/x y.avi brush_hair/x y x y.avi x y",
      ],
    },
  );
});

Deno.test("Jester and Something-Something V1 name classes after a semicolon", () => {
  assert.deepEqual(
    named({
      "jester-v1-labels.csv": "Doing other things\nPushing Hand, Away\n",
      "jester-v1-train.csv": "34870;Pushing Hand, Away\n56557;Doing other things\n",
      "jester-v1-test.csv": "7\n",
    }),
    {
      classes: ["Doing other things", "Pushing Hand, Away"],
      clips: ["train 1 34870", "train 0 56557", "test 0 7"],
    },
  );
});

Deno.test("a CSV of paths and labels is told from Kinetics'", () => {
  const kinetics = "label,youtube_id,time_start,time_end,split\nabseiling,x,1,2,train\n";
  assert.deepEqual(named({ "train.csv": "a b.mp4,1\n/data/c.mp4,0\n", "val.csv": "d.mp4 1\n" }, ["x", "y"]), {
    classes: ["x", "y"],
    clips: ["train 1 a b.mp4", "train 0 /data/c.mp4", "val 1 d.mp4"],
  });
  assert.deepEqual(named({ "k.csv": kinetics }).classes, ["abseiling"]);
});

const refused: [what: string, texts: Record<string, string>, message: RegExp][] = [
  [
    "a class of no name",
    { "classInd.txt": "1 A\n", "trainlist01.txt": "B/v.avi 2\n" },
    /one of 1 classes, .*"B\/v\.avi 2"$/,
  ],
  [
    "a number of another class",
    { "classInd.txt": "1 A\n2 B\n", "trainlist01.txt": "B/v.avi 1\n" },
    /trainlist01\.txt" line 1: the number must be 2, that of its folder/,
  ],
  [
    "classes out of order",
    { "classInd.txt": "1 A\n3 B\n", "trainlist01.txt": "" },
    /line 2: the number of the class must be 2/,
  ],
  [
    "two splits",
    { "a_test_split1.txt": "x.avi 1\n", "a_test_split2.txt": "x.avi 1\n" },
    /must be of one split, current values are 1, 2$/,
  ],
  [
    "a use that is none",
    { "a_test_split1.txt": "x.avi 3\n" },
    /a video and 0, 1 or 2, current value is "x\.avi 3"$/,
  ],
  [
    "an unknown class",
    { "labels.csv": "a\n", "train.csv": "1;a\n2;b\n" },
    /train\.csv" line 2: the class must be one of 1, current value is "2;b"$/,
  ],
  [
    "Kinetics and a list",
    { "k.csv": "label,youtube_id,time_start,time_end\n", "train.csv": "a.mp4,1\n" },
    /"k\.csv" is a CSV of Kinetics and others are not$/,
  ],
];

for (const [what, texts, message] of refused) {
  Deno.test(`annotations with ${what} are refused by file`, () => {
    assert.throws(() => parseAnnotations(filesOf(texts), null), message);
  });
}
