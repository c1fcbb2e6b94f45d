/** How large frames are expected to be. */
import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { encodeJpeg } from "../../../data/frames/jpeg.ts";
import { parseConfig } from "../../../train/recipe/config.ts";
import { createPrng } from "../../../lib/random.ts";
import { cropRefusal } from "../../../train/feed/frame_room.ts";
import { largestFrame } from "../../../train/feed/probe.ts";
import { inTempFolder } from "../../_util/frame_folders.ts";

Deno.test("frames are expected as large as the largest first one that can be decoded, whatever broken ones state", () =>
  inTempFolder(async (root) => {
    const sizes = [[300, 240], [240, 420]];
    for (const [i, [width, height]] of sizes.entries()) {
      const rgb = new Uint8Array(width * height * 3);
      const jpeg = await encodeJpeg({ width, height, rgb }, { quality: 90 });
      await mkdir(join(root, `c${i}`));
      await writeFile(join(root, `c${i}`, "00001.jpg"), jpeg);
      if (i > 0) continue;
      // The frame header holds the height and the width behind its marker, length and precision.
      const broken = Uint8Array.from(jpeg), at = Buffer.from(broken).indexOf(Buffer.from([0xff, 0xc0]));
      assert.ok(at > 0);
      new DataView(broken.buffer).setUint32(at + 5, 0xea60ea60);
      await mkdir(join(root, "broken"));
      await writeFile(join(root, "broken", "00001.jpg"), broken.subarray(0, broken.length / 2));
    }
    const { config } = parseConfig('data: { num_classes: 2, image_tmpl: "{:05d}.jpg" }', {
      source: "x.yaml",
      overrides: ["data.resize=none"],
    });
    const clips = ["c0", "broken", "c1"].map((path) => ({ path, label: 0, frames: null, line: 1 }));
    const { width, height } = await largestFrame(config, [[root, clips]]);
    assert.deepEqual([width, height], [300, 420]);
  }));

Deno.test("a recipe whose crop fits the frames of no clip is refused with its keys; where it fits some, the others are told", () =>
  inTempFolder(async (root) => {
    for (
      const [name, width, height] of [["large", 64, 48], ["fitting", 32, 32], ["small", 40, 24]] as const
    ) {
      const rgb = new Uint8Array(width * height * 3);
      await mkdir(join(root, name));
      await writeFile(
        join(root, name, "00001.jpg"),
        await encodeJpeg({ width, height, rgb }, { quality: 90 }),
      );
    }
    const { config } = parseConfig("data: { num_classes: 2, resize: none, crop: none, input_size: 32 }", {
      source: "x.yaml",
      overrides: [
        "network.arch=custom",
        "network.backbone={width: 32, layers: 1, heads: 1, patch_size: 16, image_size: 32}",
      ],
    });
    const probe = (...paths: string[]) =>
      largestFrame(config, [[root, paths.map((path) => ({ path, label: 0, frames: null, line: 1 }))]], {
        refusals: [cropRefusal(config, "train")],
      });
    await assert.rejects(probe("large", "small"), {
      name: "ConfigError",
      message:
        `Cannot use the clips under "${root}": one or more of 2 looked at must fit the recipe, current count is 0; ` +
        "large: its frames of 64x48 must be 32x32 for data.crop=none: change data.resize or data.crop, " +
        "such as data.resize=short data.crop=random_resized",
    });
    const { width, height } = await probe("large", "fitting");
    assert.deepEqual([width, height], [32, 32]);
    const ofVal = cropRefusal(config, "val");
    assert.equal(ofVal({ width: 64, height: 48 }), null);
    assert.equal(
      ofVal({ width: 40, height: 24 }),
      "its frames of 40x24 must hold the crop of 32x32: change data.resize, such as data.resize=short",
    );
    const random = cropRefusal({ data: { ...config.data, crop: "random_resized" } }, "train");
    assert.equal(random({ width: 4, height: 3 }), null);
  }));

Deno.test("the size of frames that are no JPEG is found, at the end of a large file too, and from any first number", () =>
  inTempFolder(async (root) => {
    for (const [kind, ending] of [["png", "png"], ["tiff", "tif"], ["webp", "webp"]] as const) {
      const raw = { width: 300, height: 240, channels: 3 } as const;
      const prng = createPrng(1);
      const noise = Uint8Array.from({ length: 300 * 240 * 3 }, () => prng.integer(256));
      const bytes = await sharp(noise, { raw })[kind]({ quality: 100 }).toBuffer();
      assert.ok(bytes.length > 64 * 1024, `${kind}: ${bytes.length} bytes`);
      await mkdir(join(root, kind));
      await writeFile(join(root, kind, `0.${ending}`), bytes);
      const { config } = parseConfig(`data: { num_classes: 2, image_tmpl: "{:d}.${ending}", resize: none }`);
      const clips = [{ path: kind, label: 0, frames: null, line: 1 }];
      const { width, height } = await largestFrame(config, [[root, clips]]);
      assert.deepEqual([width, height], [300, 240]);
    }
  }));
