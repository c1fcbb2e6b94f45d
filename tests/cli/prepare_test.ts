import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as check from "../../cli/check.ts";
import * as verb from "../../cli/prepare.ts";
import { ConfigError, DataError } from "../../lib/errors.ts";
import { type Config, loadConfig } from "../../train/recipe/config.ts";
import { inTempFolder, writeFrames } from "../_util/frame_folders.ts";
import { runVerb } from "../_util/run_verb.ts";
import { greyOf, hasFfmpeg, writeVideo } from "../_util/video_files.ts";

const textOf = (...parts: string[]) => readFile(join(...parts), "utf8");

/** The recipe that the printed keys make, as a shell passes them on. */
async function recipeOf(root: string, stdout: string): Promise<Config> {
  const printed = /keys for a recipe: (.*)\n/.exec(stdout)![1];
  const words = execFileSync("sh", ["-c", `printf '%s\\n' ${printed}`], { encoding: "utf8" });
  const recipe = join(root, "recipe.yaml");
  await writeFile(recipe, "{}\n");
  return (await loadConfig(recipe, words.trimEnd().split("\n"))).config;
}

Deno.test("prepare makes lists from a folder per class, which check finds right and a recipe can use", async () => {
  await inTempFolder(async (root) => {
    const clips = join(root, "clips"), out = join(root, "lists");
    for (let i = 0; i < 5; i++) {
      await writeFrames(join(clips, "wave", `w${i}`), {
        frames: 2 + i,
        shade: i,
        template: "img_{:05d}.jpg",
      });
      await writeFrames(join(clips, "jump", `j${i}`), {
        frames: 2,
        shade: 20 + 10 * i,
        template: "img_{:05d}.jpg",
      });
    }
    await mkdir(join(clips, "jump", "none"));
    await writeFile(join(clips, "jump", "a.mp4"), "");
    const { code, stdout, stderr } = await runVerb(verb, [clips, "--out", out, "--val-share", "0.2"]);
    assert.equal(code, 0);
    assert.match(stdout, /^wrote 8 train, 2 val clips of 2 classes to .*lists; 2 left out\n/);
    assert.match(
      stderr,
      /^left out: jump\/a\.mp4: the file is empty\nleft out: jump\/none: its folder is empty\nwarning: clips of fewer than 8 frames, which .* leave out of training \(data\.min_frames\): 10\n$/,
    );
    assert.equal(await textOf(out, "labels.csv"), "id,name\n0,jump\n1,wave\n");
    const lines = [await textOf(out, "train.txt"), await textOf(out, "val.txt")].map((text) =>
      text.trim().split("\n")
    );
    assert.deepEqual(lines.map((list) => list.filter((line) => line.endsWith(" 0")).length), [4, 1]);
    assert.ok(lines.flat().includes("wave/w3 5 1"));
    assert.equal(new Set(lines.flat()).size, 10);
    const report = JSON.parse(await textOf(out, "report.json"));
    assert.deepEqual([report.template, report.clips, report.unusable.length], ["img_{:05d}.jpg", {
      train: 8,
      val: 2,
    }, 2]);

    const checked = await runVerb(check, [
      join(out, "train.txt"),
      "--root",
      clips,
      "--against",
      join(out, "val.txt"),
    ]);
    assert.equal(checked.code, 0, checked.stdout);
    const { data } = await recipeOf(root, stdout);
    assert.deepEqual([data.num_classes, data.image_tmpl, data.root, data.modality], [
      2,
      "img_{:05d}.jpg",
      clips,
      "RGB",
    ]);
  });
});

