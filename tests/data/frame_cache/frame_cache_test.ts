/**
 * The frame cache: what comes out of it, and what becomes of it when processes are killed, disks fill up and sources change.
 * Some 20 seconds on two free cores: loaders start workers, and ffmpeg makes videos.
 */
import assert from "node:assert/strict";
import { mkdir, readdir, readFile, rename, rm, stat, truncate, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createClipSource } from "../../../data/open_clip_source.ts";
import type { ClipRecord } from "../../../data/datasets/list.ts";
import { FrameCache, type FrameCacheOptions, storedSize } from "../../../data/frame_cache/frame_cache.ts";
import { encodeJpeg } from "../../../data/frames/jpeg.ts";
import { type ClipLoaderOptions, createClipLoader, type LoadedClip } from "../../../data/loader.ts";
import { trainIndices } from "../../../data/sampling/frame_indices.ts";
import { ConfigError } from "../../../lib/errors.ts";
import { FOLDER_DAMAGES, VIDEO_DAMAGES } from "../../_util/broken_clips.ts";
import { inTempFolder } from "../../_util/frame_folders.ts";
import { greyOf, hasFfmpeg, writeVideo } from "../../_util/video_files.ts";

const TEMPLATE = "{:05d}.jpg";

/** A picture with edges and noise, so that no two ways of decoding or shrinking it agree by chance. */
async function picture(seed: number, width: number, height: number): Promise<Uint8Array> {
  let state = seed * 7919 + 1;
  const rgb = Uint8Array.from({ length: width * height * 3 }, (_, i) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    const x = Math.floor(i / 3) % width;
    return (x > width / 2 ? 200 : 40) + (state >>> 27) + 3 * (seed % 7);
  });
  return await encodeJpeg({ width, height, rgb }, { quality: 90 });
}

async function writeFolder(folder: string, seed: number, size = { width: 24, height: 20 }, frames = 8) {
  await mkdir(folder, { recursive: true });
  for (let frame = 1; frame <= frames; frame++) {
    await writeFile(
      join(folder, `0000${frame}.jpg`),
      await picture(100 * seed + frame, size.width, size.height),
    );
  }
}

function loaderOptions(root: string, paths: readonly string[]): ClipLoaderOptions {
  const clips: ClipRecord[] = paths.map((path, i) => ({ path, label: 0, frames: null, line: i + 1 }));
  return {
    clips,
    root,
    template: TEMPLATE,
    sampler: (frames, prng) => trainIndices(frames, { rule: "kinetics", segments: 4 }, prng),
    seed: 5,
    workers: 2,
  };
}

/** Everything that two epochs deliver. */
async function epochs(options: ClipLoaderOptions, count = 2): Promise<LoadedClip[]> {
  await using loader = createClipLoader(options);
  const loaded: LoadedClip[] = [];
  for (let epoch = 0; epoch < count; epoch++) {
    const order = options.clips.map((_, clip) => ({ clip, epoch, repeat: 1 }));
    for await (const { clips } of loader.epoch(order, 3)) loaded.push(...clips);
  }
  return loaded;
}

function cacheOptions(folder: string, more: Partial<FrameCacheOptions> = {}): FrameCacheOptions {
  const warn = (text: string) => assert.fail(`unexpected warning: ${text}`);
  return { folder, side: 20, modality: "frames", template: TEMPLATE, reserveBytes: 0, warn, ...more };
}

/** The same by way of a cache that is opened and closed. */
async function cachedEpochs(
  options: ClipLoaderOptions,
  cache: FrameCacheOptions,
  count = 2,
): Promise<{ loaded: LoadedClip[]; clips: number; sizeBytes: number }> {
  await using frameCache = await FrameCache.open(cache);
  const loaded = await epochs({ ...options, frameCache }, count);
  return { loaded, clips: frameCache.clips, sizeBytes: frameCache.sizeBytes };
}

