/** Clips with captions on their way to a run: which pairs an epoch has, and short clips that are filled up. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { formatPairs } from "../../../data/datasets/pairs.ts";
import { viewFeed } from "../../../train/evaluation/evaluate.ts";
import { readSplit } from "../../../train/feed/lists.ts";
import { trainingFeed } from "../../../train/feed/training_feed.ts";
import { loopBatches, readTrainingSet } from "../../../train/feed/training_set.ts";
import { inTempFolder, writeFrames } from "../../_util/frame_folders.ts";
import { tinyRetrieval } from "../../_util/tiny_retrieval.ts";

/** Pairs of five clips, two captions each. */
const PAIRS = Array.from({ length: 10 }, (_, i) => ({ path: `c${i >> 1}`, captions: [`caption ${i}`] }));

async function withList(work: (list: string, root: string) => Promise<void>): Promise<void> {
  await inTempFolder(async (root) => {
    const list = join(root, "pairs.jsonl");
    await Deno.writeTextFile(list, formatPairs(PAIRS));
    await work(list, root);
  });
}

Deno.test("training takes every pair or every clip once; an evaluation every clip with all its captions", async () => {
  await withList(async (list) => {
    const recipe = (...keys: string[]) =>
      tinyRetrieval(`data.train_list=${list}`, `data.val_list=${list}`, "data.batch_size=4", ...keys);
    const { clips: pairs } = await readTrainingSet(recipe());
    assert.deepEqual(pairs.map(({ captions }) => captions), PAIRS.map(({ captions }) => captions));
    const { clips } = await readTrainingSet(recipe("data.captions=random"));
    const grouped = [0, 2, 4, 6, 8].map((i) => [`caption ${i}`, `caption ${i + 1}`]);
    assert.deepEqual(clips.map(({ captions }) => captions), grouped);
    assert.deepEqual((await readSplit(recipe(), "val")).map(({ captions }) => captions), grouped);
  });
});

Deno.test("what is left behind the full batches of an epoch is left out, other pairs in each epoch, and none of a set smaller than a batch", async () => {
  await withList(async (list) => {
    const recipe = (...keys: string[]) => tinyRetrieval(`data.train_list=${list}`, ...keys);
    const config = recipe("data.batch_size=4"), set = await readTrainingSet(config);
    assert.equal(set.loopClips, 8);
    assert.deepEqual(loopBatches(config, set), { batches: 2, lastBatch: 0 });
    const orders = [0, 1, 2].map((epoch) => set.order(epoch, 0).map(({ clip }) => clip));
    for (const order of orders) assert.equal(new Set(order).size, 8);
    assert.equal(new Set(orders.flat()).size, 10);
    assert.deepEqual(set.order(1, 4).map(({ clip }) => clip), orders[1].slice(4), "an epoch that goes on");
    const whole = await readTrainingSet(recipe("data.batch_size=4", "data.drop_last=false"));
    assert.equal(whole.loopClips, 10);
    assert.equal((await readTrainingSet(recipe("data.batch_size=16"))).loopClips, 10);
  });
});

Deno.test("a clip with fewer frames than the network takes is filled up with its last, and says how many it has", async () => {
  await inTempFolder(async (root) => {
    await writeFrames(join(root, "c0"), { frames: 61, shade: 40, width: 16, height: 16 });
    const config = tinyRetrieval(
      `data.root=${root}`,
      "data.num_segments=3",
      "data.sampling=2", // a frame of every thirty
      "data.eval_sampling=2",
      "data.workers=1",
    );
    const clips = [{ path: "c0", label: 0, frames: null, line: 1, captions: ["x"] }];
    for (const feed of [trainingFeed(config, clips), viewFeed(config, { clips, views: null })]) {
      await using own = feed;
      const [{ clips: [{ frameCount, views: [{ frames }] }] }] = await Array.fromAsync(
        own.epoch([{ clip: 0, epoch: 0, repeat: 1 }], 1),
      );
      const picture = (t: number) => frames.subarray(t * 768, (t + 1) * 768);
      assert.equal(frameCount, 2);
      assert.equal(frames.length, 3 * 768);
      assert.notDeepEqual(picture(0), picture(1));
      assert.deepEqual(picture(2), picture(1));
    }
  });
});
