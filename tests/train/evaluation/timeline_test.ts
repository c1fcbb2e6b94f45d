import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { parseFrameTemplate } from "../../../data/frames/frame_folder.ts";
import type { ScoredClip } from "../../../train/tasks/task.ts";
import { clipTimes } from "../../../train/evaluation/clip_times.ts";
import {
  formatClock,
  frameAt,
  outcomeJson,
  outcomesOf,
  recordsOf,
  segmentsOf,
  spansOf,
  windowsOf,
} from "../../../train/evaluation/timeline.ts";
import { inTempFolder, writeFrames } from "../../_util/frame_folders.ts";
import { ffmpeg, greyOf, H264, hasFfmpeg, writeVideo } from "../../_util/video_files.ts";

const even = (count: number, rate: number) => ({
  frames: Float64Array.from({ length: count }, (_, i) => i / rate),
  seconds: count / rate,
});
const places = (times: ReturnType<typeof even>, window: number, stride: number) =>
  windowsOf(times, { window, stride }).map(({ from, to, range }) => [from, to, range.first, range.count]);

Deno.test("windows follow each other by the stride, and the last one ends with the clip", () => {
  assert.deepEqual(places(even(40, 4), 4, 2), [[0, 4, 1, 16], [2, 6, 9, 16], [4, 8, 17, 16], [
    6,
    10,
    25,
    16,
  ]]);
  // 11 s: the last window would start at 8 s and starts at 7 s.
  assert.deepEqual(places(even(44, 4), 4, 4), [[0, 4, 1, 16], [4, 8, 17, 16], [7, 11, 29, 16]]);
  // Less than half a frame is no window of its own.
  assert.deepEqual(places({ ...even(40, 4), seconds: 10.01 }, 5, 5).map(([from]) => from), [0, 5.01]);
  // Places apart, as the user wishes.
  assert.deepEqual(places(even(40, 4), 1, 6), [[0, 1, 1, 4], [6, 7, 25, 4], [9, 10, 37, 4]]);
});

Deno.test("a clip shorter than the window is one window", () => {
  assert.deepEqual(places(even(5, 4), 4, 2), [[0, 1.25, 1, 5]]);
  assert.deepEqual(places(even(16, 4), 4, 2), [[0, 4, 1, 16]]);
  assert.deepEqual(places(even(1, 4), 1, 0.01), [[0, 0.25, 1, 1]]);
});

Deno.test("frames at uneven times fall into the windows they start in; where none does, the one that stands is taken", () => {
  const times = { frames: Float64Array.of(0, 0.1, 0.2, 5, 5.5), seconds: 6 };
  assert.deepEqual(places(times, 2, 2), [[0, 2, 1, 3], [2, 4, 3, 1], [4, 6, 4, 2]]);
  assert.deepEqual([0, 0.1, 4.99, 5, 100].map((at) => frameAt(times, at)), [0, 1, 2, 3, 4]);
});

Deno.test("a stride below a frame is refused", () => {
  assert.throws(
    () => windowsOf(even(100, 4), { window: 4, stride: 0.1 }),
    /--stride must be at least the 0\.25 s of a frame, current value is 0\.1/,
  );
  assert.throws(
    () => windowsOf(even(100, 4), { window: 0.3, stride: 0.15 }),
    /--window must be at least 0\.5 s, twice that of a frame, unless --stride is given, current value is 0\.3/,
  );
});

Deno.test("the stride may be as short as the nearest frames are apart, however far the others are", () => {
  const times = { frames: Float64Array.of(0, 0.1, 0.2, 0.3, 4), seconds: 5 };
  assert.equal(places(times, 0.4, 0.1).length, 47);
  assert.throws(() => places(times, 0.4, 0.05), /at least the 0\.1 s of a frame, current value is 0\.05/);
});