/** Runs with the folders' files out of the way and their times as they were: frames can come from a cache only. */
async function withoutSources<T>(folders: string[], work: () => Promise<T>): Promise<T> {
  const times = await Promise.all(folders.map((folder) => stat(folder)));
  for (const folder of folders) {
    for (const name of await readdir(folder)) await rename(join(folder, name), `${folder}.${name}.away`);
  }
  const restore = () =>
    Promise.all(folders.map((folder, i) => utimes(folder, times[i].atime, times[i].mtime)));
  await restore();
  try {
    return await work();
  } finally {
    for (const folder of folders) {
      const parent = join(folder, ".."), prefix = `${folder.slice(parent.length + 1)}.`;
      for (const name of await readdir(parent)) {
        if (!name.startsWith(prefix) || !name.endsWith(".away")) continue;
        await rename(join(parent, name), join(folder, name.slice(prefix.length, -".away".length)));
      }
    }
    await restore();
  }
}

Deno.test("small frames come out of the cache bit for bit as from their files, from the first time on", () =>
  inTempFolder(async (root) => {
    const paths = ["a", "b", "c", "sub/d e"];
    for (const [i, path] of paths.entries()) await writeFolder(join(root, path), i);
    const options = loaderOptions(root, paths), plain = await epochs(options);
    const cache = cacheOptions(join(root, "cache"));
    const first = await cachedEpochs(options, cache);
    assert.deepEqual(first.loaded, plain);
    assert.equal(first.clips, 4);
    const again = await withoutSources(
      paths.map((path) => join(root, path)),
      () => cachedEpochs(options, cache),
    );
    assert.deepEqual(again.loaded, plain);
    const other = { ...options, workers: 1, prefetch: 1, cacheBytes: 1e6 };
    assert.deepEqual((await cachedEpochs(other, cache)).loaded, plain);
    // Frames lie in the file byte for byte.
    const files = (await readdir(cache.folder)).filter((name) => name.endsWith(".bin"));
    const stored = await Promise.all(files.map((name) => readFile(join(cache.folder, name))));
    const frame = await readFile(join(root, "a", "00003.jpg"));
    assert.ok(stored.some((bytes) => bytes.includes(frame)));
  }));

Deno.test("what is wrong with folders is told from the cache as from their files, every epoch", () =>
  inTempFolder(async (root) => {
    const paths = FOLDER_DAMAGES.map((_, i) => `clip${i}`);
    for (const [i, { make }] of FOLDER_DAMAGES.entries()) {
      await writeFolder(join(root, paths[i]), i, { width: 20, height: 20 });
      await make(join(root, paths[i]));
    }
    const options = loaderOptions(root, paths);
    const all = { ...options, sampler: (frames: number) => Array.from({ length: frames }, (_, i) => i + 1) };
    const plain = await epochs(all);
    assert.ok(plain.some(({ substitutions }) => substitutions.length > 0) && plain.some(({ bad }) => bad));
    const cache = cacheOptions(join(root, "cache"));
    for (const state of ["empty", "full"]) {
      const { loaded } = await cachedEpochs(all, cache);
      for (const [i, clip] of loaded.entries()) {
        assert.deepEqual(clip, plain[i], `${FOLDER_DAMAGES[i % paths.length].name}, cache ${state}`);
      }
    }
  }));

