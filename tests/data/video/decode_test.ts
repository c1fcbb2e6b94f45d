/** Video files: made by ffmpeg itself, read back frame by frame, broken in every way that data sets are. */
import assert from "node:assert/strict";
import { copyFile, mkdir, readFile, truncate, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { decodeFrames, decodeVideoClip, probeVideo } from "../../../data/video/decode.ts";
import { type ClipBatch, createClipLoader } from "../../../data/loader.ts";
import { windowIndices } from "../../../data/sampling/frame_indices.ts";
import { inTempFolder } from "../../_util/frame_folders.ts";
import { ffmpeg, greyOf, H264, hasFfmpeg, writeVideo } from "../../_util/video_files.ts";

/** A test that needs ffmpeg and a folder for its files. */
function videoTest(name: string, work: (root: string) => Promise<void>): void {
  Deno.test({ name, ignore: !hasFfmpeg, fn: () => inTempFolder(work) });
}

const FRAMES = 40;
const GREY = { frames: FRAMES, width: 32, height: 16, pixel: greyOf };

/** Frame numbers, from 0, that the grey levels of decoded frames tell. Levels are 5 apart; H.264 may be off by 1. */
function numbersOf(rgb: Uint8Array, frameBytes: number): number[] {
  return Array.from({ length: rgb.length / frameBytes }, (_, i) => {
    const frame = rgb.subarray(i * frameBytes, (i + 1) * frameBytes);
    const number = Math.max(0, Math.round((frame[0] - 20) / 5));
    assert.ok(frame.every((value) => Math.abs(value - greyOf(number)[0]) <= 1), `frame ${i} is not plain`);
    return number;
  });
}

videoTest(
  "exactly the frames asked for are decoded, whatever the codec's order of pictures",
  async (root) => {
    const file = join(root, "a.mp4");
    await writeVideo(file, GREY);
    assert.deepEqual(await probeVideo(file), {
      frames: FRAMES,
      width: 32,
      height: 16,
      rotation: 0,
      seconds: FRAMES / 24,
      rate: 24,
      complaint: null,
    });
    for (const wanted of [[0], [39], [3, 4, 5, 17, 38, 39], [1, 12, 13, 24], [...Array(FRAMES).keys()]]) {
      const { rgb, count, complaint } = await decodeFrames(file, wanted);
      assert.deepEqual([count, complaint], [wanted.length, null]);
      assert.deepEqual(numbersOf(rgb, 32 * 16 * 3), wanted);
    }
    // Numbers from 1, in any order, repeated.
    const clip = await decodeVideoClip({ file, path: "a.mp4", indices: [7, 1, 7, 40] });
    assert.deepEqual(numbersOf(clip.frames, 32 * 16 * 3), [6, 0, 6, 39]);
    assert.deepEqual([clip.substitutions, clip.bad], [[], false]);
  },
);

videoTest("a file that changed is asked again, also where it is as large as before", async (root) => {
  const file = join(root, "a.mp4");
  await writeVideo(file, GREY);
  assert.equal((await probeVideo(file)).frames, FRAMES);
  await writeFile(file, new Uint8Array((await readFile(file)).length));
  await utimes(file, 5, 5);
  await assert.rejects(probeVideo(file));
});

videoTest("hundreds of separate frames are decoded at once", async (root) => {
  const file = join(root, "long.mp4");
  await writeVideo(file, { ...GREY, frames: 700, pixel: (frame) => greyOf(frame % FRAMES) });
  const wanted = Array.from({ length: 233 }, (_, i) => 3 * i);
  const { rgb, complaint } = await decodeFrames(file, wanted);
  assert.equal(complaint, null);
  assert.deepEqual(numbersOf(rgb, 32 * 16 * 3), wanted.map((frame) => frame % FRAMES));
});

for (
  const [name, encoding] of [
    ["x.webm", ["-c:v", "libvpx", "-b:v", "2M", "-auto-alt-ref", "1", "-lag-in-frames", "10"]],
    ["x.avi", ["-c:v", "mpeg4", "-bf", "2", "-q:v", "1"]],
    ["x.mkv", ["-c:v", "libx264", "-qp", "4", "-pix_fmt", "yuv444p10le"]],
    ["x.mov", ["-c:v", "mjpeg", "-q:v", "1", "-pix_fmt", "yuvj422p"]],
  ] as const
) {
  videoTest(`the frames of ${name} are counted and found as its decoder delivers them`, async (root) => {
    const file = join(root, name);
    await writeVideo(file, { ...GREY, encoding });
    assert.equal((await probeVideo(file)).frames, FRAMES);
    const wanted = [0, 9, 10, 25, 39];
    const { rgb, count } = await decodeFrames(file, wanted);
    assert.equal(count, wanted.length);
    const levels = wanted.map((_, i) => rgb[i * 32 * 16 * 3 + 700]);
    levels.forEach((level, i) => assert.ok(Math.abs(level - greyOf(wanted[i])[0]) <= 2, `${levels}`));
  });
}

videoTest("a rotated video has the size and the corners that a player shows", async (root) => {
  const flat = join(root, "flat.mp4"), turned = join(root, "turned.mp4");
  // The left half is bright.
  await writeVideo(flat, { ...GREY, frames: 4, pixel: (_, x) => x < 16 ? [230, 230, 230] : [20, 20, 20] });
  // The matrix of the track header (ISO 14496-12 §8.3.2): right becomes down, a quarter turn clockwise.
  const bytes = await readFile(flat), view = new DataView(bytes.buffer, bytes.byteOffset);
  const matrix = bytes.indexOf("tkhd") + 4 + 40;
  assert.equal(view.getInt32(matrix), 0x10000);
  [0, 0x10000, 0, -0x10000, 0].forEach((value, i) => view.setInt32(matrix + 4 * i, value));
  await writeFile(turned, bytes);
  const info = await probeVideo(turned);
  assert.deepEqual([info.width, info.height, info.rotation], [16, 32, -90]);
  const { rgb, width, height } = await decodeFrames(turned, [2]);
  assert.deepEqual([width, height, rgb.length], [16, 32, 16 * 32 * 3]);
  const row = (y: number) => rgb[(y * 16 + 8) * 3];
  assert.ok(row(2) > 200 && row(29) < 50, `${row(2)} above, ${row(29)} below`);
});

videoTest("odd sizes are decoded without padding", async (root) => {
  const file = join(root, "odd.mp4");
  const encoding = ["-c:v", "libx264", "-qp", "4", "-pix_fmt", "yuv444p"];
  await writeVideo(file, { ...GREY, frames: 6, width: 33, height: 17, encoding });
  const { rgb, width, height } = await decodeFrames(file, [1, 5]);
  assert.deepEqual([width, height], [33, 17]);
  assert.deepEqual(numbersOf(rgb, 33 * 17 * 3), [1, 5]);
});

videoTest("frames that an edit list hides are neither counted nor delivered", async (root) => {
  const whole = join(root, "whole.mp4"), cut = join(root, "cut.mp4");
  await writeVideo(whole, GREY);
  await ffmpeg(["-ss", "0.75", "-i", whole, "-c", "copy", cut]); // frame 18, after the key frame 12
  const { frames } = await probeVideo(cut);
  const { rgb, count } = await decodeFrames(cut, Array.from({ length: frames }, (_, i) => i));
  assert.equal(count, frames);
  assert.deepEqual(
    numbersOf(rgb, 32 * 16 * 3),
    Array.from({ length: frames }, (_, i) => i + FRAMES - frames),
  );
});

videoTest("a broken file makes a bad clip with the reason, and nothing waits for it", async (root) => {
  const good = join(root, "good.mp4");
  await writeVideo(good, GREY);
  const bytes = await readFile(good);
  await writeFile(join(root, "empty.mp4"), "");
  await writeFile(join(root, "half.mp4"), bytes.subarray(0, bytes.length / 2)); // its index was at the end
  await writeFile(join(root, "text.mp4"), "no video\n".repeat(100));
  await mkdir(join(root, "folder.mp4"));
  await ffmpeg(["-f", "lavfi", "-i", "sine=duration=0.2", "-c:a", "aac", join(root, "sound.mp4")]);
  const { success } = await new Deno.Command("mkfifo", { args: [join(root, "pipe.mp4")] }).output();
  assert.ok(success);
  const cases: [string, RegExp][] = [
    ["missing.mp4", /^it does not exist$/],
    ["empty.mp4", /^the file is empty$/],
    ["half.mp4", /^it cannot be read: (moov atom not found|Invalid data)/],
    ["text.mp4", /^it cannot be read: Invalid data/],
    ["folder.mp4", /^it is a folder$/],
    ["sound.mp4", /^it has no video stream$/],
    ["pipe.mp4", /^it is no regular file$/],
  ];
  for (const [path, reason] of cases) {
    const { bad, substitutions } = await decodeVideoClip({ file: join(root, path), path, indices: [1] });
    assert.ok(bad, path);
    assert.deepEqual(substitutions.map(({ frame, used }) => [frame, used]), [[0, "black"]]);
    assert.match(substitutions[0].reason, reason);
  }
});

videoTest("a video that is cut short gives what it has, and says so", async (root) => {
  const file = join(root, "short.mp4");
  const pixel = (frame: number, x: number, y: number) => {
    const value = (frame * 37 + x * 91 + y * y * 53) % 256; // hard to compress: the cut takes whole frames away
    return [value, value, value] as const;
  };
  await writeVideo(file, { ...GREY, pixel, encoding: [...H264, "-movflags", "+faststart"] });
  const whole = await readFile(file);
  await truncate(file, Math.floor(whole.length * 0.6));
  const { frames, complaint } = await probeVideo(file);
  assert.ok(frames > 5 && frames < 35, `${frames} frames`);
  assert.match(complaint ?? "", /partial file/);
  const clip = await decodeVideoClip({ file, path: "short.mp4", indices: [1, 2, FRAMES] });
  assert.equal(clip.bad, false);
  assert.deepEqual(clip.substitutions.map(({ frame, used }) => [frame, used]), [[0, "concealed"], [
    FRAMES,
    2,
  ]]);
  const bytes = 32 * 16 * 3;
  assert.deepEqual(clip.frames.subarray(2 * bytes), clip.frames.subarray(bytes, 2 * bytes));
});

videoTest("a program that takes too long is killed, and an abort ends it", async (root) => {
  const file = join(root, "a.mp4");
  await writeVideo(file, GREY);
  await assert.rejects(probeVideo(file, { timeoutMs: 1 }), /ffprobe did not end within 0.001 s/);
  await probeVideo(file);
  await assert.rejects(decodeFrames(file, [1], { timeoutMs: 1 }), /ffmpeg did not end within 0.001 s/);
  const leaving = new AbortController(), reason = new Error("left");
  const decoding = decodeVideoClip({ file, path: "a.mp4", indices: [1] }, { signal: leaving.signal });
  leaving.abort(reason);
  await assert.rejects(decoding, (error) => error === reason);
});

videoTest("without ffprobe there is one error that says how to get it", async (root) => {
  const file = join(root, "b.mp4"), path = Deno.env.get("PATH")!;
  await writeVideo(file, GREY);
  Deno.env.set("PATH", root);
  try {
    const expected =
      /^ConfigError: Cannot read videos: ffprobe must be on the PATH, .* apt-get install --no-install-recommends ffmpeg$/;
    await assert.rejects(probeVideo(file), expected);
    const clips = [{ path: "b.mp4", label: 0, frames: null, line: 1 }];
    await using loader = createClipLoader({ ...loaderOptions(root), clips });
    await assert.rejects(Array.fromAsync(loader.epoch([{ clip: 0, epoch: 0, repeat: 1 }], 1)), expected);
  } finally {
    Deno.env.set("PATH", path);
  }
});

function loaderOptions(root: string) {
  return { root, modality: "video", template: "{:05d}.jpg", sampler: everyThird, seed: 5 } as const;
}

function everyThird(frames: number): number[] {
  return Array.from({ length: Math.ceil(frames / 3) }, (_, i) => 3 * i + 1);
}

videoTest(
  "a loader of videos gives the same clips with any number of workers, bad ones named",
  async (root) => {
    for (let i = 0; i < 4; i++) {
      await writeVideo(join(root, `${i}.mp4`), { ...GREY, frames: 10 + i });
    }
    await writeFile(join(root, "4.mp4"), "");
    const clips = Array.from(
      { length: 5 },
      (_, i) => ({ path: `${i}.mp4`, label: i, frames: null, line: i + 1 }),
    );
    const order = (epoch: number) => [3, 4, 0, 2, 1].map((clip) => ({ clip, epoch, repeat: 1 }));
    const facts = (batches: ClipBatch[]) => batches.flatMap(({ clips }) => clips);
    const results = [];
    for (const [workers, cacheBytes] of [[1, 0], [3, 0], [2, 2 ** 20]]) {
      await using loader = createClipLoader({ ...loaderOptions(root), clips, workers, cacheBytes });
      const first = facts(await Array.fromAsync(loader.epoch(order(0), 2)));
      assert.deepEqual(facts(await Array.fromAsync(loader.epoch(order(0), 2))), first);
      assert.equal(loader.stats().badClips, 2);
      assert.equal(loader.stats().cacheHits, cacheBytes > 0 ? 4 : 0);
      results.push(first);
    }
    assert.deepEqual(results[1], results[0]);
    assert.deepEqual(results[2], results[0]);
    const [longest, empty] = results[0];
    assert.deepEqual(longest.frameIndices, [1, 4, 7, 10, 13]);
    assert.deepEqual(numbersOf(longest.frames, 32 * 16 * 3), [0, 3, 6, 9, 12]);
    assert.deepEqual([empty.bad, empty.substitutions[0].reason], [true, "the file is empty"]);
  },
);

videoTest("leaving an epoch of videos early ends the programs", async (root) => {
  await writeVideo(join(root, "0.mp4"), GREY);
  for (let i = 1; i < 8; i++) await copyFile(join(root, "0.mp4"), join(root, `${i}.mp4`));
  const clips = Array.from(
    { length: 8 },
    (_, i) => ({ path: `${i}.mp4`, label: 0, frames: null, line: i + 1 }),
  );
  await using loader = createClipLoader({ ...loaderOptions(root), clips, workers: 2 });
  const order = clips.map((_, clip) => ({ clip, epoch: 0, repeat: 1 }));
  for await (const { clips } of loader.epoch(order, 1)) { // what is left running, the test's sanitizers find
    assert.equal(clips.length, 1);
    break;
  }
  assert.equal((await Array.fromAsync(loader.epoch(order, 8)))[0].clips.filter(({ bad }) => !bad).length, 8);
});

videoTest("the windows of a video wrap before its first frame or stay at it", async (root) => {
  await writeVideo(join(root, "0.mp4"), { ...GREY, frames: 10 });
  const clips = [{ path: "0.mp4", label: 0, frames: null, line: 1 }];
  for (const [edge, expected] of [["wrap", [8, 9, 0, 1, 2]], ["clamp", [0, 0, 0, 1, 2]]] as const) {
    const sampler = (frames: number) => windowIndices([1, 10], frames, { size: 5, edge });
    await using loader = createClipLoader({ ...loaderOptions(root), clips, sampler });
    const [batch] = await Array.fromAsync(loader.epoch([{ clip: 0, epoch: 0, repeat: 1 }], 1));
    assert.deepEqual(numbersOf(batch.clips[0].frames, 32 * 16 * 3), [...expected, 7, 8, 9, 9, 9]);
  }
});
