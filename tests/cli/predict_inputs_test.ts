import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { clipsOfPaths } from "../../cli/shared/predict_inputs.ts";
import { inTempFolder } from "../_util/frame_folders.ts";

Deno.test("a folder of pictures that are not read is told as such, with no template for them", async () => {
  await inTempFolder(async (root) => {
    await mkdir(join(root, "clip"));
    await writeFile(join(root, "clip", "00001.bmp"), "BM");
    const told: string[] = [];
    const found = await clipsOfPaths([join(root, "clip")], "{:05d}.jpg", {
      fail: (error) => told.push(error.message),
      note: (line) => told.push(line),
    });
    assert.deepEqual([found, told], [[], [
      `Cannot predict "${
        join(root, "clip")
      }": its frames cannot be read: "00001.bmp" is BMP, which is not read: ` +
      "save the frames as JPEG or PNG",
    ]]);
  });
});