Deno.test("prepare takes videos and folders of frames side by side, under names with spaces", async () => {
  await inTempFolder(async (root) => {
    const clips = join(root, "my clips #1"), out = join(root, "it's lists");
    for (const name of ["jump high/a b.mp4", "jump high/c.MKV", "wave/ü.webm"]) {
      await mkdir(join(clips, name, ".."), { recursive: true });
      await writeFile(join(clips, name), "not looked into");
    }
    await writeFrames(join(clips, "wave", "w 1"), { frames: 9, shade: 1, template: "img_{:05d}.jpg" });
    const { stdout, stderr } = await runVerb(verb, [clips, "--out", out]);
    assert.equal(stderr, "");
    assert.match(stdout, /^wrote 2 train, 2 val clips \(3 videos\) of 2 classes to .*; 0 left out\n/);
    const lines = (await textOf(out, "train.txt") + await textOf(out, "val.txt")).trimEnd().split("\n")
      .sort();
    assert.deepEqual(lines, [
      '"jump high/a b.mp4" 0',
      '"jump high/c.MKV" 0',
      '"wave/w 1" 9 1',
      "wave/ü.webm 1",
    ]);
    const { data } = await recipeOf(root, stdout);
    assert.deepEqual([data.modality, data.root, data.image_tmpl, data.train_list], [
      "either",
      clips,
      "img_{:05d}.jpg",
      join(out, "train.txt"),
    ]);
    await rm(join(clips, "wave", "w 1"), { recursive: true });
    const videos = await runVerb(verb, [clips, "--out", out, "--val-share", "0"]);
    assert.equal((await recipeOf(root, videos.stdout)).data.modality, "video");
    assert.doesNotMatch(videos.stdout, /image_tmpl/);
  });
});

Deno.test({
  name: "prepare --count states the frames of videos and leaves out what is none",
  ignore: !hasFfmpeg,
  async fn() {
    await inTempFolder(async (root) => {
      await mkdir(join(root, "set", "one"), { recursive: true });
      await writeVideo(join(root, "set", "one", "a.mp4"), {
        frames: 11,
        width: 16,
        height: 16,
        pixel: greyOf,
      });
      await writeFile(join(root, "set", "one", "b.mp4"), "text");
      const args = [join(root, "set"), "--out", join(root, "lists"), "--count"];
      const { stderr } = await runVerb(verb, args);
      assert.equal(await textOf(root, "lists", "train.txt"), "one/a.mp4 11 0\n");
      assert.match(stderr, /^left out: one\/b\.mp4: it cannot be read: /);
    });
  },
});

Deno.test("prepare finds the videos of Something-Something, of Kinetics and of lists by their names", async () => {
  await inTempFolder(async (root) => {
    for (const name of ["7.webm", "air drumming/x_000001_000011.mp4", "y.mkv", "d/l 1.avi"]) {
      await mkdir(join(root, "v", name, ".."), { recursive: true });
      await writeFile(join(root, "v", name), "not looked into");
    }
    await writeFile(join(root, "names.csv"), "id,name\n0,x\n");
    const prepare = async (...files: [name: string, text: string][]) => {
      for (const [name, text] of files) await writeFile(join(root, name), text);
      const args = ["--root", join(root, "v"), "--out", join(root, "o"), "--labels", join(root, "names.csv")];
      await runVerb(verb, [...files.map(([name]) => join(root, name)), ...args]);
      return await textOf(root, "o", "train.txt");
    };
    assert.equal(
      await prepare(["l.json", '{"A": "0"}'], ["train.json", '[{"id": "7", "template": "A"}]']),
      "7.webm 0\n",
    );
    const header = "label,youtube_id,time_start,time_end,split\n";
    assert.equal(
      await prepare(["k.csv", `${header}air drumming,x,1,11,train\nzumba,y,2,12,train\n`]),
      '"air drumming/x_000001_000011.mp4" 0\ny.mkv 1\n',
    );
    assert.equal(await prepare(["train.txt", '"d/l 1.avi" 0\ny.mkv 30 0\n']), '"d/l 1.avi" 0\ny.mkv 0\n');
  });
});

