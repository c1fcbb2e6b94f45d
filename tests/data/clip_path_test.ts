/** Absolute paths of clips are taken as they stand, wherever clips are read. */
import assert from "node:assert/strict";
import { join, relative } from "node:path";
import { clipPath } from "../../data/clip_path.ts";
import { checkClips } from "../../data/datasets/check.ts";
import { detectTemplate, findClips } from "../../data/datasets/entries.ts";
import { FrameCache } from "../../data/frame_cache/frame_cache.ts";
import { createClipSource } from "../../data/open_clip_source.ts";
import { requireReadable } from "../../train/feed/readable.ts";
import { largestFrame } from "../../train/feed/probe.ts";
import { parseConfig } from "../../train/recipe/config.ts";
import { inTempFolder, writeFrames } from "../_util/frame_folders.ts";

const template = "{:05d}.jpg";
/** No folder, so that nothing can be found below it. */
const ROOT = "/nowhere";

Deno.test("a clip's path is joined to the root, unless it is absolute", () => {
  assert.equal(clipPath("/data", "a/b c.mp4"), "/data/a/b c.mp4");
  assert.equal(clipPath("/data/set", "../a.mp4"), "/data/a.mp4");
  assert.equal(clipPath("/data", "/other/a.mp4"), "/other/a.mp4");
  assert.equal(clipPath("", "a.mp4"), "a.mp4");
  assert.equal(clipPath(".", "/a.mp4"), "/a.mp4");
});

Deno.test("absolute paths are read in every way, with spaces, quotes and commas in them", async () => {
  await inTempFolder(async (folder) => {
    const path = join(folder, `a, "b" c`);
    await writeFrames(path, { frames: 4, shade: 60, width: 24 });
    await using frameCache = await FrameCache.open({
      folder: join(folder, "cache"),
      side: 64,
      modality: "either",
      template,
      reserveBytes: 0,
    });
    for (const modality of ["frames", "either"] as const) {
      for (const cache of modality === "either" ? [undefined, frameCache, frameCache] : [undefined]) {
        await using source = createClipSource({
          modality,
          root: ROOT,
          template,
          workers: 1,
          frameCache: cache,
        });
        assert.equal(await source.count(path), 4);
        assert.equal((await source.decode(path, 4, [1, 4])).bad, false);
      }
    }
    const clips = [{ path, label: 0, frames: 4, line: 1 }];
    const check = { root: ROOT, template, classes: 1, allFrames: true, atOnce: 1 };
    assert.deepEqual((await checkClips(clips, check)).problems, []);
    assert.equal(await detectTemplate(ROOT, [path]), template);
    const entries = [{ split: "train", label: 0, paths: [path] } as const];
    const found = await findClips({ classes: ["x"], entries, unusable: [] }, { root: ROOT, template });
    assert.deepEqual(found.clips.map((clip) => [clip.path, clip.frames]), [[path, 4]]);

    const { config } = parseConfig(
      "{system: side4video, data: {num_classes: 1, resize: none, input_size: 224}}",
    );
    await requireReadable(config, clips, { list: "x.txt", root: ROOT });
    const leadingUp = { ...clips[0], path: `x/../${relative(folder, path)}` };
    await requireReadable(config, [leadingUp], { list: "x.txt", root: folder });
    const wide = parseConfig(
      "{system: side4video, network: {backbone: {image_size: 16, patch_size: 8, width: 32, layers: 1, heads: 1}}, " +
        "data: {num_classes: 1, resize: none}}",
    ).config;
    const { width, height } = await largestFrame(wide, [[ROOT, clips]]);
    assert.deepEqual([width, height], [24, 16]);
  });
});
