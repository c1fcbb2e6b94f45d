/** `train FOLDER`: from class folders to a run that can be resumed, evaluated and asked for predictions. */
import assert from "node:assert/strict";
import { mkdir, rename, symlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import * as train from "../../cli/train.ts";
import { ConfigError } from "../../lib/errors.ts";
import { writeFrames } from "../_util/frame_folders.ts";
import { gpuTest } from "../_util/gpu.ts";
import { runVerb } from "../_util/run_verb.ts";
import { hasFfmpeg, writeVideo } from "../_util/video_files.ts";
import { TinyFolder } from "./_tiny.ts";

const FRAMES = 9, SIZE = 20;

/** Clips of two classes, alternately folders of frames and (with ffmpeg) videos, and some that cannot be used. */
async function writeSet(folder: TinyFolder): Promise<void> {
  for (const [k, name] of ["go left", "räume auf"].entries()) {
    for (let i = 0; i < 5; i++) {
      const path = folder.file("my clips", name, `clip ${i}`);
      if (i % 2 === 1 && hasFfmpeg) {
        await mkdir(dirname(path), { recursive: true });
        const pixel = (frame: number) => [50 * i, 100 * k, 20 * frame] as const;
        await writeVideo(`${path}.mp4`, { frames: FRAMES, width: SIZE, height: SIZE, pixel });
      } else {
        await writeFrames(path, { frames: FRAMES, shade: 50 * i + k, width: SIZE, height: SIZE });
      }
    }
  }
  await folder.write("my clips/go left/zero.mp4", "");
  await folder.write("my clips/go left/.hidden.mp4", "x");
  await mkdir(folder.file("my clips", "bare"));
  await symlink(folder.file("my clips", "go left", "clip 0"), folder.file("my clips", "räume auf", "linked"));
}

gpuTest("train on a folder of class folders, then resume, eval and predict from any folder", async () => {
  await using folder = await TinyFolder.create();
  await writeSet(folder);
  const keys = ["solver.epochs=2", "data.batch_size=40", "data.val_share=0.2"];
  const trained = await folder.sidenet([
    "train",
    "tiny.yaml",
    "my clips",
    "name=my run",
    "solver.max_steps=1",
    ...keys,
  ]);
  assert.equal(trained.code, 0, trained.stderr);
  const said = trained.stderr.split("\n");
  for (
    const line of [
      "left out: bare: the class has no folder of frames and no video file",
      "left out: go left/zero.mp4: the file is empty",
      "my clips: 2 classes, 9 clips for training and 2 for validation",
      'warning: folders without a usable clip are no classes: "bare"',
      "warning: data.batch_size is lowered from 40 to 9: there are 9 training clips",
      "run folder: runs/my run",
    ]
  ) assert.ok(said.includes(line), `${line}\n${trained.stderr}`);
  const run = folder.file("runs", "my run");
  assert.equal(await Deno.readTextFile(join(run, "labels.csv")), "id,name\n0,go left\n1,räume auf\n");
  const lists = await Deno.readTextFile(join(run, "train.txt")) +
    await Deno.readTextFile(join(run, "val.txt"));
  const extension = hasFfmpeg ? ".mp4" : "";
  const expected = ["go left", "räume auf"].flatMap((name, k) => [
    ...[0, 1, 2, 3, 4].map((i) => `"${name}/clip ${i}${i % 2 === 1 ? extension : ""}" ${k}`),
    ...k === 1 ? [`"${name}/linked" 1`] : [],
  ]);
  assert.deepEqual(lists.trimEnd().split("\n").sort(), expected.sort());
  assert.deepEqual((await folder.json<{ broken: unknown[] }>("runs/my run/summary.json")).broken, []);

  // The run finds its data from any working folder, and its lists wherever it was moved to.
  const moved = folder.file("kept", "moved");
  await mkdir(dirname(moved));
  await rename(run, moved);
  for (const model of [moved, join(moved, "last.safetensors")]) {
    const elsewhere = await folder.sidenet(["eval", model, "--json"], { cwd: "/" });
    assert.equal(elsewhere.code, 0, elsewhere.stderr);
    assert.equal(JSON.parse(elsewhere.stdout).clips, 2);
  }
  const resumed = await folder.sidenet(["train", "--resume", moved, "solver.max_steps=2"], { cwd: "/" });
  assert.equal(resumed.code, 0, resumed.stderr);
  assert.match(resumed.stdout, /after 2 steps/);
  const path = `my clips/go left/clip 1${extension}`;
  const predicted = await folder.sidenet(["predict", moved, path, "--json"]);
  assert.equal(predicted.code, 0, predicted.stderr);
  assert.deepEqual(
    JSON.parse(predicted.stdout).top.map(({ label }: { label: string }) => label).sort(),
    ["go left", "räume auf"],
  );
});

Deno.test("train --plan-only on a folder needs no recipe and leaves nothing behind", async () => {
  await using folder = await TinyFolder.create();
  await writeSet(folder);
  const keys = [
    "network.backbone={image_size: 16, patch_size: 8, width: 32, layers: 1, heads: 1}",
    "network.side_dim=64",
  ];
  const args = ["--plan-only", folder.file("my clips"), `run_root=${folder.file("runs")}`, ...keys, "--json"];
  const { code, stdout, stderr } = await runVerb(train, args);
  assert.equal(code, 0);
  assert.ok(JSON.parse(stdout).gpu_bytes > 0);
  assert.match(stderr, /warning: the frozen backbone has random weights/);
  await assert.rejects(Deno.stat(folder.file("runs")), Deno.errors.NotFound);
});

Deno.test("train refuses two folders, a folder beside --resume, and a run in place of a folder", async () => {
  await using folder = await TinyFolder.create();
  for (const name of ["a", "b", "run"]) await mkdir(folder.file(name));
  await rename(folder.file("tiny.yaml"), folder.file("run", "config.yaml"));
  const [a, b, run] = ["a", "b", "run"].map((name) => folder.file(name));
  for (
    const [args, message] of [
      [[a, b], /there must be one folder, current count is 2/],
      [["--resume", run, a], /CONFIG and FOLDER must be left out$/],
      [[run], /this is a run; go on with --resume .*run$/],
    ] as const
  ) {
    await assert.rejects(
      runVerb(train, [...args]),
      (error) => error instanceof ConfigError && message.test(error.message),
      basename(args[0]),
    );
  }
});
