/** Resident memory stays level while hundreds of clips pass through the loader. Takes half a minute. */
import assert from "node:assert/strict";
import { writeFrameFolders } from "../../bench/_loader_files.ts";
import { createClipLoader } from "../../data/loader.ts";
import { epochOrder } from "../../data/sampling/epoch_order.ts";
import { inTempFolder } from "../_util/frame_folders.ts";

/** A third warms up; the second and the last are compared. */
const CLIPS = 1500, BATCH = 15;
/** Keeping every clip's frames would take 1,000 MB from one third to the next; collections let 200 MB come and go. */
const SLACK_BYTES = 250 * 2 ** 20;

Deno.test("memory stays flat over hundreds of clips of 8 frames of 340x256", () =>
  inTempFolder(async (root) => {
    const set = await writeFrameFolders(root, 6, 10);
    const clips = Array.from({ length: CLIPS }, (_, i) => set.clips[i % set.clips.length]);
    const sampler = () => [1, 2, 4, 5, 6, 7, 9, 10];
    await using loader = createClipLoader({
      clips,
      root,
      template: set.template,
      sampler,
      seed: 1,
      workers: 2,
    });
    const order = epochOrder({ clips: CLIPS, epoch: 0, seed: 1, shuffle: true, batchSize: BATCH });
    const looks: number[] = [];
    for await (const batch of loader.epoch(order, BATCH)) {
      assert.equal(batch.clips.length, BATCH);
      looks.push(Deno.memoryUsage().rss);
    }
    assert.equal(loader.stats().badClips, 0);
    const third = Math.floor(looks.length / 3);
    const growth = median(looks.slice(2 * third)) - median(looks.slice(third, 2 * third));
    assert.ok(growth < SLACK_BYTES, `${Math.round(growth / 2 ** 20)} MB more after ${CLIPS / 3} clips`);
  }));

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}
