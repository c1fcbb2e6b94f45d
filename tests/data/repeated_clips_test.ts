/** Clips that come several times in an epoch: drawn and augmented anew each time, the first time as if there were no other. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { createClipLoader, type LoadedClip } from "../../data/loader.ts";
import { epochOrder, type OrderEntry } from "../../data/sampling/epoch_order.ts";
import { trainIndices } from "../../data/sampling/frame_indices.ts";
import { inTempFolder, writeFrames } from "../_util/frame_folders.ts";

const CLIPS = [0, 1, 2].map((label) => ({ path: `clip${label}`, label, frames: 40, line: label + 1 }));

async function load(root: string, order: OrderEntry[], workers = 2, cacheBytes = 0): Promise<LoadedClip[]> {
  await using loader = createClipLoader({
    clips: CLIPS,
    root,
    template: "{:05d}.jpg",
    sampler: (frames, prng) => trainIndices(frames, { rule: "sth", segments: 4 }, prng),
    seed: 3,
    workers,
    cacheBytes,
  });
  const clips: LoadedClip[] = [];
  for await (const batch of loader.epoch(order, 4)) clips.push(...batch.clips);
  return clips;
}

Deno.test("a clip that comes again has other frames and other seeds, whatever the workers and the cache", async () => {
  await inTempFolder(async (root) => {
    for (const { path, label } of CLIPS) {
      await writeFrames(join(root, path), { frames: 40, shade: 60 * label });
    }
    const common = { clips: 3, seed: 3, epoch: 1, shuffle: true, batchSize: 4, repeat: 2 };
    const plain = await load(root, epochOrder(common));
    const order = epochOrder({ ...common, rounds: 5 });
    const repeated = await load(root, order);
    assert.equal(repeated.length, 3 * 5 * 2);
    for (const { index } of plain) {
      const own = repeated.filter((clip) => clip.index === index);
      assert.equal(
        new Set(own.map(({ seeds }) => seeds.join())).size,
        10,
        "every copy is augmented by its own draws",
      );
      assert.equal(
        new Set(own.map(({ frameIndices }) => frameIndices.join())).size,
        5,
        "every time other frames",
      );
      const first = plain.filter((clip) => clip.index === index);
      own.slice(0, 2).forEach(({ seeds, frameIndices, frames }, copy) => {
        assert.deepEqual(seeds, first[copy].seeds);
        assert.deepEqual(frameIndices, first[copy].frameIndices);
        assert.deepEqual(frames, first[copy].frames);
      });
    }
    const shape = (clips: LoadedClip[]) =>
      clips.map(({ index, seeds, frameIndices }) => ({ index, seeds, frameIndices }));
    assert.deepEqual(shape(await load(root, order, 1, 2 ** 24)), shape(repeated));
    const later = await load(root, epochOrder({ ...common, rounds: 5, start: 8 }));
    assert.deepEqual(shape(later), shape(repeated).slice(2 * 4 * 2));
  });
});