Deno.test("larger frames are shrunk to the same bits whether the cache is empty, full, closed to writing or stopped half-way", () =>
  inTempFolder(async (root) => {
    const paths = ["wide", "tall", "small", "mixed"];
    await writeFolder(join(root, "wide"), 1, { width: 81, height: 60 });
    await writeFolder(join(root, "tall"), 2, { width: 30, height: 47 });
    await writeFolder(join(root, "small"), 3);
    await writeFolder(join(root, "mixed"), 4, { width: 50, height: 40 });
    await writeFile(join(root, "mixed", "00002.jpg"), await picture(9, 90, 30));
    const whole = await picture(10, 50, 40);
    await writeFile(join(root, "mixed", "00003.jpg"), whole.subarray(0, whole.length - 60));
    const options = loaderOptions(root, paths), folder = join(root, "cache"), cache = cacheOptions(folder);
    const empty = await cachedEpochs(options, cache);
    const sizes = empty.loaded.slice(0, 4).map(({ width, height }) => [width, height]);
    assert.deepEqual(sizes, [[27, 20], [20, 31], [24, 20], [25, 20]]);
    assert.deepEqual((await cachedEpochs(options, cache)).loaded, empty.loaded);
    const half = join(root, "half");
    await cachedEpochs({ ...options, clips: options.clips.slice(0, 2) }, cacheOptions(half));
    assert.deepEqual((await cachedEpochs(options, cacheOptions(half))).loaded, empty.loaded);
    // Another process holds the lock of an empty cache: everything goes through the stored form without being stored.
    const other = cacheOptions(join(root, "other")), warnings: string[] = [];
    await using _holder = await FrameCache.open(other);
    const closed = await cachedEpochs(options, { ...other, warn: (text) => warnings.push(text) });
    assert.deepEqual([closed.loaded, closed.clips], [empty.loaded, 0]);
    assert.match(
      warnings.join(),
      new RegExp(`^frame cache ".*": process ${Deno.pid} .*is writing to it .*; it is read`),
    );
  }));

Deno.test("the size of stored frames is that of the published resize to a short side", () => {
  assert.deepEqual(storedSize({ width: 1920, height: 1080 }, 256), { width: 455, height: 256 });
  assert.deepEqual(storedSize({ width: 240, height: 5000 }, 256), { width: 240, height: 5000 });
  assert.deepEqual(storedSize({ width: 1080, height: 1920 }, 256), { width: 256, height: 455 });
});

/** Waits until a cache of another process holds so many clips. */
async function untilIndexed(folder: string, clips: number): Promise<void> {
  for (;;) {
    const text = await readFile(join(folder, "index.jsonl"), "utf8").catch(() => "");
    if (text.split("\n").length > clips) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

Deno.test("a process killed while it fills the cache leaves one that can be gone on with", () =>
  inTempFolder(async (root) => {
    const paths = Array.from({ length: 60 }, (_, i) => `c${i}`);
    for (const [i, path] of paths.entries()) {
      await writeFolder(join(root, path), i, { width: 60, height: 48 });
    }
    const folder = join(root, "cache"), options = loaderOptions(root, paths);
    const module = (name: string) => JSON.stringify(new URL(`../../../data/${name}`, import.meta.url).href);
    const program = join(root, "fill.ts");
    await writeFile(
      program,
      `import { FrameCache } from ${module("frame_cache/frame_cache.ts")};
      import { createClipSource } from ${module("open_clip_source.ts")};
      const cache = await FrameCache.open({ folder: ${JSON.stringify(folder)}, side: 20, modality: "frames",
        template: "${TEMPLATE}", reserveBytes: 0 });
      const source = createClipSource({ root: ${
        JSON.stringify(root)
      }, modality: "frames", template: "${TEMPLATE}",
        workers: 2, frameCache: cache });
      await Promise.all(${JSON.stringify(paths)}.map(async (path) =>
        source.decode(path, await source.count(path), [1, 5])));`,
    );
    const config = new URL("../../../deno.json", import.meta.url).pathname;
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--quiet", "--no-check", "--config", config, program],
    }).spawn();
    await untilIndexed(folder, 5);
    // While it lives, this process reads what is there.
    const warnings: string[] = [];
    {
      await using reader = await FrameCache.open(
        cacheOptions(folder, { warn: (text) => warnings.push(text) }),
      );
      assert.ok(reader.clips >= 5);
    }
    child.kill("SIGKILL");
    await child.status;
    assert.match(warnings.join(), /process \d+ .*is writing to it/);
    const wanted = await cachedEpochs(options, cacheOptions(join(root, "fresh")));
    const kept = await cachedEpochs({ ...options, clips: [] }, cacheOptions(folder));
    assert.ok(kept.clips >= 5 && kept.clips < 60, `${kept.clips} clips`);
    assert.deepEqual(await cachedEpochs(options, cacheOptions(folder)), wanted);
  }));

