/** `prepare` and `check` for clips with captions: data sets, folders of captions, lists of pairs. */
import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import * as check from "../../cli/check.ts";
import * as verb from "../../cli/prepare.ts";
import { ConfigError } from "../../lib/errors.ts";
import { inTempFolder, writeFrames } from "../_util/frame_folders.ts";
import { runVerb } from "../_util/run_verb.ts";

/** The lines of a list of pairs. */
const pairsIn = async (...parts: string[]) =>
  (await readFile(join(...parts), "utf8")).trimEnd().split("\n").map((line) => {
    const { path, caption } = JSON.parse(line);
    return [path, caption];
  });

async function write(path: string, content: string | Uint8Array): Promise<string> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content);
  return path;
}

const framesNamed = (folder: string, shade: number) =>
  writeFrames(folder, { frames: 2, shade, template: "img_{:05d}.jpg" });

Deno.test("prepare makes lists of pairs from MSR-VTT in the order of its sentences, which check reads a clip at a time", async () => {
  await inTempFolder(async (root) => {
    const videos = join(root, "videos"), out = join(root, "lists");
    await framesNamed(join(videos, "video0"), 1);
    await framesNamed(join(videos, "video1"), 60);
    await write(join(videos, "TestVideo", "video2.mp4"), "not looked into");
    const sentences = [[1, "a"], [0, "b"], [0, "c"], [1, "d"], [3, "e"]].map(([id, caption]) => ({
      video_id: `video${id}`,
      caption,
    }));
    const files = await Promise.all([
      write(join(root, "MSRVTT_data.json"), JSON.stringify({ sentences })),
      write(join(root, "MSRVTT_train.csv"), "video_id\nvideo0\nvideo1\nvideo3\n"),
      write(join(root, "MSRVTT_test.csv"), "video_id,sentence\nvideo2,a man sings\n"),
    ]);
    const args = [...files, "--root", videos, "--out", out];
    const { code, stdout, stderr } = await runVerb(verb, args);
    assert.equal(code, 0);
    assert.match(stdout, /^wrote 2 train, 1 test clips \(1 video\) with 5 captions to .*lists; 1 left out\n/);
    assert.match(
      stdout,
      /data\.modality=either 'data\.image_tmpl=img_.*' data\.train_list=.*train\.jsonl data\.val_list=.*test\.jsonl\n/,
    );
    assert.equal(stderr, "left out: video3: it does not exist\n");
    assert.deepEqual(await pairsIn(out, "train.jsonl"), [["video1", "a"], ["video0", ["b", "c"]], [
      "video1",
      "d",
    ]]);
    assert.deepEqual(await pairsIn(out, "test.jsonl"), [["TestVideo/video2.mp4", "a man sings"]]);
    const { captions, clips } = JSON.parse(await readFile(join(out, "report.json"), "utf8"));
    assert.deepEqual([captions, clips], [5, { train: 2, test: 1 }]);
    await assert.rejects(readFile(join(out, "labels.csv")));

    const checked = await runVerb(check, [join(out, "train.jsonl"), "--root", videos]);
    assert.equal(checked.stderr, "");
    assert.match(checked.stdout, /: 2 clips, 4 frames named .*\n.*\n {2}nothing is wrong\n$/);

    // The lists are a data set themselves.
    const again = join(root, "again");
    await runVerb(verb, [
      join(out, "train.jsonl"),
      join(out, "test.jsonl"),
      "--root",
      videos,
      "--out",
      again,
    ]);
    assert.deepEqual(await pairsIn(again, "train.jsonl"), await pairsIn(out, "train.jsonl"));
  });
});

Deno.test("prepare reads captions from a pickle, and finds clips a folder deeper", async () => {
  await inTempFolder(async (root) => {
    await framesNamed(join(root, "v", "MSVD_frames", "a_1_2"), 1);
    const files = await Promise.all([
      write(join(root, "train_list.txt"), "a_1_2\n"),
      write(join(root, "raw-captions.pkl"), "(dp0\nS'a_1_2'\np1\n(lp2\n(lp3\nS'a'\naS'cat'\naas."),
    ]);
    await runVerb(verb, [...files, "--root", join(root, "v"), "--out", join(root, "o")]);
    assert.deepEqual(await pairsIn(root, "o", "train.jsonl"), [["MSVD_frames/a_1_2", "a cat"]]);
  });
});

