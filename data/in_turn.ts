/** Work on clips that waits its turn in a queue, and may be called off while it waits. */
import type PQueue from "p-queue";

/**
 * Runs work when its turn comes, unless the signal was aborted by then. The queue is not given the signal: it would take
 * work that was told to end for done, and `onIdle()` would no longer wait for it.
 */
export function inTurn<T>(
  queue: PQueue,
  work: () => Promise<T>,
  options: { signal: AbortSignal },
): Promise<T> {
  return queue.add(() => {
    options.signal.throwIfAborted();
    return work();
  });
}
