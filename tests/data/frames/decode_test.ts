import assert from "node:assert/strict";
import { join } from "node:path";
import sharp from "sharp";
import { parseFrameTemplate } from "../../../data/frames/frame_folder.ts";
import { decodeClip } from "../../../data/frames/decode.ts";
import { encodeJpeg } from "../../../data/frames/jpeg.ts";

/** A picture of one colour. */
function plain(width: number, height: number, colour: [number, number, number]) {
  return { width, height, rgb: Uint8Array.from({ length: width * height * 3 }, (_, i) => colour[i % 3]) };
}

const template = "{:05d}.jpg";
const name = parseFrameTemplate(template).name;

/** A folder of grey frames whose level is 20 × frame number, changed by `spoil`, then removed. */
async function withFolder(
  count: number,
  body: (folder: string, decode: (...indices: number[]) => ReturnType<typeof decodeClip>) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    for (let frame = 1; frame <= count; frame++) {
      const level = 20 * frame;
      await Deno.writeFile(
        join(folder, name(frame)),
        await encodeJpeg(plain(16, 12, [level, level, level]), { quality: 95 }),
      );
    }
    await body(
      folder,
      (...indices) => decodeClip({ folder, path: "a/1", template, first: 1, frameCount: count, indices }),
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Grey level of the first pixel of each frame, in tens. */
function levels(clip: { frames: Uint8Array; width: number; height: number }): number[] {
  const frameBytes = clip.width * clip.height * 3;
  return Array.from(
    { length: clip.frames.length / frameBytes },
    (_, i) => Math.round(clip.frames[i * frameBytes] / 20),
  );
}

Deno.test("decodeClip() gives the frames in the order asked for, repeated ones too", () =>
  withFolder(5, async (_, decode) => {
    const clip = await decode(2, 2, 5, 1, 5);
    assert.deepEqual([clip.width, clip.height, clip.bad], [16, 12, false]);
    assert.deepEqual(levels(clip), [2, 2, 5, 1, 5]);
    assert.deepEqual(clip.substitutions, []);
  }));

Deno.test("a missing frame is replaced by frame 1 and named", () =>
  withFolder(5, async (folder, decode) => {
    await Deno.remove(join(folder, name(3)));
    const clip = await decode(2, 3, 3, 4);
    assert.deepEqual(levels(clip), [2, 1, 1, 4]);
    assert.deepEqual(clip.substitutions, [{ path: "a/1", frame: 3, reason: "it does not exist", used: 1 }]);
  }));

Deno.test("a truncated frame, an empty one and one that is no picture are each replaced and the reason told", () =>
  withFolder(6, async (folder, decode) => {
    const noise = Uint8Array.from({ length: 16 * 12 * 3 }, (_, i) => (i * 7919) % 251);
    const whole = await encodeJpeg({ width: 16, height: 12, rgb: noise }, { quality: 95 });
    await Deno.writeFile(join(folder, name(2)), whole.slice(0, whole.length - 200));
    await Deno.writeFile(join(folder, name(3)), new Uint8Array(0));
    await Deno.writeTextFile(join(folder, name(4)), "BM but no bitmap");
    const png = await sharp(noise, { raw: { width: 16, height: 12, channels: 3 } }).png().toBuffer();
    await Deno.writeFile(join(folder, name(6)), png.subarray(0, 100));
    const clip = await decode(1, 2, 3, 4, 5, 6);
    assert.deepEqual(levels(clip), [1, 1, 1, 1, 5, 1]);
    assert.deepEqual(clip.substitutions.map(({ frame, used }) => [frame, used]), [[2, 1], [3, 1], [4, 1], [
      6,
      1,
    ]]);
    assert.deepEqual(clip.substitutions.map(({ reason }) => reason), [
      "its JPEG data is broken or cut short",
      "the file is empty",
      "it is no picture that can be read: it must be JPEG, PNG, WebP, TIFF, AVIF or GIF, it starts with bytes 42 4d 20 62 (BMP)",
      "its PNG data is broken or cut short",
    ]);
  }));

Deno.test("where frame 1 fails as well the nearest good frame is used", () =>
  withFolder(5, async (folder, decode) => {
    for (const frame of [1, 3]) await Deno.writeTextFile(join(folder, name(frame)), "no picture");
    const clip = await decode(1, 3, 5);
    assert.deepEqual(levels(clip), [2, 2, 5]);
    assert.deepEqual(clip.substitutions.map(({ frame, used }) => [frame, used]), [[1, 2], [3, 2]]);
  }));

Deno.test("a clip of which nothing can be read is bad, and says so once", () =>
  withFolder(3, async (folder, decode) => {
    for (const frame of [1, 2, 3]) await Deno.writeTextFile(join(folder, name(frame)), "no picture");
    const clip = await decode(1, 2);
    assert(clip.bad);
    assert.deepEqual(clip.substitutions, [
      {
        path: "a/1",
        frame: 0,
        reason:
          "none of its 3 frames can be read; frame 1: it is no picture that can be read: it must be JPEG, PNG, WebP, " +
          "TIFF, AVIF or GIF, it starts with bytes 6e 6f 20 70",
        used: "black",
      },
    ]);
  }));

Deno.test("a frame of another size is brought to the clip's size and named", () =>
  withFolder(3, async (folder, decode) => {
    await Deno.writeFile(
      join(folder, name(2)),
      await encodeJpeg(plain(20, 8, [40, 40, 40]), { quality: 95 }),
    );
    const clip = await decode(1, 2, 3);
    assert.deepEqual([clip.width, clip.height, clip.frames.length], [16, 12, 3 * 16 * 12 * 3]);
    assert.deepEqual(levels(clip), [1, 2, 3]);
    assert.deepEqual(clip.substitutions, [
      { path: "a/1", frame: 2, reason: "its size 20x8 is not the clip's 16x12", used: "resized" },
    ]);
  }));

Deno.test("a header that states a wrong size does not decide the clip's size", () =>
  withFolder(4, async (folder, decode) => {
    const bytes = await Deno.readFile(join(folder, name(1)));
    const header = bytes.findIndex((byte, i) => byte === 0xff && bytes[i + 1] === 0xc0);
    bytes.fill(0xff, header + 5, header + 9); // 65535x65535: 12 GB a frame
    await Deno.writeFile(join(folder, name(1)), bytes);
    const clip = await decode(2, 3);
    assert.deepEqual([clip.width, clip.height, clip.substitutions], [16, 12, []]);
    const withFirst = await decode(1, 4);
    assert.deepEqual([withFirst.width, withFirst.height], [16, 12]);
    assert.deepEqual(withFirst.substitutions.map(({ frame, used }) => [frame, used]), [[1, 2]]);
    for (const frame of [2, 3, 4]) await Deno.writeFile(join(folder, name(frame)), bytes);
    assert((await decode(1, 2)).bad);
  }));

if (Deno.build.os !== "windows") {
  Deno.test("what is no file is named and not waited for: a pipe, a folder, links in a ring", () =>
    withFolder(5, async (folder, decode) => {
      for (const frame of [2, 3, 4]) await Deno.remove(join(folder, name(frame)));
      const made = await new Deno.Command("mkfifo", { args: [join(folder, name(2))] }).output();
      assert(made.success);
      await Deno.mkdir(join(folder, name(3)));
      await Deno.symlink(name(4), join(folder, name(4)));
      const clip = await decode(1, 2, 3, 4, 5);
      assert.deepEqual(levels(clip), [1, 1, 1, 1, 5]);
      assert.deepEqual(clip.substitutions.map(({ frame, reason }) => [frame, reason]), [
        [2, "it is no regular file"],
        [3, "it is a folder"],
        [4, "its symbolic links lead back to themselves"],
      ]);
    }));
}
