/** Clips of which a list names a range of frames. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { createClipLoader, type LoadedClip } from "../../data/loader.ts";
import { validationIndices } from "../../data/sampling/frame_indices.ts";
import { inTempFolder, writeFrames } from "../_util/frame_folders.ts";

const T = 4, sampling = { rule: "sth", segments: T } as const;

Deno.test("a range of frames is a clip of its own, with and without a cache of decoded clips", () =>
  inTempFolder(async (root) => {
    await writeFrames(join(root, "a"), { frames: 24, shade: 100 });
    await writeFrames(join(root, "b"), { frames: 9, shade: 50 });
    const ranges = [
      { path: "a", range: { first: 1, count: 10 } },
      { path: "a", range: { first: 15, count: 10 } },
      { path: "b" },
      { path: "a", range: { first: 7, count: 1 } },
      { path: "a" },
    ];
    const clips = ranges.map((record, i) => ({ ...record, label: i, frames: null, line: 0 }));
    const order = clips.map((_, clip) => ({ clip, epoch: 0, repeat: 1 }));
    const delivered: LoadedClip[][] = [];
    for (const cacheBytes of [0, 1 << 24]) {
      await using loader = createClipLoader({
        clips,
        root,
        template: "{:05d}.jpg",
        sampler: (frames) => validationIndices(frames, sampling),
        seed: 1,
        workers: 1,
        cacheBytes,
      });
      for (let epoch = 0; epoch < 2; epoch++) {
        for await (const batch of loader.epoch(order, clips.length)) delivered.push(batch.clips);
      }
    }
    const ten = validationIndices(10, sampling);
    assert.deepEqual(delivered[0].map(({ frameIndices }) => frameIndices), [
      ten,
      ten.map((frame) => frame + 14),
      validationIndices(9, sampling),
      [7, 7, 7, 7],
      validationIndices(24, sampling),
    ]);
    // The pictures are those of these frames: green tells the number.
    for (const { path, frames, frameIndices, width, height } of delivered[0]) {
      frameIndices.forEach((frame, t) => {
        const green = frames[t * width * height * 3 + 1];
        assert.ok(Math.abs(green - 8 * frame) <= 3, `${path} frame ${frame}: ${green}`);
      });
    }
    for (const clips of delivered.slice(1)) assert.deepEqual(clips, delivered[0]);
  }));
