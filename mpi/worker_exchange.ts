/** A Worker's part in the exchanges: the same library, which its process has joined already, on a communicator of its own. */

import { Exchange } from "./exchange.ts";
import { MpiLibrary } from "./library.ts";
import { WatchMemory } from "./watch_memory.ts";
import type { WorkerWorld } from "./world.ts";

/** Opens a Worker's exchanges. */
export function workerExchange({ library, watch, ...place }: WorkerWorld): Exchange {
  return new Exchange(MpiLibrary.open([library]), { ...place, watch: new WatchMemory(watch), slot: "gpu" });
}
