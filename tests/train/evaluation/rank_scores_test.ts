/** An evaluation that ranks share counts every clip once, in the order of the list, whatever divides what. */
import assert from "node:assert/strict";
import { meetingRanks } from "../../_util/meeting_ranks.ts";
import { placesOfRank, shareScores } from "../../../train/evaluation/rank_scores.ts";
import type { ScoredClip } from "../../../train/tasks/task.ts";

function scored(index: number): ScoredClip {
  const views = [{ logits: Float32Array.of(index, -index) }];
  return { index, path: `clip ${index}`, label: 0, frameCount: 1, views, problems: [], bad: false };
}

Deno.test("1, 2 and 3 ranks give every clip of lists of 0 to 25 once, in order, to all", async () => {
  for (const size of [1, 2, 3]) {
    for (const block of [1, 3, 4]) {
      for (let clips = 0; clips <= 25; clips++) {
        const all = await Promise.all(
          meetingRanks(size).map(async (world) => {
            const own = placesOfRank(clips, { world, block });
            const score = (async function* () {
              for (const index of own) yield await Promise.resolve(scored(index));
            })();
            return await Array.fromAsync(shareScores(score, { world, clips, block }), ({ index }) => index);
          }),
        );
        for (const indices of all) assert.deepEqual(indices, [...Array(clips).keys()]);
      }
    }
  }
});

Deno.test("one rank that is to stop stops all", async () => {
  const controller = new AbortController();
  controller.abort();
  const ends = meetingRanks(2).map(async (world) => {
    const own = (async function* () {
      yield await Promise.resolve(scored(world.rank));
    })();
    const signal = world.rank === 1 ? controller.signal : undefined;
    await Array.fromAsync(shareScores(own, { world, clips: 2, block: 1, signal }));
  });
  for (const end of ends) await assert.rejects(end, { name: "InterruptedError" });
});