Deno.test("an index or a file of frames cut at any byte costs the clips behind the cut, and nothing else", () =>
  inTempFolder(async (root) => {
    const paths = ["a", "b", "c"];
    for (const [i, path] of paths.entries()) await writeFolder(join(root, path), i, undefined, 2);
    const folder = join(root, "cache"), cache = cacheOptions(folder);
    const options = { root, modality: "frames", template: TEMPLATE, workers: 1 } as const;
    const read = async (frameCache: FrameCache) => {
      await using source = createClipSource({ ...options, frameCache });
      const clips = [];
      for (const path of paths) clips.push(await source.decode(path, await source.count(path), [1, 2]));
      return clips;
    };
    let wanted;
    {
      await using frameCache = await FrameCache.open(cache);
      wanted = await read(frameCache);
    }
    const index = await readFile(join(folder, "index.jsonl")), shard = join(folder, "frames-00000.bin");
    const frames = await readFile(shard);
    const ends = [...index.keys()].filter((at) => index[at] === 10).map((at) => at + 1);
    assert.equal(ends.length, 3);
    const warn = () => {};
    // A torn line, with the frames of the clip behind it.
    for (let cut = ends[1]; cut < index.length; cut++) {
      await writeFile(join(folder, "index.jsonl"), index.subarray(0, cut));
      await writeFile(shard, frames);
      await using opened = await FrameCache.open(cache);
      assert.equal(opened.clips, 2, `index cut at ${cut}`);
      assert.ok((await stat(shard)).size < frames.length);
      assert.equal((await stat(join(folder, "index.jsonl"))).size, ends[1]);
    }
    // Whole again after going on.
    assert.deepEqual((await reread()).clips, wanted);
    assert.deepEqual(await readFile(shard), frames);
    // Frames lost although their line is there, as after a loss of power on some disks.
    const third = Math.floor(frames.length / 3);
    for (const cut of [0, third, 2 * third + 1, frames.length - 1]) {
      await writeFile(join(folder, "index.jsonl"), index);
      await writeFile(shard, frames);
      await rm(join(folder, "frames-00001.bin"), { force: true });
      await truncate(shard, cut);
      const first = await reread(warn), second = await reread(warn);
      assert.ok(first.held < 3, `${first.held} clips, frames cut at ${cut}`);
      assert.deepEqual(first.clips, wanted);
      assert.deepEqual([second.clips, second.held], [wanted, 3], `opened again, frames cut at ${cut}`);
    }
    async function reread(warn?: () => void) {
      await using frameCache = await FrameCache.open(warn ? { ...cache, warn } : cache);
      const held = frameCache.clips;
      return { held, clips: await read(frameCache) };
    }
  }));

Deno.test("a folder that changed is read again, and so is a bad clip that was mended", () =>
  inTempFolder(async (root) => {
    await writeFolder(join(root, "a"), 1);
    await mkdir(join(root, "empty"));
    await writeFolder(join(root, "holes"), 2);
    for (const frame of [1, 2, 3, 4, 5, 6, 7, 8]) {
      await writeFile(join(root, "holes", `0000${frame}.jpg`), "");
    }
    const options = loaderOptions(root, ["a", "empty", "holes"]), cache = cacheOptions(join(root, "cache"));
    const before = await cachedEpochs(options, cache, 1);
    assert.deepEqual(before.loaded.map(({ bad }) => bad), [false, true, true]);
    await rm(join(root, "a"), { recursive: true });
    await writeFolder(join(root, "a"), 7, { width: 10, height: 14 }, 5);
    await writeFolder(join(root, "empty"), 8);
    await rm(join(root, "holes"), { recursive: true });
    await writeFolder(join(root, "holes"), 9);
    const plain = await epochs(options, 1);
    const after = await cachedEpochs(options, cache, 1);
    assert.deepEqual(after.loaded, plain);
    assert.deepEqual(after.loaded.map(({ bad }) => bad), [false, false, false]);
    assert.deepEqual((await cachedEpochs(options, cache, 1)).loaded, plain);
    await rm(join(root, "a"), { recursive: true });
    const [gone] = (await cachedEpochs(options, cache, 1)).loaded;
    assert.deepEqual(gone.substitutions.map(({ reason }) => reason), ["it does not exist"]);
  }));

