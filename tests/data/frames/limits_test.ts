/** Frames and clips that are too large: known from the header, refused by name, never decoded. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { decodeClip, decodeFramesOf } from "../../../data/frames/decode.ts";
import { decodePicture, pictureSize } from "../../../data/frames/picture.ts";
import { frameBytes, inTempFolder, writeFrames } from "../../_util/frame_folders.ts";
import { statedJpeg, statedPng } from "../../_util/huge_pictures.ts";

const REASON = /^its size 16000x16000 is more than 67,108,864 pixels$/;

Deno.test("a picture of more pixels than a frame may have is refused from its header, whatever its kind", async () => {
  for (const bytes of [await statedJpeg(16_000, 16_000), statedPng(16_000, 16_000)]) {
    await assert.rejects(pictureSize(bytes), { message: REASON });
    await assert.rejects(decodePicture(bytes), { message: REASON });
  }
  const { width, height } = await pictureSize(await statedJpeg(8192, 8192));
  assert.deepEqual([width, height], [8192, 8192]);
});

Deno.test("a frame that is too large is replaced and named, a clip of such frames is a broken one", () =>
  inTempFolder(async (root) => {
    await writeFrames(root, { frames: 3, shade: 40 });
    const huge = await statedJpeg(16_000, 16_000);
    await writeFile(join(root, "00002.jpg"), huge);
    const request = { path: "c", folder: root, template: "{:05d}.jpg", first: 1, frameCount: 3 };
    const { width, bad, substitutions } = await decodeClip({ ...request, indices: [1, 2, 3] });
    assert.deepEqual([width, bad], [16, false]);
    assert.deepEqual(substitutions.map(({ frame, used }) => [frame, used]), [[2, 1]]);
    assert.match(substitutions[0].reason, REASON);
    for (const name of ["00001.jpg", "00003.jpg"]) await writeFile(join(root, name), huge);
    const broken = await decodeClip({ ...request, indices: [1, 2, 3] });
    assert.ok(broken.bad);
    assert.match(broken.substitutions[0].reason, /none of its 3 frames can be read.*16000x16000/);
  }));

Deno.test("the file of a frame that is too large to be one is not read", () =>
  inTempFolder(async (root) => {
    const file = join(root, "00001.jpg");
    await writeFile(file, await frameBytes({ frames: 1, shade: 1 }, 1));
    await Deno.truncate(file, 2 ** 33); // takes no place on the disk
    const { bad, substitutions } = await decodeClip(
      { path: "c", folder: root, template: "{:05d}.jpg", first: 1, frameCount: 1, indices: [1] },
    );
    assert.ok(bad);
    assert.match(substitutions[0].reason, /its file of 8\.00 GiB is larger than 256 MiB/);
  }));

Deno.test("a clip of more decoded bytes than a clip may have is a broken one, before all of its frames are decoded", async () => {
  const bytes = await frameBytes({ frames: 1, shade: 7, width: 64, height: 64 }, 1);
  const indices = new Array<number>(175_000).fill(1);
  const clip = await decodeFramesOf({ path: "c", frameCount: 1, indices }, () => bytes);
  assert.ok(clip.bad);
  assert.match(clip.substitutions[0].reason, /its 175,000 frames of 64x64 are more than 2\.00 GiB/);
});

Deno.test("a clip of more bytes than its reader would take is not decoded, and says how many it has", async () => {
  const bytes = await frameBytes({ frames: 1, shade: 7, width: 40, height: 30 }, 1), indices = [1, 2, 2];
  const request = { path: "c", frameCount: 2, indices };
  const { needsBytes, frames } = await decodeFramesOf(
    { ...request, mostBytes: 3 * 40 * 30 * 3 - 1 },
    () => bytes,
  );
  assert.deepEqual([needsBytes, frames.length], [3 * 40 * 30 * 3, 0]);
  const whole = await decodeFramesOf({ ...request, mostBytes: needsBytes }, () => bytes);
  assert.deepEqual([whole.needsBytes, whole.frames.length], [undefined, needsBytes]);
});