Deno.test("prepare takes a folder of clips with captions beside them, and names what lacks one or the other", async () => {
  await inTempFolder(async (root) => {
    const clips = join(root, "my clips"), out = join(root, "o");
    for (const name of ["a.b.mp4", "c.mkv", "e.webm", "f.mp4"]) {
      await write(join(clips, name), "not looked into");
    }
    await framesNamed(join(clips, "d"), 1);
    await framesNamed(join(clips, "g"), 1);
    await write(join(clips, "a.b.txt"), "one\r\n\r\n two \r\n");
    await write(join(clips, "d.txt"), "three\n");
    await write(join(clips, "e.txt"), "\n");
    await write(join(clips, "f.txt"), Uint8Array.of(0xff, 10));
    await write(join(clips, "notes.txt"), "x");
    const { stdout, stderr } = await runVerb(verb, [clips, "--out", out, "--val-share", "0"]);
    assert.match(stdout, /^wrote 2 train clips \(1 video\) with 3 captions /);
    assert.deepEqual(await pairsIn(out, "train.jsonl"), [["a.b.mp4", ["one", "two"]], ["d", "three"]]);
    assert.deepEqual(stderr.trimEnd().replace(/ line 1: .*/, "").split("\n"), [
      "left out: notes.txt: no clip of this name stands beside it",
      'left out: c.mkv: it has no captions: "c.txt" is missing',
      'left out: g: it has no captions: "g.txt" is missing',
      `left out: f: Cannot read "${join(clips, "f.txt")}"`,
      "left out: e: it has no caption",
    ]);
  });
});

Deno.test("folders of splits hold captions as well, and --captions looks at any depth", async () => {
  await inTempFolder(async (root) => {
    for (
      const name of ["set/train/a", "set/Validation/b", "set/test/c", "set/other/d", "deep/x/y/e", "deep/x/f"]
    ) {
      await write(join(root, `${name}.mp4`), "not looked into");
      await write(join(root, `${name}.txt`), `${name}\n`);
    }
    const out = join(root, "o");
    const { stdout, stderr } = await runVerb(verb, [join(root, "set"), "--out", out]);
    assert.match(stdout, /^wrote 1 train, 1 val, 1 test clips .* 1 left out\n.*val_list=.*val\.jsonl\n$/);
    assert.match(stderr, /^left out: other\/d: it stands beside the folders of the splits\n$/);
    assert.deepEqual(await pairsIn(out, "val.jsonl"), [["Validation/b.mp4", "set/Validation/b"]]);
    const args = [join(root, "deep"), "--out", join(root, "p"), "--captions", "--val-share", "0.5"];
    assert.match((await runVerb(verb, args)).stdout, /^wrote 1 train, 1 val clips /);
    await assert.rejects(
      runVerb(verb, [join(root, "deep/x/f.txt"), "--out", join(root, "p"), "--captions"]),
      (error) =>
        error instanceof ConfigError && /with --captions DATASET must be a folder/.test(error.message),
    );
  });
});

for (const splits of [[""], ["train", "val"]]) {
  Deno.test(`prepare recognises folders of frames with captions beside them${splits.length > 1 ? " in folders of splits" : ""}`, async () => {
    await inTempFolder(async (root) => {
      const out = join(root, "lists"), data = join(root, "data");
      for (const [i, split] of splits.entries()) {
        for (const name of ["a", "b"]) {
          await framesNamed(join(data, split, name), 40 * i + (name === "a" ? 10 : 30));
          await write(join(data, split, `${name}.txt`), `${split} ${name}\n`);
        }
      }
      const { code, stdout } = await runVerb(verb, [data, "--out", out, "--val-share", "0.5"]);
      assert.equal(code, 0);
      assert.match(
        stdout,
        splits.length > 1
          ? /^wrote 2 train, 2 val clips .*4 captions/
          : /^wrote 1 train, 1 val clips .*2 captions/,
      );
    });
  });
}

Deno.test("prepare takes a folder of class folders with lists of their names beside them for no captions", async () => {
  await inTempFolder(async (root) => {
    const data = join(root, "data");
    for (const name of ["jump/a", "jump/b", "run/c", "run/d"]) await framesNamed(join(data, name), 10);
    await write(join(data, "jump.txt"), "jump/a\n");
    const { stdout } = await runVerb(verb, [data, "--out", join(root, "lists")]);
    assert.doesNotMatch(stdout, /captions/);
  });
});
