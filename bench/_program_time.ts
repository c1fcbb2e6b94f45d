/** Times of graphs. */

import type { Gpu } from "../gpu/device.ts";
import type { PreparedGraph } from "../gpu/run.ts";

const REPEATS = 5;
/** Time that a repeat lasts at least, several runs of the program where one is shorter: its end is seen on a 10 ms poll. */
const REPEAT_MS = 60;
const MOST_RUNS = 256;

/** Best time of one run in ms, over several repeats that are each waited for. */
export async function bestMs(gpu: Gpu, program: PreparedGraph): Promise<number> {
  const time = async (runs: number) => {
    const started = performance.now();
    for (let i = 0; i < runs; i++) await program.run();
    await gpu.device.queue.onSubmittedWorkDone();
    return performance.now() - started;
  };
  await time(1); // warms up
  let runs = 1;
  while (runs < MOST_RUNS && await time(runs) < REPEAT_MS) runs *= 4;
  let best = Infinity;
  for (let i = 0; i < REPEATS; i++) best = Math.min(best, await time(runs) / runs);
  return best;
}