Deno.test("files of frames are full at a size, and roots may share a cache", () =>
  inTempFolder(async (root) => {
    const folder = join(root, "cache"), cache = cacheOptions(folder, { shardBytes: 30_000 });
    const names = Array.from({ length: 12 }, (_, i) => `c${i}`);
    for (const split of ["train", "val"]) {
      for (const [i, name] of names.entries()) {
        await writeFolder(join(root, split, name), i + (split === "val" ? 50 : 0));
      }
    }
    const splits = ["train", "val"].map((split) => loaderOptions(join(root, split), names));
    for (let time = 0; time < 2; time++) {
      await using frameCache = await FrameCache.open(cache);
      for (const options of splits) {
        assert.deepEqual(await epochs({ ...options, frameCache }, 1), await epochs(options, 1));
      }
      assert.equal(frameCache.clips, 24);
    }
    const shards = (await readdir(folder)).filter((name) => name.startsWith("frames-"));
    assert.ok(shards.length >= 3, shards.join());
    const sizes = await Promise.all(shards.map(async (name) => (await stat(join(folder, name))).size));
    assert.ok(sizes.every((size) => size < 60_000), sizes.join());
  }));

Deno.test("what comes after a file of frames that is gone does not take its place", () =>
  inTempFolder(async (root) => {
    const groups = ["c", "d"].map((group) => Array.from({ length: 4 }, (_, i) => `${group}${i}`));
    for (const [i, path] of groups.flat().entries()) {
      await writeFolder(join(root, path), i, undefined, i < 4 ? 4 : 9); // the later are the longer
    }
    const [first, second] = groups.map((paths) => ({ ...loaderOptions(root, paths), workers: 1 }));
    const folder = join(root, "cache"), cache = cacheOptions(folder, { shardBytes: 1 });
    await cachedEpochs(first, cache, 1);
    await rm(join(folder, "frames-00003.bin"));
    const warnings: string[] = [], warn = (text: string) => void warnings.push(text);
    assert.equal((await cachedEpochs(second, { ...cache, warn }, 1)).clips, 7);
    assert.match(warnings.join(), /files of frames are cut short; 1 clips are read again$/);
    const again = await cachedEpochs(first, { ...cache, warn }, 1);
    assert.deepEqual([again.loaded, again.clips], [await epochs(first, 1), 8]);
  }));

Deno.test("a cache that was built for something else, or is none, is refused by the key's name", () =>
  inTempFolder(async (root) => {
    const folder = join(root, "cache"), cache = cacheOptions(folder);
    await (await FrameCache.open(cache))[Symbol.asyncDispose]();
    const refusals: [Partial<FrameCacheOptions>, RegExp][] = [
      [
        { side: 32 },
        /data\.frame_cache_side must be 20, for which it was built, current value is 32; name another/,
      ],
      [
        { modality: "video" },
        /data\.modality must be "RGB", for which it was built, current value is "video"/,
      ],
      [
        { template: "{}.jpg" },
        /data\.image_tmpl must be "\{:05d\}\.jpg", for which .* current value is "\{\}\.jpg"/,
      ],
      [{ folder: root }, /it must be a frame cache or an empty folder, it holds "cache"$/],
    ];
    for (const [change, message] of refusals) {
      await assert.rejects(FrameCache.open({ ...cache, ...change }), (error) => {
        assert.ok(error instanceof ConfigError);
        assert.match(error.message, message);
        return true;
      });
    }
    await assert.rejects(
      FrameCache.open({ ...cache, folder: join(folder, "cache.json") }),
      /^DataError: Cannot write ".*cache\.json": a file of that name is there; remove it or choose another name$/,
    );
    await (await FrameCache.open(cache))[Symbol.asyncDispose](); // without a warning: the refused hold no lock
    await writeFile(join(folder, "cache.json"), "{");
    await assert.rejects(FrameCache.open(cache), /cache\.json: it must be JSON/);
  }));

