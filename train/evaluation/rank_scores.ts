/** An evaluation that several ranks share: each scores blocks of the list in turn, and all get every clip once, in the order of the list. */

import type { World } from "../../mpi/world.ts";
import { InterruptedError } from "../../lib/errors.ts";
import type { ScoredClip } from "../tasks/task.ts";

type Ranks = Pick<World, "rank" | "size">;

/** Places of a rank's clips in a list. @param options.block Clips that a rank scores in a row. */
export function placesOfRank(
  clips: number,
  { world: { rank, size }, block }: { world: Ranks; block: number },
): number[] {
  const places: number[] = [];
  for (let start = rank * block; start < clips; start += size * block) {
    for (let place = start; place < Math.min(clips, start + block); place++) places.push(place);
  }
  return places;
}

/**
 * All ranks' clips, from this rank's. Every round is one block of each.
 *
 * @throws {InterruptedError} on all ranks where one is to stop.
 */
export async function* shareScores(
  own: AsyncGenerator<ScoredClip>,
  { world, clips, block, signal }: { world: World; clips: number; block: number; signal?: AbortSignal },
): AsyncGenerator<ScoredClip> {
  try {
    for (let start = 0; start < clips; start += world.size * block) {
      const first = start + world.rank * block, wanted = Math.max(0, Math.min(block, clips - first));
      const scored: ScoredClip[] = [];
      while (scored.length < wanted) scored.push(withOwnMemory((await own.next()).value!));
      const all = await world.gather({ scored, stops: signal?.aborted ?? false }, "the scores of clips");
      if (all.some(({ stops }) => stops)) throw new InterruptedError("Interrupted");
      yield* all.flatMap((one) => one.scored);
    }
  } finally {
    await own.return(undefined);
  }
}

/** Outputs are windows of those of a batch, which would travel with each of them. */
function withOwnMemory(clip: ScoredClip): ScoredClip {
  const views = clip.views.map((view) =>
    Object.fromEntries(Object.entries(view).map(([name, values]) => [name, values.slice()]))
  );
  return { ...clip, views };
}
