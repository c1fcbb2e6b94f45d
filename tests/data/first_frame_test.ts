/** Folders whose numbers begin at 0, at 1 or elsewhere: every frame is read, in every way to the pictures. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { checkClips } from "../../data/datasets/check.ts";
import { FrameCache } from "../../data/frame_cache/frame_cache.ts";
import { framesAmong, parseFrameTemplate } from "../../data/frames/frame_folder.ts";
import { createClipLoader } from "../../data/loader.ts";
import { createClipSource } from "../../data/open_clip_source.ts";
import { frameBytes, inTempFolder, writeFrames } from "../_util/frame_folders.ts";

const template = "img_{:05d}.jpg";
const REPORTED = fileURLToPath(new URL("../fixtures/reports/", import.meta.url));

/** A folder of five frames whose second channel is 8, 16, …, 40, with numbers from `first` on. */
async function writeNumbered(root: string, path: string, first: number): Promise<void> {
  await writeFrames(join(root, path), { frames: 0, shade: 50 });
  for (let frame = 1; frame <= 5; frame++) {
    const name = parseFrameTemplate(template).name(first + frame - 1);
    await writeFile(join(root, path, name), await frameBytes({ frames: 5, shade: 50 }, frame));
  }
}

/** Which frames these are, by their colour. */
function framesOf({ frames, width, height }: { frames: Uint8Array; width: number; height: number }) {
  const frameBytes = width * height * 3;
  return Array.from(
    { length: frames.length / frameBytes },
    (_, i) => Math.round(frames[i * frameBytes + 1] / 8),
  );
}

Deno.test("frames count from the lowest number of their folder, or from the one that is given", () => {
  const names = ["img_00000.jpg", "img_00001.jpg", "img_00002.jpg", "notes.txt"];
  const among = (firstFrame?: number | null, all = names) =>
    framesAmong(all, parseFrameTemplate(template), firstFrame);
  assert.deepEqual(among(), { count: 3, first: 0 });
  assert.deepEqual(among(0), { count: 3, first: 0 });
  assert.deepEqual(among(1), { count: 2, first: 1 });
  assert.deepEqual(among(null, names.slice(2)), { count: 1, first: 2 });
  assert.deepEqual(among(null, ["notes.txt"]), { count: 0, first: 1 });
});

Deno.test("a set of folders that begin at different numbers loses no frame, read in any way", async () => {
  await inTempFolder(async (root) => {
    const firsts = [0, 1, 10];
    for (const first of firsts) await writeNumbered(root, `from${first}`, first);
    await using frameCache = await FrameCache.open({
      folder: join(root, "cache"),
      side: 64,
      modality: "frames",
      template,
      reserveBytes: 0,
    });
    const all = [1, 2, 3, 4, 5];
    for (const cache of [undefined, frameCache, frameCache]) {
      await using source = createClipSource({
        modality: "frames",
        root,
        template,
        workers: 1,
        frameCache: cache,
      });
      for (const first of firsts) {
        const path = `from${first}`;
        assert.equal(await source.count(path), 5);
        assert.deepEqual(
          framesOf(await source.decode(path, 5, all)),
          all,
          `${path}, ${cache ? "" : "not "}cached`,
        );
      }
    }
    await using loader = createClipLoader({
      clips: firsts.map((first, label) => ({ path: `from${first}`, label, frames: 5, line: label + 1 })),
      root,
      template,
      sampler: (count) => Array.from({ length: count }, (_, i) => i + 1),
      seed: 1,
      workers: 1,
    });
    const order = firsts.map((_, clip) => ({ clip, epoch: 0, repeat: 1 }));
    for await (const { clips } of loader.epoch(order, 3)) {
      for (const clip of clips) {
        assert.deepEqual(framesOf(clip), all, clip.path);
        assert.deepEqual(clip.substitutions, []);
      }
    }
  });
});

Deno.test("the frame that is given as the first leaves out those before it, and what lacks it is told", async () => {
  await inTempFolder(async (root) => {
    await writeNumbered(root, "from0", 0);
    await writeNumbered(root, "from3", 3);
    await using source = createClipSource({ modality: "frames", root, template, firstFrame: 1, workers: 1 });
    assert.equal(await source.count("from0"), 4);
    assert.deepEqual(framesOf(await source.decode("from0", 4, [1, 4])), [2, 5]);
    assert.equal(await source.count("from3"), 5);
    const late = await source.decode("from3", 5, [1, 3]);
    assert.deepEqual(framesOf(late), [1, 1]);
    assert.deepEqual(late.substitutions.map(({ frame, used }) => [frame, used]), [[1, 3]]);
    await using other = createClipSource({ modality: "frames", root, template, firstFrame: 8, workers: 1 });
    await assert.rejects(other.count("from0"), {
      message: "none of its 5 frames has the number 8 or a higher one, the last has 4 (data.first_frame)",
    });
  });
});

Deno.test("a frame cache that was built for another first frame is refused by its key", async () => {
  await inTempFolder(async (root) => {
    const options = { folder: join(root, "cache"), side: 64, modality: "frames", template } as const;
    await (await FrameCache.open(options))[Symbol.asyncDispose]();
    await assert.rejects(
      FrameCache.open({ ...options, firstFrame: 1 }),
      /ConfigError: .* data\.first_frame must be null, for which it was built, current value is 1/,
    );
  });
});

Deno.test("the reported clips from frame 0 and of PNG files have their eight frames", async () => {
  const clip = { path: "c1", label: 0, frames: 8, line: 1 };
  for (const [folder, template] of [["frames_from_zero", "img_{:05d}.jpg"], ["png_frames", "{:05d}.png"]]) {
    const result = await checkClips([clip], {
      root: REPORTED + folder,
      template,
      classes: 1,
      allFrames: true,
      atOnce: 1,
    });
    assert.deepEqual([result.frames, result.decoded, result.problems], [8, 8, []], folder);
  }
});

Deno.test("frames that are no JPEG come out of a frame cache as they are", async () => {
  await inTempFolder(async (root) => {
    const options = { modality: "frames", template: "{:05d}.png" } as const;
    await using frameCache = await FrameCache.open({
      ...options,
      folder: join(root, "cache"),
      side: 64,
      reserveBytes: 0,
    });
    const decode = async (frameCache?: FrameCache) => {
      await using source = createClipSource({
        ...options,
        root: REPORTED + "png_frames",
        workers: 1,
        frameCache,
      });
      return await source.decode("c1", await source.count("c1"), [1, 5, 8]);
    };
    const plain = await decode(), cached = await decode(frameCache);
    assert.deepEqual([plain.bad, plain.substitutions, plain.width], [false, [], 32]);
    assert.deepEqual(cached, plain);
  });
});

Deno.test("check tells a gap by the frame and its file where numbers do not begin at 1", async () => {
  await inTempFolder(async (root) => {
    await writeNumbered(root, "c", 0);
    await Deno.remove(join(root, "c", "img_00002.jpg"));
    const clips = [{ path: "c", label: 0, frames: 5, line: 1 }];
    const { problems } = await checkClips(clips, { root, template, classes: 1, allFrames: true, atOnce: 1 });
    assert.deepEqual(problems.map(({ kind, problem }) => `${kind}: ${problem}`), [
      "count: the list states 5 frames, its folder has 4",
      'gap: frame 3 of 4 is missing ("img_00002.jpg")',
    ]);
  });
});
