/** What the upload buffers are made for where some frames are too large for the adapter. */
import assert from "node:assert/strict";
import { createModel } from "../../../models/mod.ts";
import { parseConfig } from "../../../train/recipe/config.ts";
import { trainingSpec } from "../../../train/recipe/model.ts";
import { type ExpectedFrame, expectedPrep, frameRoom } from "../../../train/runtime/frame_buffers.ts";
import { frameRefusal, shrinkRule } from "../../../train/feed/frame_room.ts";

const LIMITS = { maxBufferBytes: 2 ** 28, maxBindingBytes: 2 ** 27 };
const HUGE = { width: 3840, height: 2160, shrunk: { width: 455, height: 256 } };
const FULL = { width: 1920, height: 1080, shrunk: { width: 455, height: 256 } };
const STRIP = { width: 16_000, height: 400, shrunk: { width: 10_240, height: 256 } };
const KEPT = { ...STRIP, shrunk: { width: 16_000, height: 400 } };

Deno.test("buffers are planned for what too large frames are shrunk to, and for the size of all that fit", () => {
  const { config } = parseConfig("data: { num_classes: 2, num_segments: 8 }", {
    overrides: [
      "network.arch=custom",
      "network.backbone={width: 32, layers: 1, heads: 1, patch_size: 16, image_size: 32}",
      "data.input_size=32",
    ],
  });
  const model = createModel(trainingSpec(config));
  const prep = (largestFrame: ExpectedFrame) => expectedPrep(model, { clips: 4, largestFrame }, LIMITS);
  const size = (frame: ExpectedFrame) => [prep(frame).maxWidth, prep(frame).maxHeight];
  const whole = { width: 3840, height: 2160 };
  assert.deepEqual(size({ ...whole, found: [HUGE] }), [455, 256]);
  assert.deepEqual(size({ ...whole, found: [FULL, HUGE] }), [1920, 1080]);
  // A few that are far larger decide nothing, but what they are shrunk to has room.
  const usual = { width: 320, height: 240 };
  assert.deepEqual(size({ ...whole, usual, found: [{ ...usual, shrunk: usual }, HUGE] }), [455, 256]);
  // What the adapter can take stays as it is.
  assert.deepEqual(size({ width: 1920, height: 1080, found: [FULL] }), [1920, 1080]);
  assert.deepEqual(size({ width: 16_000, height: 400, found: [STRIP] }), [10_240, 256]);
  // Frames that nothing shrinks (those of a cache) are refused by planning, unless any size is to do.
  assert.deepEqual(size({ width: 16_000, height: 400, found: [KEPT] }), [16_000, 400]);
  assert.deepEqual(size({ width: 16_000, height: 400, found: [KEPT], anySize: true }), [32, 32]);

  const room = frameRoom(model, prep({ ...whole, found: [HUGE] }), LIMITS);
  assert.deepEqual([room, shrinkRule(config, room)], [{ width: 2048, height: 2048 }, { ...room, side: 256 }]);
  assert.match(
    frameRefusal(config, "train", room)({ width: 16_000, height: 400 })!,
    /16000x400 are larger than the adapter can take .*even with a short side of 256; use a lower data\.frame_cache_side, fewer frames \(data\.num_segments\), or scale/,
  );
});
