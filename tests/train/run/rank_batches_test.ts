/** Batches that ranks share: what one alone knows is agreed upon, and a failure of one is the end of all. */
import assert from "node:assert/strict";
import { ALONE, type World } from "../../../mpi/world.ts";
import { meetingRanks } from "../../_util/meeting_ranks.ts";
import type { ClipFeed, FedClip } from "../../../train/feed/clip_feed.ts";
import { type RankBatch, rankBatches, SharedEnd } from "../../../train/run/rank_batches.ts";

/** A feed of clips named by their number, that fails at one of them. */
function feedOf(failsAt = -1): ClipFeed {
  return {
    async *epoch(order, batchSize) {
      for (let start = 0; start < order.length; start += batchSize) {
        const clips = order.slice(start, start + batchSize).map(({ clip }) => {
          if (clip === failsAt) throw new Error(`clip ${clip} is broken`);
          const views = [{ at: clip }];
          return { index: clip, path: "", label: 0, frameCount: 1, views, problems: [], bad: false };
        });
        yield await Promise.resolve({ clips: clips as unknown as FedClip[], waitMs: 0 });
      }
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

const order = (clips: number) => Array.from({ length: clips }, (_, clip) => ({ clip, epoch: 0, repeat: 1 }));
const options = (world: World, own: { isStopping?: () => boolean } = {}) => ({
  world,
  batchSize: 4,
  copies: 1,
  pairs: false,
  isStopping: () => false,
  isStateDue: () => world.rank === 0,
  ...own,
});

async function batchesOf(world: World, clips: number): Promise<RankBatch[]> {
  return await Array.fromAsync(rankBatches(feedOf(), order(clips), options(world)));
}

Deno.test("ranks see the batches of one process, each has its part, and of the last some may have none", async () => {
  const alone = await batchesOf(ALONE, 9);
  for (const ranks of [2, 3]) {
    const all = await Promise.all(meetingRanks(ranks).map((world) => batchesOf(world, 9)));
    for (const [rank, batches] of all.entries()) {
      const indices = batches.map(({ clips }) => clips.map(({ index }) => index));
      assert.deepEqual(indices, alone.map(({ clips }) => clips.map(({ index }) => index)));
      for (const { own, whole, clips, saves } of batches) {
        assert.deepEqual(own as unknown, whole!.places.map((place) => ({ at: clips[place].index })));
        assert.equal(whole!.clips, clips.length);
        assert.equal(saves, true, "what rank 0 alone knows");
      }
      assert.equal(batches[2].own.length, rank === 0 ? 1 : 0);
    }
  }
});

Deno.test("a signal to one rank stops all after the same batch", async () => {
  const seen = await Promise.all(
    meetingRanks(2).map(async (world) => {
      const stops: boolean[] = [];
      const own = { isStopping: () => world.rank === 1 && stops.length === 1 };
      for await (const batch of rankBatches(feedOf(), order(12), options(world, own))) {
        stops.push(batch.stops);
      }
      return stops;
    }),
  );
  assert.deepEqual(seen, [[false, true, false], [false, true, false]]);
});

Deno.test("a rank that fails ends all, and they say which and why", async () => {
  const ends = meetingRanks(2).map(async (world) => {
    let done = 0;
    try {
      for await (const _ of rankBatches(feedOf(6), order(12), options(world))) done++;
    } catch (error) {
      assert.ok(error instanceof SharedEnd);
      assert.equal(error.message, "rank 1 has failed: clip 6 is broken");
      assert.equal(error.exitCode, 1);
      return done;
    }
    return -1;
  });
  assert.deepEqual(await Promise.all(ends), [1, 1]);
});
