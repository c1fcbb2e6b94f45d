/** Frames of the retrieval strategies: all recorded choices, the published examples, and short videos. */
import assert from "node:assert/strict";
import { retrievalIndices, type RetrievalSampling } from "../../../data/sampling/retrieval_indices.ts";
import { createPrng } from "../../../lib/random.ts";
import { type RecordedSample, recordedSamples, replayIntegers } from "../../_util/recorded_samples.ts";

interface Row extends RecordedSample {
  max_frames: number;
  strategy: RetrievalSampling["strategy"];
  slice_framepos: RetrievalSampling["slice"];
  /** Frame numbers, then 0 where nothing is read. */
  loaded?: number[];
}

const rows = recordedSamples<Row>("side4video-retrieval");
const optionsOf = ({ max_frames: maxFrames, strategy, slice_framepos: slice }: Row) => ({
  maxFrames,
  strategy,
  slice,
});
const NO_DRAWS = replayIntegers();

Deno.test("the frames of retrieval equal the recorded ones", () => {
  const cases = rows.filter(({ raises }) => raises === undefined);
  assert.equal(cases.length, 252);
  for (const row of cases) {
    const source = replayIntegers(row.draws);
    const expected = row.loaded!.filter((frame) => frame > 0);
    assert.deepEqual(retrievalIndices(row.frames, optionsOf(row), source), expected, JSON.stringify(row));
    assert.equal(source.left(), 0, "every recorded draw is used");
  }
});

Deno.test("where the original misses a file of a video shorter than a second, the last frame is taken", () => {
  const cases = rows.filter(({ raises }) => raises !== undefined);
  assert.equal(cases.length, 36);
  for (const row of cases) {
    assert.equal(row.raises, "FileNotFoundError");
    assert.ok(row.frames < 30);
    const indices = retrievalIndices(row.frames, optionsOf(row), { integer: (n) => n - 1 });
    assert.ok(indices.length >= 1 && indices.every((index) => index >= 1 && index <= row.frames));
    assert.ok(indices.includes(row.frames));
  }
});

Deno.test("the published examples of 12 frames hold", () => {
  const of = (strategy: 1 | 4, frames: number) =>
    retrievalIndices(frames, { maxFrames: 12, strategy, slice: 2 }, NO_DRAWS).join(" ");
  assert.equal(of(1, 300), "1 26 51 76 101 126 151 176 201 226 251 276");
  assert.equal(of(1, 310), "1 26 51 76 101 126 151 176 201 226 251 301");
  assert.match(of(1, 431), /^1 36 71 .* 351 421$/);
  assert.match(of(4, 300), /^13 38 .* 288$/);
  assert.equal(of(4, 310), "13 39 65 91 117 143 168 194 220 246 272 298");
});

Deno.test("every strategy stays within the video and within its number of frames", () => {
  for (const strategy of [1, 2, 3, 4] as const) {
    for (const slice of [0, 1, 2] as const) {
      for (const maxFrames of [1, 2, 12, 64]) {
        for (let frames = 1; frames < 200; frames += 7) {
          const indices = retrievalIndices(
            frames,
            { maxFrames, strategy, slice },
            createPrng(frames, strategy),
          );
          assert.ok(indices.length >= 1 && indices.length <= maxFrames);
          indices.forEach((index, i) => assert.ok(index >= (indices[i - 1] ?? 1) && index <= frames));
        }
      }
    }
  }
});

Deno.test("no frames asked for and empty videos are refused", () => {
  const options = { maxFrames: 0, strategy: 1, slice: 0 } as const;
  assert.throws(
    () => retrievalIndices(9, options, NO_DRAWS),
    /^ConfigError: Cannot sample frames: frames a video must be at least 1, current value is 0$/,
  );
  assert.throws(() => retrievalIndices(0, { ...options, maxFrames: 4 }, NO_DRAWS), RangeError);
});
