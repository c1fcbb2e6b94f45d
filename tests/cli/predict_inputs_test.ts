import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { clipsOfPaths } from "../../cli/shared/predict_inputs.ts";
import { splitOverrides } from "../../cli/shared/overrides.ts";
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

Deno.test("what looks like a key of a section is one, unless a file of that name is there", async () => {
  await inTempFolder(async (root) => {
    const file = join(root, "a.b=c");
    await writeFile(file, "");
    const keys = ["data.num_segments=4", "data.num_segmnts=4", "dta.num_segments=4"];
    const others = ["clips", "a=b/00001", "clips/data.x=1", file];
    assert.deepEqual(splitOverrides([...keys, ...others]), { overrides: keys, others });
    const before = Deno.cwd();
    Deno.chdir(root);
    try {
      assert.deepEqual(splitOverrides(["a.b=c", "a.c=c"]), { overrides: ["a.c=c"], others: ["a.b=c"] });
    } finally {
      Deno.chdir(before);
    }
  });
});