Deno.test("windows of any length cover a clip, with frames that are there", () => {
  const milliseconds = fc.integer({ min: 10, max: 3000 });
  fc.assert(fc.property(
    fc.array(milliseconds, { minLength: 1, maxLength: 60 }),
    fc.integer({ min: 50, max: 20_000 }),
    fc.integer({ min: 1, max: 10 }),
    (gaps, windowMs, tenths) => {
      let end = 0;
      const frames = Float64Array.from(gaps, (gap) => ((end += gap) - gap) / 1000);
      const seconds = end / 1000, window = windowMs / 1000;
      const least = Math.min(seconds / gaps.length, ...gaps.slice(0, -1).map((gap) => gap / 1000));
      const stride = Math.max(window * tenths / 10, least);
      const windows = windowsOf({ frames, seconds }, { window, stride });
      assert.deepEqual([windows[0].from, windows.at(-1)!.to], [0, seconds]);
      for (const [i, { from, to, range: { first, count } }] of windows.entries()) {
        assert.ok(count >= 1 && first >= 1 && first + count - 1 <= gaps.length);
        const length = to - from;
        if (windows.length === 1) assert.ok(length <= window + least / 2 + 1e-9);
        else assert.ok(Math.abs(length - window) < 1e-9);
        if (i > 0) {
          const step = from - windows[i - 1].from;
          assert.ok(step > least / 2 - 1e-9 && step < stride + least / 2 + 1e-9);
        }
        const own = Array.from({ length: count }, (_, k) => frames[first - 1 + k]);
        const starts = [...frames].filter((at) => at >= from - 1e-6 && at < to - 1e-6);
        if (starts.length > 0) assert.deepEqual(own, starts);
        else assert.ok(count === 1 && own[0] < from);
      }
      const spans = spansOf(windows);
      assert.deepEqual([spans[0][0], spans.at(-1)![1]], [0, seconds]);
      for (const [i, [from, to]] of spans.entries()) {
        assert.ok(from <= to);
        if (i > 0 && stride <= window) assert.ok(Math.abs(from - spans[i - 1][1]) < least / 2 + 1e-9);
      }
    },
  ));
});

const at = (from: number, to: number, probabilities: number[] | null) => ({
  from,
  to,
  range: { first: 1, count: 1 },
  probabilities: probabilities && Float64Array.from(probabilities),
});

Deno.test("neighbouring windows with one best class are a segment, split between middles, with the mean probability", () => {
  const windows = [
    at(0, 4, [0.5, 0.5]), // the first of equals
    at(2, 6, [0.75, 0.25]),
    at(4, 8, [0.25, 0.75]),
    at(6, 10, null),
    at(8, 12, [0.25, 0.75]),
    at(9, 13, [0, 1]),
  ];
  assert.deepEqual(segmentsOf(windows), [
    { from: 0, to: 5, index: 0, p: 0.625 },
    { from: 5, to: 7, index: 1, p: 0.75 },
    { from: 9, to: 13, index: 1, p: 0.875 },
  ]);
});

function scored(path: string, probabilities: number[], problems: string[] = [], bad = false): ScoredClip {
  return {
    index: 0,
    path,
    label: 0,
    frameCount: 8,
    views: [{ probabilities: Float32Array.from(probabilities) }],
    problems: problems.map((problem) => ({ path, problem })),
    bad,
  };
}

/** Says what the network gives, as it is. */
const TASK = {
  read: ([{ probabilities }]: ScoredClip["views"]) =>
    Float64Array.from(probabilities, (p) => Number(p.toFixed(6))),
  shares: (probabilities: Float64Array) => probabilities,
};

async function* each<T>(items: readonly T[]): AsyncGenerator<T> {
  for (const item of items) yield await Promise.resolve(item);
}

Deno.test("scores are put together by input: means over readable windows, problems told once", async () => {
  const windows = windowsOf(even(12, 4), { window: 1, stride: 1 });
  const inputs = [{ path: "a", windows: null }, { path: "b", windows }, {
    path: "c",
    windows: windows.slice(0, 1),
  }];
  assert.deepEqual(recordsOf(inputs).map(({ path, range }) => [path, range?.first]), [
    ["a", undefined],
    ["b", 1],
    ["b", 5],
    ["b", 9],
    ["c", 1],
  ]);
  const outcomes = await Array.fromAsync(outcomesOf(
    each([
      scored("a", [0.9, 0.1]),
      scored("b", [0.5, 0.5], ["frame 4"]),
      scored("b", [0.25, 0.75], ["frame 4", "frame 5"]),
      scored("b", [1, 0], ["black"], true),
      scored("c", [0.5, 0.5], ["black"], true),
    ]),
    inputs,
    TASK,
  ));
  assert.deepEqual(outcomes.map(({ path, bad }) => [path, bad]), [["a", false], ["b", false], ["c", true]]);
  assert.deepEqual([...outcomes[1].probabilities], [0.375, 0.625]);
  assert.deepEqual(outcomes[1].problems.map(({ problem }) => problem), ["frame 4", "frame 5", "black"]);
  const options = { labels: ["x", "y"], top: 1, length: { window: 1, stride: 1 }, seconds: 3.00004 };
  assert.deepEqual(outcomeJson(outcomes[0], options), { path: "a", top: [{ label: "x", index: 0, p: 0.9 }] });
  assert.deepEqual(outcomeJson(outcomes[1], options), {
    path: "b",
    top: [{ label: "y", index: 1, p: 0.625 }],
    window_seconds: 1,
    stride_seconds: 1,
    seconds: 3,
    timeline: [
      { from: 0, to: 1, top: [{ label: "x", index: 0, p: 0.5 }] },
      { from: 1, to: 2, top: [{ label: "y", index: 1, p: 0.75 }] },
      { from: 2, to: 3, top: [] },
    ],
  });
});

