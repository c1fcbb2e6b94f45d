/** Frames that are too large are shrunk by the decoder; all others come as they are. */
import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { encodeJpeg } from "../../../data/frames/jpeg.ts";
import { type ShrinkRule, shrunkSize } from "../../../data/frames/shrink.ts";
import { createClipLoader } from "../../../data/loader.ts";
import { decodeFrames, streamFrames } from "../../../data/video/decode.ts";
import { inTempFolder } from "../../_util/frame_folders.ts";
import { greyOf, hasFfmpeg, writeVideo } from "../../_util/video_files.ts";

Deno.test("only a frame that is too large is shrunk, in proportion, and only where that makes it fit", () => {
  const rule = { width: 2048, height: 2048, side: 256 };
  const sizes = [[2048, 2048], [3840, 2160], [1080, 2049], [16_000, 4], [16_000, 400]];
  const shrunk = sizes.map(([width, height]) => shrunkSize({ width, height }, rule));
  assert.deepEqual(
    shrunk.map(({ width, height }) => [width, height]),
    [[2048, 2048], [455, 256], [256, 485], [16_000, 4], [16_000, 400]],
  );
  assert.deepEqual(shrunkSize({ width: 9000, height: 9000 }, null), { width: 9000, height: 9000 });
});

Deno.test("the loader gives frames of large clips shrunk and says so, and the bytes of others unchanged", () =>
  inTempFolder(async (root) => {
    const sizes = { "large": [60, 40], "small": [30, 20] };
    for (const [clip, [width, height]] of Object.entries(sizes)) {
      await mkdir(join(root, clip));
      for (let frame = 1; frame <= 4; frame++) {
        const rgb = Uint8Array.from(
          { length: width * height * 3 },
          (_, i) => 3 * (Math.floor(i / 3) % width) + 5 * frame,
        );
        await writeFile(
          join(root, clip, `0000${frame}.jpg`),
          await encodeJpeg({ width, height, rgb }, { quality: 95 }),
        );
      }
    }
    const clips = Object.keys(sizes).map((path, line) => ({ path, label: 0, frames: null, line }));
    const load = async (shrink?: ShrinkRule) => {
      const told: string[] = [];
      await using loader = createClipLoader({
        clips,
        root,
        template: "{:05d}.jpg",
        sampler: () => [1, 2, 3, 4],
        seed: 1,
        workers: 1,
        shrink,
        refuses: ({ width }) => shrink && width > shrink.width ? `${width}` : null,
        onShrunk: ({ width, height }) => told.push(`${width}x${height}`),
      });
      const order = clips.map((_, clip) => ({ clip, epoch: 0, repeat: 1 }));
      for await (const { clips } of loader.epoch(order, 2)) return { clips, told };
      throw new Error("no batch");
    };
    const plain = await load(), shrunk = await load({ width: 32, height: 32, side: 16 });
    assert.deepEqual([plain.told, shrunk.told], [[], ["60x40"]]);
    assert.deepEqual(shrunk.clips.map(({ width, height, bad }) => [width, height, bad]), [[24, 16, false], [
      30,
      20,
      false,
    ]]);
    assert.deepEqual(shrunk.clips[1].frames, plain.clips[1].frames);
    const frameBytes = 24 * 16 * 3;
    for (let frame = 0; frame < 4; frame++) { // the ramp stays one, of the same levels
      const [left, right] = [0, 23].map((x) =>
        shrunk.clips[0].frames[frame * frameBytes + 8 * 24 * 3 + x * 3]
      );
      const at = 5 * (frame + 1);
      assert.ok(
        Math.abs(left - at - 2) < 6 && Math.abs(right - at - 175) < 6,
        `${frame}: ${left} … ${right}`,
      );
    }
  }));

Deno.test({
  name: "a large video comes in the size and the bytes that a frame cache would take of it",
  ignore: !hasFfmpeg,
  fn: () =>
    inTempFolder(async (root) => {
      const file = join(root, "a.mp4"), size = { width: 24, height: 12 };
      await writeVideo(file, { frames: 40, width: 64, height: 32, pixel: greyOf });
      const streamed: Uint8Array[] = [];
      await streamFrames(file, { frames: 40, size, onFrame: (rgb) => void streamed.push(rgb) });
      const wanted = [0, 7, 38]; // the last by a seek
      const { rgb, ...info } = await decodeFrames(file, wanted, {
        shrink: { width: 40, height: 40, side: 12 },
      });
      assert.deepEqual(info, { ...size, count: 3, complaint: null });
      assert.deepEqual(new Uint8Array(rgb), Uint8Array.from(wanted.flatMap((i) => [...streamed[i]])));
      const { width } = await decodeFrames(file, [0], { shrink: { width: 64, height: 32, side: 12 } });
      assert.equal(width, 64);
    }),
});
