import assert from "node:assert/strict";
import { truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as verb from "../../cli/check.ts";
import { ConfigError } from "../../lib/errors.ts";
import { inTempFolder, writeFrames } from "../_util/frame_folders.ts";
import { runVerb } from "../_util/run_verb.ts";
import { greyOf, hasFfmpeg, writeVideo } from "../_util/video_files.ts";

/** Fourteen clips of two frames, their list and labels. */
async function writeSet(root: string): Promise<void> {
  const lines: string[] = [];
  for (let i = 0; i < 14; i++) {
    await writeFrames(join(root, `c${i}`), { frames: 2, shade: 10 * i, template: "{:06d}.jpg" });
    lines.push(`c${i} 2 ${i % 2}\n`);
  }
  await writeFile(join(root, "train.txt"), lines.join(""));
  await writeFile(join(root, "val.txt"), "c3 2 1\n");
  await writeFile(join(root, "labels.csv"), "id,name\n0,a\n1,b\n2,c\n");
}

Deno.test("check says that nothing is wrong, with exit code 0, and finds out how frames are named", async () => {
  await inTempFolder(async (root) => {
    await writeSet(root);
    const args = [join(root, "train.txt"), "--root", root];
    const { code, stdout } = await runVerb(verb, [...args, "--labels", join(root, "labels.csv")]);
    assert.equal(code, 0);
    assert.match(stdout, /14 clips, 28 frames named "\{:06d\}\.jpg", 28 decoded/);
    assert.match(stdout, /sizes: 16x12 \(14\)\n {2}labels without a clip: 2\n {2}nothing is wrong\n$/);
    const json = JSON.parse((await runVerb(verb, [...args, "--json"])).stdout);
    assert.deepEqual([json.clips, json.frames, json.decoded, json.problems, json.sizes], [14, 28, 28, [], {
      "16x12": 14,
    }]);
  });
});

Deno.test("check has exit code 4 when something is wrong, names the first of each kind, and all on request", async () => {
  await inTempFolder(async (root) => {
    await writeSet(root);
    for (let i = 0; i < 12; i++) await truncate(join(root, `c${i}`, "000001.jpg"));
    const args = [join(root, "train.txt"), "--root", root];
    const short = await runVerb(verb, args);
    assert.equal(short.code, 4);
    assert.match(short.stdout, /frame cannot be decoded: 12\n {4}line 1 c0: frame 1: the file is empty\n/);
    assert.match(short.stdout, /line 10 c9: .*\n {4}… and 2 more \(--verbose\)\n/);
    assert.match(short.stdout, / {2}12 of 14 clips have something wrong\n$/);
    assert.match((await runVerb(verb, [...args, "--verbose"])).stdout, /line 12 c11: .*\n {2}12 of 14 clips/);
    const json = JSON.parse((await runVerb(verb, [...args, "--json"])).stdout);
    assert.equal(json.problems.length, 12);
    assert.deepEqual(json.problems[11], {
      kind: "unreadable",
      line: 12,
      path: "c11",
      problem: "frame 1: the file is empty",
    });
  });
});

Deno.test("check finds clips of the other list and labels beyond --classes", async () => {
  await inTempFolder(async (root) => {
    await writeSet(root);
    const args = [
      join(root, "train.txt"),
      "--root",
      root,
      "--against",
      join(root, "val.txt"),
      "--classes",
      "1",
    ];
    const { code, stdout } = await runVerb(verb, args);
    assert.equal(code, 4);
    assert.match(
      stdout,
      /clip is in the other list too: 1\n {4}line 4 c3: line 1 of the other list is the same clip\n/,
    );
    assert.match(stdout, /label out of range: 7\n/);
  });
});

Deno.test({
  name: "check takes lists of videos, and of videos and folders",
  ignore: !hasFfmpeg,
  fn: () =>
    inTempFolder(async (root) => {
      const pixel = greyOf, size = { frames: 9, width: 20, height: 16 };
      await writeVideo(join(root, "a b.mp4"), { ...size, pixel });
      await writeFrames(join(root, "c"), { frames: 3, shade: 1 });
      const check = async (text: string, ...more: string[]) => {
        await writeFile(join(root, "list.txt"), text);
        return await runVerb(verb, [join(root, "list.txt"), "--root", root, ...more]);
      };
      const videos = await check('"a b.mp4" 0\n');
      assert.deepEqual([videos.code, videos.stderr], [0, ""]);
      assert.match(
        videos.stdout,
        /list\.txt: 1 clips \(videos\), 9 frames, 2 decoded in .*\n {2}sizes: 20x16 \(1\)\n/,
      );
      const both = await check('"a b.mp4" 0\nc 3 1\n', "--all");
      assert.match(both.stdout, /2 clips \(1 video\), 12 frames named "\{:05d\}\.jpg", 12 decoded in /);
      assert.match(
        both.stderr,
        /^warning: 1 of 2 clips state no number of frames: .* data\.modality=either only\n$/,
      );
      assert.equal(JSON.parse((await check('"a b.mp4" 8 0\n', "--json")).stdout).problems[0].kind, "count");
    }),
});

Deno.test("check without a root is wrong usage, unless the list's paths are absolute", async () => {
  await inTempFolder(async (root) => {
    const list = join(root, "train.txt");
    await writeFrames(join(root, "a, b"), { frames: 2, shade: 1 });
    await writeFile(list, "a 2 0\n");
    await assert.rejects(
      runVerb(verb, [list]),
      (error) => error instanceof ConfigError && /--root must name .*, such as "a"$/.test(error.message),
    );
    await writeFile(list, `"${root}/a, b" 2 0\n`);
    const { code, stdout } = await runVerb(verb, [list]);
    assert.equal(code, 0, stdout);
    assert.match(stdout, /1 clips, 2 frames named/);
    assert.equal((await runVerb(verb, [list, "--root", join(root, "a, b")])).code, 0);
  });
});
