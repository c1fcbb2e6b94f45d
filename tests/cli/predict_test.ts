/** `predict` on folders of clips and along the time of long ones, as a user calls it; half a minute. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import type { PredictionLine } from "../../train/tasks/classification.ts";
import { gpuTest } from "../_util/gpu.ts";
import { ffmpeg, hasFfmpeg } from "../_util/video_files.ts";
import { lastLine, TinyFolder } from "./_tiny.ts";

interface Line {
  path: string;
  top: { label: string; index: number; p: number }[];
  window_seconds?: number;
  stride_seconds?: number;
  seconds?: number;
  timeline?: { from: number; to: number; top: Line["top"] }[];
}

const linesOf = (stdout: string): Line[] => stdout.trimEnd().split("\n").map((line) => JSON.parse(line));

/** A folder with a run of one epoch. */
async function trainedFolder(): Promise<TinyFolder> {
  const folder = await TinyFolder.create();
  const trained = await folder.sidenet(["train", "tiny.yaml", "solver.epochs=1"]);
  assert.equal(trained.code, 0, trained.stderr);
  return folder;
}

/** Writes a folder with these frames of the validation clips, which have eight frames each, numbered from 1. */
async function joinClips(folder: TinyFolder, name: string, frames: readonly number[]): Promise<void> {
  await Deno.mkdir(folder.file(name), { recursive: true });
  const number = (n: number) => String(n).padStart(5, "0");
  for (const [i, frame] of frames.entries()) {
    const clip = number(Math.floor((frame - 1) / 8) + 1), own = `${number((frame - 1) % 8 + 1)}.jpg`;
    await Deno.copyFile(
      folder.file("data/val", clip, own),
      folder.file(name, `${number(i + 1)}.jpg`),
    );
  }
}

const range = (first: number, count: number) => Array.from({ length: count }, (_, i) => first + i);

gpuTest("a window over a folder of frames says of each place what that part says as a clip", async () => {
  await using folder = await trainedFolder();
  await joinClips(folder, "long", range(1, 60)); // 5 s at 12 frames a second
  const starts = [1, 13, 25, 37]; // windows of 2 s, one every second
  for (const first of starts) await joinClips(folder, `parts/from ${first}`, range(first, 24));
  await folder.write("parts/notes.txt", "no clip");
  await folder.write("parts/.hidden.mp4", "not looked at");
  await Deno.mkdir(folder.file("broken"));
  await folder.write(join("broken", "00001.jpg"), "no picture");
  spawnSync("mkfifo", [folder.file("parts/zpipe.mp4")]);

  const parts = await folder.sidenet(["predict", "runs/tiny", "parts", "--json"]);
  assert.equal(parts.code, Deno.build.os === "windows" ? 0 : 4, parts.stderr);
  assert.match(parts.stderr, /^note: parts: left out: 1 file that is no clip, parts\/notes.txt$/m);
  assert.match(parts.stderr, /^sidenet: Cannot predict "parts\/zpipe\.mp4": it is no regular file$/m);
  const clips = linesOf(parts.stdout);
  assert.deepEqual(clips.map(({ path }) => path), [
    "parts/from 1",
    "parts/from 13",
    "parts/from 25",
    "parts/from 37",
  ]);

  const flags = ["--window", "2", "--html", "out/page.html"];
  const json = await folder.sidenet([
    "predict",
    "runs/tiny",
    "long",
    "broken",
    "data/val/00001",
    ...flags,
    "--json",
  ]);
  assert.equal(json.code, 4, json.stderr);
  assert.match(json.stderr, /^sidenet: Cannot predict "broken": /m);
  const [long, short, ...none] = linesOf(json.stdout);
  assert.deepEqual(none, []);
  assert.deepEqual([long.path, long.window_seconds, long.stride_seconds, long.seconds], ["long", 2, 1, 5]);
  assert.deepEqual(long.timeline!.map(({ from, to }) => [from, to]), [[0, 2], [1, 3], [2, 4], [3, 5]]);
  assert.deepEqual(long.timeline!.map(({ top }) => top), clips.map(({ top }) => top)); // to the last digit
  for (const { index, p } of long.top) {
    const mean = clips.reduce((sum, { top }) => sum + top.find((one) => one.index === index)!.p / 4, 0);
    assert.ok(Math.abs(p - mean) < 1e-12);
  }
  // A clip shorter than the window is one window, and says what it says without.
  assert.deepEqual([short.seconds, short.timeline!.length], [0.667, 1]);
  assert.deepEqual(short.timeline![0].top, short.top);
  const html = await Deno.readTextFile(folder.file("out/page.html"));
  assert.match(
    html,
    /<article class="input" id="input-1"><h2>long<\/h2><p>00:05\.0 long · 4 windows of 2 s, one every 1 s/,
  );
  assert.equal(html.split("data:image/jpeg;base64,").length - 1, 12 + 8);

  const text = await folder.sidenet([
    ...["predict", "runs/tiny", "long", "--window", "4", "--fps", "1", "--stride", "20", "--top", "1"],
  ]);
  assert.equal(text.code, 0, text.stderr);
  const [head, ...rows] = text.stdout.trimEnd().split("\n");
  assert.equal(head, "long  01:00, 4 windows of 4 s, one every 20 s");
  assert.match(rows[0], /^ {2}00:00–\d\d:\d\d {2}moves (left|right) +\S+ +[\d.]+ %$/);
  assert.match(rows.at(-2)!, /–01:00 {2}moves/);
  assert.match(rows.at(-1)!, /^ {3}whole clip {2}moves/);

  // Without a window: one prediction, and a word about the windows.
  const plain = await folder.sidenet([
    "predict",
    "runs/tiny",
    "long",
    "--fps",
    "1",
    "--html",
    "plain.html",
    "--json",
  ]);
  assert.equal(plain.code, 0, plain.stderr);
  assert.deepEqual(Object.keys(linesOf(plain.stdout)[0]), ["path", "top"]);
  assert.match(
    plain.stderr,
    /^note: long: longer than 30 s and predicted at once; --window 4 gives a timeline$/m,
  );
  assert.match(await Deno.readTextFile(folder.file("plain.html")), /one prediction of the whole clip/);

  const refusals: [args: string[], code: number, line: RegExp][] = [
    [["--stride", "1"], 2, /--window must be given too/],
    [["--window", "0"], 2, /Cannot parse flag "--window": expected at least 0\.001/],
    [
      ["--html", "parts"],
      2,
      /Cannot write "parts": --html must be the name of a new file or of a page, current value is a folder/,
    ],
    [
      ["--window", "1", "--stride", "0.01"],
      4,
      /Cannot predict "long": --stride must be at least the 0\.083 s of a frame/,
    ],
  ];
  for (const [args, code, line] of refusals) {
    const refused = await folder.sidenet(["predict", "runs/tiny", "long", ...args]);
    assert.equal(refused.code, code, refused.stderr);
    assert.match(lastLine(refused), line);
    assert.equal(refused.stdout, "");
  }
});

