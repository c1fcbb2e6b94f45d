/** DiST's frame indices: all recorded ones, the published check values, and the rules on other lengths. */
import assert from "node:assert/strict";
import {
  type SpreadSampling,
  spreadTestIndices,
  spreadTrainIndices,
  spreadValidationIndices,
} from "../../../data/sampling/spread_indices.ts";
import { createPrng } from "../../../lib/random.ts";
import {
  RECORDED_COUNT,
  type RecordedSample,
  recordedSamples,
  replayUniform,
} from "../../_util/recorded_samples.ts";

interface Row extends RecordedSample {
  num_frames: number;
  /** Test view, from 0; −1: validation. */
  clip?: number;
  clips?: number;
  fps?: number;
  target_fps?: number;
  sampling_rate?: number;
}

const rows = recordedSamples<Row>("dist");

function samplingOf(row: Row): SpreadSampling {
  const segments = row.num_frames;
  if (row.mode.startsWith("segment")) return { rule: "segment", segments };
  const { sampling_rate: samplingRate, target_fps: targetFps, fps } = row as Required<Row>;
  return { rule: "interval", segments, samplingRate, targetFps, fps };
}

const COUNTS = {
  "segment train": 14,
  "segment val": 96,
  "segment test": 384,
  "interval train": 14,
  "interval test": 864,
};

for (const [mode, count] of Object.entries(COUNTS)) {
  Deno.test(`DiST's frame indices equal the recorded ones: ${mode}`, () => {
    const cases = rows.filter((row) => row.mode === mode);
    assert.equal(cases.length, count);
    for (const row of cases) {
      const { frames, clip, clips, indices, draws } = row, options = samplingOf(row);
      const source = replayUniform(draws);
      const current = draws
        ? spreadTrainIndices(frames, options, source)
        : clip === -1
        ? spreadValidationIndices(frames, { ...options, testClips: clips })
        : spreadTestIndices(frames, { ...options, clips: clips! })[clip!];
      assert.deepEqual(current.map((index) => index - 1), indices, JSON.stringify({ ...row, indices: [] }));
      assert.equal(source.left(), 0, "every recorded draw is used");
    }
  });
}

Deno.test("every recorded case of every system is checked by some test", () => {
  assert.equal(rows.length, Object.values(COUNTS).reduce((a, b) => a + b, 0));
  const others = (["side4video", "tds-clip", "side4video-retrieval"] as const).map((s) =>
    recordedSamples(s).length
  );
  assert.equal(others.reduce((a, b) => a + b, rows.length), RECORDED_COUNT);
  assert.equal(RECORDED_COUNT, 3060);
});

Deno.test("the published check values of 16 frames of 100 hold", () => {
  const options = { rule: "segment", segments: 16 } as const;
  const from0 = (indices: number[]) => indices.map((index) => index - 1).join(" ");
  assert.equal(from0(spreadValidationIndices(100, options)), "3 9 16 22 28 34 41 47 53 59 66 72 78 84 91 97");
  assert.deepEqual(spreadTestIndices(100, { ...options, clips: 3 }).map(from0), [
    "2 8 15 21 27 33 40 46 52 58 65 71 77 83 90 96",
    "4 10 17 23 29 35 42 48 54 60 67 73 79 85 92 98",
    "6 12 19 25 31 38 44 50 56 62 69 75 81 88 94 99",
  ]);
  assert.deepEqual(spreadTestIndices(100, { ...options, clips: 1 }), [spreadValidationIndices(100, options)]);
});

Deno.test("drawn frames lie each in its own segment, whatever the length", () => {
  for (let frames = 1; frames <= 90; frames += 1) {
    for (const segments of [4, 16]) {
      const indices = spreadTrainIndices(frames, { rule: "segment", segments }, createPrng(frames, segments));
      assert.equal(indices.length, segments);
      indices.forEach((index, i) => {
        const low = i * frames / segments, high = (i + 1) * frames / segments, position = index - 1;
        assert.ok(
          position >= Math.min(Math.floor(low), frames - 1) &&
            position <= Math.min(Math.ceil(high), frames - 1),
        );
      });
    }
  }
});

Deno.test("an interval keeps the duration of its frames, and ends a step earlier when told", () => {
  const options = { rule: "interval", segments: 8, samplingRate: 4, targetFps: 30, fps: 30 } as const;
  assert.deepEqual(spreadValidationIndices(300, options), [135, 139, 143, 148, 152, 157, 161, 166]);
  // 8 frames, 4 apart: from 134 to 162, of the 32 frames of the interval.
  assert.deepEqual(
    spreadValidationIndices(300, { ...options, minusInterval: true }),
    [135, 139, 143, 147, 151, 155, 159, 163],
  );
  assert.deepEqual(spreadValidationIndices(300, { ...options, fps: 15, minusInterval: true }).slice(0, 2), [
    143,
    144,
  ]);
  for (const frames of [1, 5, 31]) {
    for (const view of spreadTestIndices(frames, { ...options, clips: 3 })) {
      assert.ok(view.every((index) => index >= 1 && index <= frames), `${frames}: ${view}`);
    }
  }
});

Deno.test("impossible options and empty videos are refused", () => {
  assert.throws(
    () => spreadValidationIndices(9, { rule: "segment", segments: 0 }),
    /^ConfigError: Cannot sample frames: frames a clip must be at least 1, current value is 0$/,
  );
  assert.throws(
    () => spreadTestIndices(9, { rule: "segment", segments: 4, clips: 0 }),
    /^ConfigError: Cannot sample test clips: their number must be at least 1, current value is 0$/,
  );
  assert.throws(
    () =>
      spreadValidationIndices(9, { rule: "interval", segments: 4, samplingRate: 4, targetFps: 30, fps: 0 }),
    /^ConfigError: Cannot sample frames: a video must have a rate above 0 frames a second, current value is 0$/,
  );
  assert.throws(() => spreadTrainIndices(0, { rule: "segment", segments: 4 }, createPrng(1)), RangeError);
});