/** A disk of so many bytes; null where this user cannot have one. */
async function smallDisk(path: string, sizeBytes: number): Promise<AsyncDisposable | null> {
  await mkdir(path);
  const run = async (program: string, ...args: string[]) =>
    (await new Deno.Command(program, { args, stderr: "null" }).output().catch(() => null))?.success ?? false;
  if (!await run("mount", "-t", "tmpfs", "-o", `size=${sizeBytes}`, "tmpfs", path)) return null;
  return { [Symbol.asyncDispose]: async () => void await run("umount", path) };
}

Deno.test("where the disk fills up the run goes on with the same frames, after one warning", () =>
  inTempFolder(async (root) => {
    const paths = Array.from({ length: 14 }, (_, i) => `c${i}`);
    for (const [i, path] of paths.entries()) {
      await writeFolder(join(root, path), i, { width: 90, height: 60 });
    }
    const options = loaderOptions(root, paths), folder = join(root, "disk");
    const wanted = await cachedEpochs(options, cacheOptions(join(root, "cache"), { side: 50 }));
    await using disk = await smallDisk(folder, Math.ceil(wanted.sizeBytes / 2 / 4096) * 4096);
    const warnings: string[] = [], warn = (text: string) => void warnings.push(text);
    // Without a disk of its own, a reserve that no disk has room for.
    const reserveBytes = disk === null ? 1e18 : 0;
    const cache = cacheOptions(folder, { side: 50, warn, reserveBytes });
    const filled = await cachedEpochs(options, cache);
    assert.deepEqual(filled.loaded, wanted.loaded);
    assert.equal(warnings.length, 1);
    if (disk === null) {
      return assert.match(warnings[0], /the disk has less than 1000000000000000000 bytes left/);
    }
    assert.match(warnings[0], /^frame cache ".*disk": the disk is full; nothing more is added to it/);
    assert.ok(filled.clips > 0 && filled.clips < 14, `${filled.clips} clips`);
    const again = await cachedEpochs(options, cache);
    assert.deepEqual(again.loaded, wanted.loaded);
  }));

Deno.test(
  "a cache on a read-only file system is read",
  { ignore: Deno.uid() !== 0 },
  () =>
    inTempFolder(async (root) => {
      await writeFolder(join(root, "a"), 1);
      await writeFolder(join(root, "b"), 2);
      const options = loaderOptions(root, ["a", "b"]),
        folder = join(root, "disk"),
        plain = await epochs(options);
      await using disk = await smallDisk(folder, 2 ** 20);
      if (disk === null) return;
      await cachedEpochs({ ...options, clips: options.clips.slice(0, 1) }, cacheOptions(folder));
      const remount = new Deno.Command("mount", { args: ["-o", "remount,ro", folder] });
      assert.ok((await remount.output()).success);
      const warnings: string[] = [];
      const { loaded, clips } = await cachedEpochs(
        options,
        cacheOptions(folder, { warn: (text) => warnings.push(text) }),
      );
      assert.deepEqual([loaded, clips], [plain, 1]);
      assert.match(warnings.join(), /the file system is read-only; it is read, and nothing is added to it$/);
    }),
);