Deno.test("the split of prepare depends on the seed, and --folders is the same as the argument", async () => {
  await inTempFolder(async (root) => {
    for (let i = 0; i < 12; i++) {
      await writeFrames(join(root, "set", "one", `c${i}`), { frames: 1, shade: i });
    }
    const val = async (...args: string[]) => {
      await runVerb(verb, [...args, "--out", join(root, "lists"), "--val-share", "0.5"]);
      return await textOf(root, "lists", "val.txt");
    };
    const first = await val(join(root, "set"));
    assert.equal(await val("--folders", join(root, "set")), first);
    assert.notEqual(await val(join(root, "set"), "--seed", "7"), first);
  });
});

Deno.test("prepare makes lists from Something-Something V2's JSON and names the clips that are not there", async () => {
  await inTempFolder(async (root) => {
    await writeFrames(join(root, "frames", "11"), { frames: 4, shade: 1, template: "{:06d}.jpg" });
    await writeFrames(join(root, "frames", "22"), { frames: 5, shade: 2, template: "{:06d}.jpg" });
    const file = async (name: string, value: unknown) => {
      await writeFile(join(root, name), JSON.stringify(value));
      return join(root, name);
    };
    const files = [
      await file("something-something-v2-validation.json", [{ id: "22", template: "Holding [something]" }]),
      await file("something-something-v2-labels.json", {
        "Moving something up": "0",
        "Holding something": "1",
      }),
      await file("something-something-v2-train.json", [
        { id: "11", template: "Moving [something] up" },
        { id: "33", template: "Holding [something]" },
      ]),
    ];
    const args = [...files, "--root", join(root, "frames"), "--out", join(root, "lists"), "--json"];
    const { code, stdout } = await runVerb(verb, args);
    assert.equal(code, 0);
    assert.equal(await textOf(root, "lists", "train.txt"), "11 4 0\n");
    assert.equal(await textOf(root, "lists", "val.txt"), "22 5 1\n");
    assert.equal(
      await textOf(root, "lists", "labels.csv"),
      "id,name\n0,Moving something up\n1,Holding something\n",
    );
    const json = JSON.parse(stdout);
    assert.equal(json.template, "{:06d}.jpg");
    assert.deepEqual(json.unusable, [{ split: "train", path: "33", reason: "it does not exist" }]);
  });
});

Deno.test("prepare needs no root for lists of absolute paths, and the printed keys name none", async () => {
  await inTempFolder(async (root) => {
    const labels = join(root, "labels.csv"), out = join(root, "lists"), clip = join(root, "a b", "1");
    await writeFrames(clip, { frames: 3, shade: 1 });
    await writeFile(labels, "id,name\n0,x\n");
    for (const split of ["train", "val"]) await writeFile(join(root, `${split}.txt`), `${clip} 0\n`);
    const lists = ["train", "val"].map((split) => join(root, `${split}.txt`));
    const { code, stdout } = await runVerb(verb, [...lists, "--labels", labels, "--out", out]);
    assert.equal(code, 0);
    assert.match(stdout, /keys for a recipe: data\.num_classes=1 /);
    assert.equal(await textOf(out, "train.txt"), `${JSON.stringify(clip)} 3 0\n`);
    assert.equal(JSON.parse(await textOf(out, "report.json")).root, null);
  });
});

Deno.test("prepare makes lists from Kinetics' CSV files; a list of an earlier run is pointed out", async () => {
  await inTempFolder(async (root) => {
    await writeFrames(join(root, "frames", "air_drumming", "a_000001_000011"), { frames: 3, shade: 1 });
    await writeFrames(join(root, "frames", "b"), { frames: 2, shade: 2 });
    const csv = join(root, "kinetics.csv"), header = "label,youtube_id,time_start,time_end,split\n";
    await writeFile(csv, `${header}zumba,b,0,10,val\nair drumming,a,1,11,train\n`);
    const args = [csv, "--root", join(root, "frames"), "--out", join(root, "lists")];
    const first = await runVerb(verb, args);
    assert.match(first.stderr, /^warning: clips of fewer than 8 frames, .* \(data\.min_frames\): 2\n$/);
    assert.equal(await textOf(root, "lists", "train.txt"), "air_drumming/a_000001_000011 3 0\n");
    assert.equal(await textOf(root, "lists", "val.txt"), "b 2 1\n");
    await writeFile(csv, `${header}zumba,b,0,10,train\n`);
    assert.match(
      (await runVerb(verb, args)).stderr,
      /val\.txt is of an earlier run: this one has no val clips\n/,
    );
  });
});