Deno.test("places in a video are told in minutes and seconds, with hours where there are some", () => {
  assert.deepEqual(
    [formatClock(0), formatClock(65.4), formatClock(3725), formatClock(59.96, 1), formatClock(3.44, 1)],
    ["00:00", "01:05", "1:02:05", "01:00.0", "00:03.4"],
  );
});

Deno.test("a folder's frames are 12 a second unless the user says otherwise", () =>
  inTempFolder(async (root) => {
    const template = parseFrameTemplate("{:05d}.jpg");
    await writeFrames(join(root, "a"), { frames: 6, shade: 9 });
    const plain = await clipTimes(join(root, "a"), { template });
    assert.deepEqual([plain.seconds, plain.frames.length, plain.frames[3]], [0.5, 6, 0.25]);
    assert.equal((await clipTimes(join(root, "a"), { template, frameRate: 2 })).seconds, 3);
    await assert.rejects(clipTimes(root, { template }), /it holds no frames/);
    await assert.rejects(clipTimes(join(root, "nowhere"), { template }));
  }));

Deno.test({
  name: "a video's frames come when its file says, at an even rate or not",
  ignore: !hasFfmpeg,
  fn: () =>
    inTempFolder(async (root) => {
      const template = parseFrameTemplate("{:05d}.jpg");
      const file = join(root, "even.mp4"), uneven = join(root, "uneven.mkv"), still = join(root, "still.gif");
      await writeVideo(file, { frames: 12, width: 16, height: 16, pixel: greyOf });
      const times = await clipTimes(file, { template, frameRate: 3 }); // a video tells its own
      assert.ok(Math.abs(times.seconds - 0.5) < 1e-3, `${times.seconds}`);
      times.frames.forEach((time, i) => assert.ok(Math.abs(time - i / 24) < 1e-3));
      // Every other second of the pictures is shown five times as long.
      const slow = "setpts='if(gte(N,6),6+5*(N-6),N)/24/TB'";
      await ffmpeg(["-i", file, "-vf", slow, "-fps_mode", "vfr", ...H264, uneven]);
      const own = await clipTimes(uneven, { template });
      const expected = Array.from({ length: 12 }, (_, i) => (i < 6 ? i : 6 + 5 * (i - 6)) / 24);
      assert.equal(own.frames.length, 12);
      own.frames.forEach((time, i) => assert.ok(Math.abs(time - expected[i]) < 2e-3, `${own.frames}`));
      assert.ok(own.seconds > expected[11]);
      await ffmpeg(["-i", file, "-frames:v", "1", still]);
      assert.equal((await clipTimes(still, { template })).frames.length, 1);
    }),
});

Deno.test({
  name: "windows of a video at uneven times hold the frames that start in them, whatever the codec",
  ignore: !hasFfmpeg,
  async fn() {
    const template = parseFrameTemplate("{:05d}.jpg");
    const ranges = await Promise.all(["vfr8.webm", "vfr9.webm"].map(async (name) => {
      const path = fileURLToPath(new URL(`../../fixtures/reports/vfr_times/${name}`, import.meta.url));
      const times = await clipTimes(path, { template });
      assert.ok(Math.abs(times.frames[14] - 1.4) < 1e-9);
      return windowsOf(times, { window: 2, stride: 1 }).map(({ range }) => range);
    }));
    assert.deepEqual(ranges[0].slice(0, 3), [{ first: 1, count: 20 }, { first: 11, count: 11 }, {
      first: 21,
      count: 2,
    }]);
    assert.deepEqual(ranges[0], ranges[1]);
  },
});
