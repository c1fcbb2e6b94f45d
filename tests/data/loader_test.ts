import assert from "node:assert/strict";
import { join } from "node:path";
import type { ClipRecord } from "../../data/datasets/list.ts";
import { encodeJpeg } from "../../data/frames/jpeg.ts";
import { type ClipBatch, type ClipLoaderOptions, createClipLoader } from "../../data/loader.ts";
import { epochOrder } from "../../data/sampling/epoch_order.ts";
import { trainIndices } from "../../data/sampling/frame_indices.ts";
import { statedJpeg } from "../_util/huge_pictures.ts";

const FRAMES = 6;

/** Twelve clips of six 8x8 frames; clip c frame f is of the colour (10c, 10f, 0). Clip 5 has no folder, clip 7 a broken frame. */
async function withClips(body: (options: ClipLoaderOptions) => Promise<void>): Promise<void> {
  const root = await Deno.makeTempDir();
  try {
    const clips: ClipRecord[] = [];
    for (let c = 0; c < 12; c++) {
      clips.push({ path: `c${c}`, label: c % 4, frames: FRAMES, line: c + 1 });
      if (c === 5) continue;
      await Deno.mkdir(join(root, `c${c}`));
      for (let f = 1; f <= FRAMES; f++) {
        const rgb = Uint8Array.from({ length: 8 * 8 * 3 }, (_, i) => [10 * c, 10 * f, 0][i % 3]);
        const bytes = await encodeJpeg({ width: 8, height: 8, rgb }, { quality: 95 });
        await Deno.writeFile(
          join(root, `c${c}`, `0000${f}.jpg`),
          c === 7 && f === 4 ? bytes.slice(0, 100) : bytes,
        );
      }
    }
    await body({
      clips,
      root,
      template: "{:05d}.jpg",
      sampler: (frames, prng) => trainIndices(frames, { rule: "kinetics", segments: 4 }, prng),
      seed: 3,
      workers: 1,
    });
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

const order = (epoch: number, start = 0) =>
  epochOrder({ clips: 12, seed: 3, epoch, shuffle: true, batchSize: 5, start });

async function collect(options: ClipLoaderOptions, epochs: number[], start = 0) {
  await using loader = createClipLoader(options);
  const batches: ClipBatch[] = [];
  for (const epoch of epochs) {
    for await (const batch of loader.epoch(order(epoch, start), 5)) batches.push(batch);
  }
  return { batches, stats: loader.stats() };
}

const contents = (batches: ClipBatch[]) => batches.map((batch) => batch.clips);

Deno.test("batches hold the right clips, labels and frames, in order, the last one short", () =>
  withClips(async (options) => {
    const { batches } = await collect(options, [0]);
    assert.deepEqual(batches.map((batch) => batch.clips.length), [5, 5, 2]);
    assert.deepEqual(contents(batches).flat().map((clip) => clip.index), order(0).map((entry) => entry.clip));
    for (const clip of contents(batches).flat()) {
      assert.equal(clip.label, clip.index % 4);
      assert.deepEqual(clip.seeds, [3, 0, clip.index, 0]);
      if (clip.bad) continue;
      clip.frameIndices.forEach((frame, t) => {
        const pixel = clip.frames.subarray(t * 8 * 8 * 3, t * 8 * 8 * 3 + 3);
        const shown = clip.index === 7 && frame === 4 ? 1 : frame;
        assert(
          Math.abs(pixel[0] - 10 * clip.index) <= 4 && Math.abs(pixel[1] - 10 * shown) <= 4,
          `${clip.path} ${pixel}`,
        );
      });
    }
    assert(batches.every((batch) => batch.waitMs >= 0));
  }));

Deno.test("the number of workers, the prefetch and the cache do not change what is delivered", () =>
  withClips(async (options) => {
    const plain = contents((await collect(options, [0, 1])).batches);
    const variants: Partial<ClipLoaderOptions>[] = [
      { workers: 3, prefetch: 1 },
      { workers: 2, prefetch: 100 },
      { cacheBytes: 1e6 },
      { cacheBytes: 3000 },
    ];
    for (const variant of variants) {
      const other = contents((await collect({ ...options, ...variant }, [0, 1])).batches);
      assert.deepEqual(other, plain, JSON.stringify(variant));
    }
    const resumed = contents((await collect(options, [1], 5)).batches);
    assert.deepEqual(resumed, plain.slice(4));
  }));

Deno.test("epochs sample other frames, and another seed does too", () =>
  withClips(async (options) => {
    const frames = async (seed: number) =>
      contents((await collect({ ...options, seed }, [0, 1])).batches).flat().map((clip) =>
        clip.frameIndices.join()
      );
    const first = await frames(3), byClip = first.slice(0, 12);
    assert.notDeepEqual(byClip, first.slice(12));
    assert.notDeepEqual(await frames(4), first);
  }));

Deno.test("a missing folder and a broken frame are counted and named, and never stop the epoch", () =>
  withClips(async (options) => {
    const everyFrame = {
      ...options,
      sampler: (frames: number) => Array.from({ length: frames }, (_, i) => i + 1),
    };
    for (const cacheBytes of [0, 1e6]) {
      const { batches, stats } = await collect({
        ...everyFrame,
        cacheBytes,
        blankSize: { width: 4, height: 2 },
      }, [0, 1]);
      const clips = contents(batches).flat();
      const missing = clips.filter((clip) => clip.index === 5);
      assert.equal(missing.length, 2);
      for (const clip of missing) {
        assert(clip.bad && clip.frames.every((value) => value === 0));
        assert.deepEqual([clip.width, clip.height, clip.label], [4, 2, 1]);
        assert.deepEqual(clip.substitutions, [{
          path: "c5",
          frame: 0,
          reason: "it does not exist",
          used: "black",
        }]);
      }
      for (const clip of clips.filter((clip) => clip.index === 7)) {
        assert.deepEqual(clip.substitutions.map(({ path, frame, used }) => ({ path, frame, used })), [
          { path: "c7", frame: 4, used: 1 },
        ]);
      }
      assert.equal(clips.filter((clip) => clip.index === 7).length, 2);
      assert.deepEqual([stats.clips, stats.substitutions, stats.badClips], [24, 4, 2]);
      assert.equal(stats.cacheHits, cacheBytes ? 11 : 0);
    }
  }));

Deno.test("a folder without a frame of the template is a bad clip with that reason", () =>
  withClips(async (options) => {
    const { batches } = await collect({ ...options, template: "img_{:05d}.jpg" }, [0]);
    const clips = contents(batches).flat();
    assert(clips.every((clip) => clip.bad));
    assert.match(
      clips.find((clip) => clip.index === 0)!.substitutions[0].reason,
      /none of its \d+ files is named like "img_/,
    );
  }));

Deno.test("repeated augmentation delivers copies of one decoded clip, each with its own seeds, reports once", () =>
  withClips(async (options) => {
    await using loader = createClipLoader({ ...options, sampler: () => [4, 5] });
    const entries = [{ clip: 7, epoch: 2, repeat: 2 }, { clip: 0, epoch: 2, repeat: 2 }];
    const [batch] = await Array.fromAsync(loader.epoch(entries, 2));
    assert.deepEqual(batch.clips.map((clip) => [clip.index, clip.copy]), [[7, 0], [7, 1], [0, 0], [0, 1]]);
    assert.deepEqual(batch.clips.map((clip) => clip.seeds[3]), [0, 1, 0, 1]);
    assert.equal(batch.clips[0].frames, batch.clips[1].frames);
    assert.deepEqual(batch.clips.map((clip) => clip.substitutions.length), [1, 0, 0, 0]);
    assert.equal(loader.stats().substitutions, 1);
  }));

Deno.test("no more clips than the prefetch are in flight while the consumer is slow", () =>
  withClips(async (options) => {
    let sampled = 0;
    const sampler = () => {
      sampled++;
      return [1, 2];
    };
    await using loader = createClipLoader({ ...options, sampler, prefetch: 3 });
    let taken = 0;
    for await (const _ of loader.epoch(order(0), 2)) {
      taken += 2;
      await new Promise((resolve) => setTimeout(resolve, 20));
      assert(sampled <= taken + 3, `${sampled} sampled, ${taken} taken`);
      if (taken === 6) break; // leaving early must not leave work behind: the test's sanitizers check
    }
    assert(sampled >= 6);
  }));

Deno.test("an error in the sampler, in the options or after closing reaches the caller", () =>
  withClips(async (options) => {
    const sampler = () => {
      throw new TypeError("no such rule");
    };
    await assert.rejects(collect({ ...options, sampler }, [0]), /no such rule/);
    await assert.rejects(
      collect({ ...options, sampler: () => [0] }, [0]),
      /frames must be in 1 … \d, the sampler gave 0/,
    );
    assert.throws(
      () => createClipLoader({ ...options, workers: 0 }),
      /ConfigError: .* workers must be at least 1/,
    );
    const loader = createClipLoader(options);
    await loader[Symbol.asyncDispose]();
    await assert.rejects(Array.fromAsync(loader.epoch(order(0), 5)), /the pool is closed/);
  }));

Deno.test("a clip of the same class stands in for a bad one, the same one on every run, and both are named", () =>
  withClips(async (options) => {
    const replacing = { ...options, replaceBad: true };
    const { batches, stats } = await collect(replacing, [0, 1]);
    const clips = contents(batches).flat(), places = [0, 1].flatMap((epoch) => order(epoch));
    assert.deepEqual([stats.clips, stats.badClips], [24, 2]);
    clips.forEach((clip, i) => {
      assert.equal(clip.label, places[i].clip % 4);
      assert.deepEqual(clip.seeds, [3, places[i].epoch, places[i].clip, 0]);
      if (places[i].clip !== 5) return assert.equal(clip.index, places[i].clip);
      assert.ok(!clip.bad && [1, 9].includes(clip.index));
      const [told] = clip.substitutions;
      assert.deepEqual(told, {
        path: "c5",
        frame: 0,
        reason: "it does not exist",
        used: { clip: clip.path },
      });
    });
    for (const variant of [{ workers: 3, prefetch: 1 }, { cacheBytes: 1e6 }]) {
      assert.deepEqual(contents((await collect({ ...replacing, ...variant }, [0, 1])).batches).flat(), clips);
    }
    const later = contents((await collect(replacing, [2, 3, 4, 5, 6, 7])).batches).flat();
    const stoodIn = later.filter(({ seeds }) => seeds[2] === 5).map(({ index }) => index);
    assert.deepEqual([...new Set(stoodIn)].sort(), [1, 9], "each epoch draws anew");
    await using loader = createClipLoader({ ...replacing, clips: [options.clips[5]] }); // nothing stands in
    for await (const { clips: [clip] } of loader.epoch([{ clip: 0, epoch: 0, repeat: 1 }], 1)) {
      assert.deepEqual([clip.bad, clip.substitutions[0].used], [true, "black"]);
    }
  }));

Deno.test("a list that states another number of frames is told once, unless it is off by one", () =>
  withClips(async (options) => {
    const stated: Record<number, number> = { 2: FRAMES + 1, 3: FRAMES - 1, 4: FRAMES + 2 };
    const clips = options.clips.map((clip, i) => ({ ...clip, frames: stated[i] ?? clip.frames }));
    const { batches } = await collect({ ...options, clips }, [0, 1]);
    const told = contents(batches).flat().flatMap((clip) => clip.substitutions).filter(({ used }) =>
      used === "its own count"
    );
    assert.deepEqual(told.map(({ path, reason }) => [path, reason]), [
      ["c4", "the list states 8 frames, it has 6"],
    ]);
  }));

Deno.test("however little may be read ahead, clips come all the same, and the same", () =>
  withClips(async (options) => {
    const { batches } = await collect(options, [0, 1]);
    for (const prefetchBytes of [1, 4 * 8 * 8 * 3, 1000]) {
      const held = await collect({ ...options, prefetchBytes, workers: 2 }, [0, 1]);
      assert.deepEqual(contents(held.batches), contents(batches));
    }
  }));

Deno.test("a batch of more decoded bytes than it may have is an error that names a clip and what to do", () =>
  withClips(async (options) => {
    const clip = 4 * 8 * 8 * 3;
    const most = { ...options, mostBatchBytes: 3 * clip, blankSize: { width: 8, height: 8 } };
    await assert.rejects(collect(most, [0]), {
      name: "DataError",
      message:
        /^Cannot load a batch: .* after 3 clips they are more \("c\d+" has frames of \d+x\d+\); lower data\.batch_size/,
    });
    await collect({ ...options, mostBatchBytes: 5 * Math.max(clip, 4 * 32 * 32 * 3) }, [0]);
  }));

Deno.test("a clip whose frames are refused is one of which nothing can be read", () =>
  withClips(async (options) => {
    const refuses = ({ width }: { width: number }) => width === 8 ? "its frames are too small" : null;
    const { batches } = await collect({ ...options, refuses }, [0]);
    const clips = contents(batches).flat();
    assert.ok(clips.every(({ bad }) => bad));
    assert.deepEqual(clips.find(({ path }) => path === "c1")!.substitutions, [
      { path: "c1", frame: 0, reason: "its frames are too small", used: "black" },
    ]);
  }));

Deno.test("a refused clip of more bytes than its place is never decoded, with or without a cache", () =>
  withClips(async (options) => {
    // Cut short: decoding would find another reason.
    const huge = (await statedJpeg(7000, 7000)).subarray(0, -20);
    for (let f = 1; f <= FRAMES; f++) await Deno.writeFile(join(options.root, "c1", `0000${f}.jpg`), huge);
    const refuses = ({ width }: { width: number }) => width === 7000 ? "its frames are too large" : null;
    for (const cacheBytes of [0, 2 ** 32]) {
      const { batches } = await collect({ ...options, refuses, cacheBytes }, [0]);
      const clip = contents(batches).flat().find(({ path }) => path === "c1")!;
      assert.deepEqual(clip.substitutions, [
        { path: "c1", frame: 0, reason: "its frames are too large", used: "black" },
      ]);
    }
    // Where the frames' headers do not agree, what can be decoded decides.
    for (let f = 2; f <= FRAMES; f++) {
      await Deno.copyFile(join(options.root, "c2", `0000${f}.jpg`), join(options.root, "c1", `0000${f}.jpg`));
    }
    const { batches } = await collect({ ...options, refuses }, [0]);
    const clip = contents(batches).flat().find(({ path }) => path === "c1")!;
    assert.deepEqual([clip.bad, clip.width], [false, 8]);
  }));