if (hasFfmpeg) {
  gpuTest("videos: predict says what eval says in six views, and a window is cut out exactly", async () => {
    await using folder = await trainedFolder();
    await Deno.mkdir(folder.file("videos"));
    const lossless = [
      "-c:v",
      "libx264",
      "-preset",
      "ultrafast",
      "-qp",
      "0",
      "-pix_fmt",
      "yuv444p",
      "-g",
      "6",
    ];
    const names = ["00001", "00002", "00003"];
    for (const name of names) {
      await ffmpeg([
        "-i",
        folder.file("data/val", name, "%05d.jpg"),
        ...lossless,
        folder.file("videos", `${name}.mp4`),
      ]);
    }
    await folder.write("videos.txt", names.map((name, i) => `${name}.mp4 ${i % 2}\n`).join(""));
    const keys = ["val_list=videos.txt", "root=videos", "modality=video", "synth=null", "num_classes=2"];
    const flags = ["--test-crops", "3", "--test-clips", "2"], overrides = keys.map((key) => `data.${key}`);
    const evaluated = await folder.sidenet(
      ["eval", "runs/tiny", ...flags, ...overrides, "--out", "result", "--probabilities", "--json"],
    );
    assert.equal(evaluated.code, 0, evaluated.stderr);
    assert.deepEqual([JSON.parse(evaluated.stdout).clips, JSON.parse(evaluated.stdout).views], [3, 6]);
    const wanted: PredictionLine[] = (await Deno.readTextFile(folder.file("result/predictions.jsonl")))
      .trimEnd()
      .split("\n").map((line) => JSON.parse(line));
    assert.deepEqual(wanted.map(({ path }) => path), names.map((name) => `${name}.mp4`));
    for (const { top, probabilities } of wanted) {
      assert.deepEqual(
        probabilities,
        [0, 1].map((k) => Number(top.find(({ index }) => index === k)!.p.toPrecision(6))),
      );
    }
    const predicted = await folder.sidenet(["predict", "runs/tiny", "videos", ...flags, "--json"]);
    assert.equal(predicted.code, 0, predicted.stderr);
    assert.deepEqual(
      linesOf(predicted.stdout),
      wanted.map(({ path, top }) => ({ path: `videos/${path}`, top })), // to the last digit
    );

    // A long video, and its parts as videos of their own; two places of the window, the second one's frames late.
    await joinClips(folder, "long", range(1, 64));
    const at = ["-framerate", "8", "-i", folder.file("long", "%05d.jpg")];
    await ffmpeg([...at, ...lossless, folder.file("long.mp4")]);
    await ffmpeg([...at, "-frames:v", "16", ...lossless, folder.file("part1.mp4")]);
    await ffmpeg(["-start_number", "49", ...at, ...lossless, folder.file("part2.mp4")]);
    const windows = await folder.sidenet(
      ["predict", "runs/tiny", "long.mp4", "--window", "2", "--stride", "6", "--json"],
    );
    assert.equal(windows.code, 0, windows.stderr);
    const parts = await folder.sidenet(["predict", "runs/tiny", "part1.mp4", "part2.mp4", "--json"]);
    assert.equal(parts.code, 0, parts.stderr);
    const [long] = linesOf(windows.stdout);
    assert.deepEqual([long.seconds, long.stride_seconds], [8, 6]);
    assert.deepEqual(
      long.timeline,
      linesOf(parts.stdout).map(({ top }, i) => ({ from: 6 * i, to: 6 * i + 2, top })),
    );
  });
} else {
  Deno.test({ name: "predictions along a video (ffmpeg is missing)", ignore: true, fn: () => {} });
}
