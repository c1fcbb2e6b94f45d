/** Windows of neighbouring frames: recorded ones, the published tables for a clip of 50 frames, and the ends of short clips. */

import assert from "node:assert/strict";
import { validationIndices, windowIndices } from "../../../data/sampling/frame_indices.ts";
import { type RecordedSample, recordedSamples } from "../../_util/recorded_samples.ts";

const of = (index: number, frames: number, edge: "clamp" | "wrap", size = 5) =>
  windowIndices([index], frames, { size, edge });

interface Row extends RecordedSample {
  dataset: "sth" | "kinetics";
  modality: "RGB" | "video";
  segments: number;
  num_diff: number;
  sampled: number[];
  loaded: number[];
}

Deno.test("sampled frames and their windows equal the recorded ones", () => {
  const rows = recordedSamples<Row>("tds-clip");
  assert.equal(rows.length, 80);
  for (const { dataset: rule, modality, frames, segments, num_diff: size, sampled, loaded } of rows) {
    const indices = validationIndices(frames, { rule, segments });
    assert.deepEqual(indices, sampled);
    const edge = modality === "video" ? "wrap" : "clamp";
    assert.deepEqual(windowIndices(indices, frames, { size, edge }), loaded, `${rule} ${modality} ${frames}`);
  }
});

Deno.test("a window clamps at both ends", () => {
  assert.deepEqual(of(1, 50, "clamp"), [1, 1, 1, 2, 3]);
  assert.deepEqual(of(2, 50, "clamp"), [1, 1, 2, 3, 4]);
  assert.deepEqual(of(3, 50, "clamp"), [1, 2, 3, 4, 5]);
  assert.deepEqual(of(49, 50, "clamp"), [47, 48, 49, 50, 50]);
  assert.deepEqual(of(50, 50, "clamp"), [48, 49, 50, 50, 50]);
});

Deno.test("a window that wraps takes what is missing at the start from the end, and clamps at the end", () => {
  assert.deepEqual(of(1, 50, "wrap"), [49, 50, 1, 2, 3]);
  assert.deepEqual(of(2, 50, "wrap"), [50, 1, 2, 3, 4]);
  assert.deepEqual(of(3, 50, "wrap"), [1, 2, 3, 4, 5]);
  assert.deepEqual(of(50, 50, "wrap"), [48, 49, 50, 50, 50]);
});

Deno.test("clips shorter than a window stay within their frames, with the sampled frame in the middle", () => {
  for (const edge of ["clamp", "wrap"] as const) {
    for (const frames of [1, 2, 3, 4]) {
      for (let index = 1; index <= frames; index++) {
        const window = of(index, frames, edge);
        assert.ok(window.every((frame) => frame >= 1 && frame <= frames), `${window}`);
        assert.equal(window[2], index);
      }
    }
  }
  assert.deepEqual(of(1, 1, "clamp"), [1, 1, 1, 1, 1]);
  assert.deepEqual(of(1, 1, "wrap"), [1, 1, 1, 1, 1]);
});

Deno.test("windows follow one another in the order of the sampled frames", () => {
  assert.deepEqual(windowIndices([7, 3], 9, { size: 3, edge: "clamp" }), [6, 7, 8, 2, 3, 4]);
  assert.deepEqual(windowIndices([7, 3], 9, { size: 1, edge: "wrap" }), [7, 3]);
});

Deno.test("a window must have a middle", () => {
  assert.throws(
    () => of(1, 9, "clamp", 4),
    /^ConfigError: Cannot sample windows: the frames of a window must be an odd number, current value is 4$/,
  );
});
