import assert from "node:assert/strict";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { readClassFolders, stratifiedSplit } from "../../../data/datasets/folders.ts";
import { DataError } from "../../../lib/errors.ts";
import { inTempFolder } from "../../_util/frame_folders.ts";

Deno.test("the split takes the nearest whole number of a class, at least one and never all", () => {
  const size = (count: number, share: number) => stratifiedSplit(count, share, [1]).size;
  assert.deepEqual([20, 24, 26, 2, 3, 1].map((count) => size(count, 0.1)), [2, 2, 3, 1, 1, 0]);
  assert.deepEqual([size(4, 0.95), size(4, 1), size(1, 1), size(4, 0), size(0, 0.5)], [3, 4, 1, 0, 0]);
});

Deno.test("the split depends on the seed alone, and every clip can be chosen", () => {
  const pick = (...seeds: number[]) => [...stratifiedSplit(10, 0.3, seeds)].sort();
  assert.deepEqual(pick(5, 0), pick(5, 0));
  assert.notDeepEqual(pick(5, 0), pick(6, 0));
  const chosen = new Set(Array.from({ length: 40 }, (_, seed) => pick(seed, 0)).flat());
  assert.equal(chosen.size, 10);
  for (const index of chosen) assert.ok(index >= 0 && index < 10);
});

Deno.test("classes are the folders in code-point order, and what is no folder of frames is named", async () => {
  await inTempFolder(async (root) => {
    for (const clip of ["b/2", "b/1", "B/1", "B/2", "é/1", ".hidden/1"]) {
      await mkdir(join(root, clip), { recursive: true });
    }
    await mkdir(join(root, "bare"));
    await symlink(join(root, "b/1"), join(root, "B/linked"));
    await writeFile(join(root, "b/clip.mp4"), "");
    await writeFile(join(root, "README"), "");
    const { classes, entries, unusable } = await readClassFolders(root, { valShare: 0.5, seed: 3 });
    assert.deepEqual(classes, ["B", "b", "bare", "é"]);
    assert.deepEqual(entries.map(({ folders, label }) => [folders[0], label]), [
      ["B/1", 0],
      ["B/2", 0],
      ["B/linked", 0],
      ["b/1", 1],
      ["b/2", 1],
      ["é/1", 3],
    ]);
    const inVal = (label: number) =>
      entries.filter((one) => one.label === label && one.split === "val").length;
    assert.deepEqual([inVal(0), inVal(1), inVal(3)], [2, 1, 0]);
    assert.deepEqual(unusable.map(({ path }) => path), ["b/clip.mp4", "bare"]);
  });
});

Deno.test("a folder that is not there or holds no folder is refused", async () => {
  await inTempFolder(async (root) => {
    const read = (path: string) => readClassFolders(path, { valShare: 0.1, seed: 1 });
    await assert.rejects(
      read(root),
      (error) => error instanceof DataError && /must hold a folder for each class/.test(error.message),
    );
    await assert.rejects(
      read(join(root, "no")),
      (error) => error instanceof DataError && /it does not exist$/.test(error.message),
    );
  });
});
