/** The thread of a rank that watches the others (`mpi/watch_loop.ts`). It has nothing else to do, so that nothing keeps it from that. */
import { MpiLibrary } from "../../mpi/library.ts";
import { watchRanks, type WatchSetup } from "../../mpi/watch_loop.ts";
import { WatchMemory } from "../../mpi/watch_memory.ts";
import { neutralText } from "../../lib/neutral.ts";

/** What this file uses of the Worker's global scope; the project is checked against the window's. */
interface WorkerScope {
  onmessage: ((event: MessageEvent<WatchSetup>) => void) | null;
  postMessage(message: string): void;
}

const scope = self as unknown as WorkerScope;

scope.onmessage = ({ data: { library, memory } }) => {
  const watched = new WatchMemory(memory);
  watchRanks(MpiLibrary.open([library]), watched, {
    ask: (message) => scope.postMessage(message),
    // The main thread, which speaks otherwise, does not come back from MPI.
    say(message) {
      const { rank } = watched.place, who = rank === 0 ? "" : `rank ${rank}: `;
      Deno.stderr.writeSync(new TextEncoder().encode(`\nsidenet: ${who}${neutralText(message)}\n`));
    },
  });
};