Deno.test("videos give the same frames whether the cache is empty, full or closed to writing", {
  ignore: !hasFfmpeg,
}, () =>
  inTempFolder(async (root) => {
    const pixel = (frame: number, x: number, y: number) =>
      [(17 * frame + 5 * x) % 256, (3 * x * y) % 256, (90 + 11 * y) % 256] as const;
    await writeVideo(join(root, "small.mp4"), { frames: 30, width: 20, height: 16, pixel });
    await writeVideo(join(root, "large.mp4"), { frames: 30, width: 64, height: 48, pixel });
    const paths = ["small.mp4", "large.mp4"];
    for (const [i, { make }] of VIDEO_DAMAGES.entries()) {
      paths.push(`damage${i}.mp4`);
      await writeVideo(join(root, paths.at(-1)!), { frames: 8, width: 48, height: 32, pixel });
      await make(join(root, paths.at(-1)!));
    }
    const options: ClipLoaderOptions = { ...loaderOptions(root, paths), modality: "video" };
    const cache = cacheOptions(join(root, "cache"), { modality: "video" });
    const empty = await cachedEpochs(options, cache), plain = await epochs(options, 1);
    assert.deepEqual(empty.loaded.slice(0, 2).map(({ width, height }) => [width, height]), [[20, 16], [
      26,
      20,
    ]]);
    // The small one is not resized: it differs from its source by the JPEG only.
    const difference = empty.loaded[0].frames.reduce(
      (sum, value, i) => sum + Math.abs(value - plain[0].frames[i]),
      0,
    );
    const mean = difference / plain[0].frames.length;
    assert.ok(mean > 0 && mean < 3, `mean difference ${mean}`);
    for (const [i, { name, problem }] of VIDEO_DAMAGES.entries()) {
      for (const epoch of [0, 1]) {
        const { substitutions } = empty.loaded[epoch * paths.length + 2 + i];
        const told = substitutions.map(({ frame, reason, used }) =>
          `${frame ? "frame" : "clip"}: ${reason}; ${used}`
        );
        assert.match(told[0], problem!, name);
      }
    }
    assert.deepEqual((await cachedEpochs(options, cache)).loaded, empty.loaded);
    const other = cacheOptions(join(root, "other"), { modality: "video" });
    await using _holder = await FrameCache.open(other);
    assert.deepEqual((await cachedEpochs(options, { ...other, warn: () => {} })).loaded, empty.loaded);
  }));

Deno.test(
  "folders and videos of one list share a cache",
  { ignore: !hasFfmpeg },
  () =>
    inTempFolder(async (root) => {
      await writeFolder(join(root, "folder"), 1);
      await writeVideo(join(root, "a.mp4"), {
        frames: 12,
        width: 32,
        height: 24,
        pixel: (frame) => greyOf(frame),
      });
      const options: ClipLoaderOptions = {
        ...loaderOptions(root, ["folder", "a.mp4", "nothing"]),
        modality: "either",
      };
      const cache = cacheOptions(join(root, "cache"), { modality: "either" });
      const empty = await cachedEpochs(options, cache), plain = await epochs(options);
      assert.deepEqual([empty.loaded[0], empty.loaded[2]], [plain[0], plain[2]]);
      assert.equal(empty.clips, 2);
      for (const { frames, frameIndices, width, height } of [empty.loaded[1], empty.loaded[4]]) {
        const shown = frameIndices.map((_, t) => Math.round((frames[t * width * height * 3] - 20) / 5) + 1);
        assert.deepEqual([shown, width, height], [frameIndices, 26, 20]);
      }
      assert.deepEqual((await cachedEpochs(options, cache)).loaded, empty.loaded);
    }),
);

Deno.test(
  "a video decoder that is stopped from outside leaves nothing in the cache",
  { ignore: !hasFfmpeg },
  () =>
    inTempFolder(async (root) => {
      const pixel = (frame: number, x: number) => [frame % 256, x % 256, 80] as const;
      const clip = join(root, "a.mp4"), bin = join(root, "bin"), path = Deno.env.get("PATH")!;
      await writeVideo(clip, { frames: 30, width: 20, height: 16, pixel });
      // A decoder that ends as ffmpeg does on Ctrl-C: part of the frames, code 255.
      await mkdir(bin);
      await writeFile(join(bin, "ffmpeg"), "#!/bin/sh\nhead -c 2000 /dev/zero\nexit 255\n", { mode: 0o755 });
      const options: ClipLoaderOptions = { ...loaderOptions(root, ["a.mp4"]), modality: "video" };
      const cache = cacheOptions(join(root, "cache"), { modality: "video" });
      Deno.env.set("PATH", `${bin}:${path}`);
      try {
        const { loaded: [stopped], clips } = await cachedEpochs(options, cache, 1);
        assert.deepEqual([stopped.bad, stopped.substitutions[0].reason, clips], [
          true,
          "ffmpeg was stopped from outside",
          0,
        ]);
      } finally {
        Deno.env.set("PATH", path);
      }
      const { loaded: [good], clips } = await cachedEpochs(options, cache, 1);
      assert.deepEqual([good.bad, good.substitutions, clips], [false, [], 1]);
    }),
);