Deno.test("prepare repairs an annotation list: glued lines, counts that are off, clips that are not there", async () => {
  await inTempFolder(async (root) => {
    for (const [i, name] of ["a", "b", "c"].entries()) {
      await writeFrames(join(root, "frames", name), { frames: 3 + i, shade: i });
    }
    await writeFile(join(root, "old_train.txt"), "a 2 0\nb 3 1c 4 0\ngone 9 1\n");
    await writeFile(join(root, "names.csv"), "id,name\n0,x\n1,y\n");
    const args = [join(root, "old_train.txt"), "--root", join(root, "frames"), "--out", join(root, "lists")];
    const { stdout, stderr } = await runVerb(verb, [...args, "--labels", join(root, "names.csv")]);
    assert.match(stdout, /^wrote 3 train clips of 2 classes/);
    assert.match(stderr, /^left out: gone: it does not exist\n/);
    assert.equal(await textOf(root, "lists", "train.txt"), "a 3 0\nb 4 1\nc 5 0\n");
    assert.equal(await textOf(root, "lists", "labels.csv"), "id,name\n0,x\n1,y\n");
  });
});

const REFUSED: [
  what: string,
  args: string[],
  kind: typeof ConfigError | typeof DataError,
  message: RegExp,
][] = [
  ["no folder to write to", ["set"], ConfigError, /expected DATASET … --out DIR$/],
  ["no data set", ["--out", "lists"], ConfigError, /expected DATASET … --out DIR$/],
  ["a data set that is not there", ["gone", "--out", "lists"], DataError, /"gone": it does not exist$/],
  ["two folders", ["set", "set", "--out", "lists"], ConfigError, /one folder, current count is 2$/],
  [
    "class folders under another root",
    ["set", "--root", "lists", "--out", "lists"],
    ConfigError,
    /--root must be left out/,
  ],
  [
    "files without a root",
    ["train.txt", "--labels", "l.json", "--out", "lists"],
    ConfigError,
    /--root must name/,
  ],
  [
    "labels without clips",
    ["l.json", "--root", "set", "--out", "lists"],
    ConfigError,
    /current counts are 1 and 0$/,
  ],
  [
    "lists without labels",
    ["x.txt", "--root", "set", "--out", "lists"],
    ConfigError,
    /--labels must name the lists' label file$/,
  ],
  [
    "files of two kinds",
    ["l.json", "x.txt", "--root", "set", "--out", "lists"],
    ConfigError,
    /current value is ".*x\.txt"$/,
  ],
  [
    "a share above one",
    ["set", "--out", "lists", "--val-share", "2"],
    ConfigError,
    /at most 1, current value is 2$/,
  ],
  [
    "no usable clip",
    ["set", "--out", "lists"],
    DataError,
    /frames named "\{:05d\}\.jpg", current count is 0$/,
  ],
];

for (const [what, args, Kind, message] of REFUSED) {
  Deno.test(`prepare refuses ${what}`, async () => {
    await inTempFolder(async (root) => {
      await mkdir(join(root, "set", "class", "clip"), { recursive: true });
      await writeFile(join(root, "l.json"), '{"a": "0"}');
      await writeFile(join(root, "x.txt"), "");
      await writeFile(join(root, "train.txt"), `a 0\n${root}/b 0\n`);
      const inRoot = args.map((arg) =>
        ["set", "lists", "l.json", "x.txt", "train.txt"].includes(arg) ? join(root, arg) : arg
      );
      await assert.rejects(
        runVerb(verb, inRoot),
        (error) => error instanceof Kind && message.test(error.message),
      );
      await assert.rejects(readFile(join(root, "lists", "train.txt")));
    });
  });
}
