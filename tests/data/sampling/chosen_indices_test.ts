/** Frames by the rule that a recipe chooses, against all recorded choices of retrieval and the rules of recognition. */
import assert from "node:assert/strict";
import {
  chosenEvalIndices,
  type ChosenSampling,
  chosenTrainIndices,
} from "../../../data/sampling/chosen_indices.ts";
import { trainIndices, validationIndices } from "../../../data/sampling/frame_indices.ts";
import { createPrng } from "../../../lib/random.ts";
import { type RecordedSample, recordedSamples, replayIntegers } from "../../_util/recorded_samples.ts";

interface Row extends RecordedSample {
  max_frames: number;
  strategy: 1 | 2 | 3 | 4;
  slice_framepos: ChosenSampling["slice"];
  /** Frame numbers, then 0 where nothing is read. */
  loaded?: number[];
}

const base: ChosenSampling = { by: "segments", rule: "sth", segments: 12, slice: 2 };

Deno.test("a strategy gives the recorded frames in training, and those without draws in evaluation too", () => {
  const rows = recordedSamples<Row>("side4video-retrieval").filter(({ raises }) => raises === undefined);
  assert.ok(rows.length > 0);
  for (const { max_frames: segments, strategy: by, slice_framepos: slice, frames, draws, loaded } of rows) {
    const options = { ...base, segments, by, slice };
    const expected = loaded!.filter((frame) => frame > 0);
    assert.deepEqual(chosenTrainIndices(frames, options, replayIntegers(draws)), expected);
    if (by === 1 || by === 4) assert.deepEqual(chosenEvalIndices(frames, options), expected);
  }
});

Deno.test("a strategy that draws evaluates on the middles of what it draws from", () => {
  assert.deepEqual(chosenEvalIndices(40, { ...base, segments: 4, by: 3 }), [6, 16, 26, 36]);
  assert.deepEqual(chosenEvalIndices(100, { ...base, segments: 12, by: 2 }), [15, 45, 75]);
});

Deno.test("segments are the rules of recognition, dense in training alone", () => {
  for (const rule of ["sth", "kinetics"] as const) {
    for (const dense of [false, true]) {
      const options = { ...base, rule, dense };
      const trained = chosenTrainIndices(200, options, createPrng(7));
      assert.deepEqual(trained, trainIndices(200, { rule, segments: 12, dense }, createPrng(7)));
      assert.deepEqual(chosenEvalIndices(200, options), validationIndices(200, { rule, segments: 12 }));
    }
  }
});