Deno.test(
  "a video that changes while it is read is not kept",
  { ignore: !hasFfmpeg || Deno.build.os === "windows" },
  () =>
    inTempFolder(async (root) => {
      const clip = join(root, "a.mp4"), bin = join(root, "bin"), path = Deno.env.get("PATH")!;
      await writeVideo(clip, { frames: 12, width: 20, height: 16, pixel: (frame) => greyOf(frame) });
      await mkdir(bin);
      const program = `#!/bin/sh\ntouch -d @5 "${clip}"\nPATH="${path}" exec ffmpeg "$@"\n`;
      await writeFile(join(bin, "ffmpeg"), program, { mode: 0o755 });
      const options: ClipLoaderOptions = { ...loaderOptions(root, ["a.mp4"]), modality: "video" };
      const cache = cacheOptions(join(root, "cache"), { modality: "video" });
      Deno.env.set("PATH", `${bin}:${path}`);
      try {
        const { loaded: [read], clips } = await cachedEpochs(options, cache, 1);
        assert.deepEqual([read.bad, clips], [false, 0]);
      } finally {
        Deno.env.set("PATH", path);
      }
      assert.equal((await cachedEpochs(options, cache, 1)).clips, 1);
    }),
);

Deno.test("an epoch that is left while the cache is filled leaves no half clip", () =>
  inTempFolder(async (root) => {
    const paths = Array.from({ length: 8 }, (_, i) => `c${i}`);
    for (const [i, path] of paths.entries()) await writeFolder(join(root, path), i);
    const options = loaderOptions(root, paths), cache = cacheOptions(join(root, "cache"));
    {
      await using frameCache = await FrameCache.open(cache);
      await using loader = createClipLoader({ ...options, frameCache });
      const order = paths.map((_, clip) => ({ clip, epoch: 0, repeat: 1 }));
      for await (const { clips } of loader.epoch(order, 1)) if (clips.length > 0) break;
    }
    assert.deepEqual((await cachedEpochs(options, cache)).loaded, await epochs(options));
  }));

Deno.test("an index is read up to its last entry, damaged lines are told, and it gives a clip while its source is as it was", () =>
  inTempFolder(async (root) => {
    const cache = cacheOptions(root), clips = 5000;
    await (await FrameCache.open(cache))[Symbol.asyncDispose]();
    const line = (i: number) =>
      JSON.stringify({
        ...{
          path: `/data/c${i}`,
          size: 0,
          mtime: i + 0.5,
          frames: 60,
          stored: 0,
          shard: 0,
          offset: 0,
          bytes: 0,
        },
        ...i % 1000 === 7 ? { bad: `reason ${i}` } : {},
      }) + "\n";
    const text = Array.from({ length: clips }, (_, i) => line(i)).join("");
    // Lines among the entries that are none cost their own clips; what a crash has left behind the last one is cut off.
    const damaged = ['{"path": 3}', line(1).replace('"frames":60', '"frames":-60').trimEnd(), "[]"].join(
      "\n",
    );
    const whole = `${text}${damaged}\n${line(9999)}`, warnings: string[] = [];
    await writeFile(join(root, "index.jsonl"), whole + '{"path": "/data/x"}\n{"pa');
    await using opened = await FrameCache.open({ ...cache, warn: (text) => void warnings.push(text) });
    assert.match(warnings.join(), /lines of its index are damaged; 3 clips are read again$/);
    assert.equal(opened.clips, clips + 1);
    assert.equal(opened.find("/data/c1007", { size: 0, mtime: 1007.5 })?.bad, "reason 1007");
    assert.equal(opened.find("/data/c1008", { size: 0, mtime: 1008.5 })?.bad, null);
    assert.equal(opened.find("/data/c1008", { size: 0, mtime: 1008.25 }), null);
    assert.equal(opened.findKnown("/data/c1008"), null);
    assert.equal((await stat(join(root, "index.jsonl"))).size, whole.length);
  }));
