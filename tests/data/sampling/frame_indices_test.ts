import assert from "node:assert/strict";
import {
  samplingRuleOf,
  testIndices,
  trainIndices,
  validationIndices,
} from "../../../data/sampling/frame_indices.ts";
import { createPrng } from "../../../lib/random.ts";
import { type RecordedSample, recordedSamples, replayIntegers } from "../../_util/recorded_samples.ts";

interface Row extends RecordedSample {
  dataset: "sth" | "kinetics";
  segments: number;
  clips?: number;
}

const rows = recordedSamples<Row>("side4video");

for (
  const mode of ["train uniform", "train dense", "val uniform", "val dense", "test uniform", "test dense"]
) {
  Deno.test(`frame indices equal the recorded ones: ${mode}`, () => {
    const cases = rows.filter((row) => row.mode === mode && !row.raises);
    assert(cases.length >= 72, `${cases.length} cases`);
    for (const { dataset, frames, segments, clips, indices, draws } of cases) {
      const options = { rule: dataset, segments, dense: mode.endsWith("dense") };
      const source = replayIntegers(draws);
      const current = mode.startsWith("train")
        ? trainIndices(frames, options, source)
        : mode.startsWith("val")
        ? validationIndices(frames, options, source)
        : testIndices(frames, { ...options, clips: clips! }).flat();
      assert.deepEqual(current, indices, `${dataset}, ${frames} frames, T=${segments}, K=${clips}`);
      assert.equal(source.left(), 0, "every recorded draw is used");
    }
  });
}

Deno.test("every recorded Side4Video case is covered by a mode of this test", () => {
  const covered = rows.filter((row) => /^(train|val|test) (uniform|dense)$/.test(row.mode));
  assert.equal(covered.length, rows.length);
  assert.equal(rows.length, 1320);
});

Deno.test("one dense test clip, a division by zero in the original, starts at the first frame", () => {
  const failing = rows.filter((row) => row.raises);
  assert(failing.length > 0 && failing.every((row) => row.mode === "test dense" && row.clips === 1));
  assert.deepEqual(testIndices(300, { rule: "sth", segments: 8, dense: true, clips: 1 }), [
    [1, 17, 33, 49, 65, 81, 97, 113],
  ]);
});

Deno.test("the published check values hold", () => {
  const sth = { rule: "sth", segments: 8 } as const, kinetics = { rule: "kinetics", segments: 8 } as const;
  assert.deepEqual(validationIndices(37, sth), [3, 7, 12, 17, 21, 25, 30, 35]);
  assert.deepEqual(validationIndices(5, sth), [1, 1, 2, 3, 3, 3, 4, 5]);
  assert.deepEqual(testIndices(120, { ...sth, clips: 2 }), [
    [5, 20, 35, 50, 65, 79, 94, 109],
    [10, 25, 40, 55, 70, 84, 99, 114],
  ]);
  assert.deepEqual(validationIndices(150, kinetics), [1, 19, 38, 57, 76, 94, 113, 132]);
  assert.deepEqual(testIndices(7, { ...kinetics, clips: 4 })[1], [7, 1, 1, 2, 3, 4, 5, 6]);
  assert.deepEqual(testIndices(300, { ...kinetics, clips: 4 })[3], [37, 74, 112, 149, 187, 224, 262, 299]);
  assert.deepEqual(
    testIndices(300, { ...sth, dense: true, clips: 4 }).map((clip) => clip[0]),
    [1, 58, 115, 172],
  );
});

Deno.test("training indices of a seeded generator stay in the video and are in order, whatever its length", () => {
  for (const rule of ["sth", "kinetics"] as const) {
    for (let frames = 1; frames <= 60; frames++) {
      const indices = trainIndices(frames, { rule, segments: 8 }, createPrng(3, frames));
      assert.equal(indices.length, 8);
      assert(
        indices.every((index, i) => index >= (indices[i - 1] ?? 1) && index <= frames),
        `${rule} ${frames}`,
      );
    }
  }
});

Deno.test("samplingRuleOf() looks for the word", () => {
  assert.equal(samplingRuleOf("something_v2"), "sth");
  assert.equal(samplingRuleOf("kinetics400"), "kinetics");
});
