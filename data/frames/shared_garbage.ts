/**
 * Gives back the memory of decoded frames that nobody holds any more. A thread's collector does not count memory that threads share,
 * nor that of native pictures, so it would let gigabytes of them lie while its own heap is small; and shared memory is free
 * only when every thread that saw it has let go of it.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** A thread that let go of so many bytes collects: about what a few large clips have; a set of small ones seldom gets there. */
const COLLECT_AFTER_BYTES = 2 ** 28;

let released = 0, collect: (() => void) | null = null;

/** This thread lets go of so many bytes of decoded frames, or soon will. */
export function releasedFrames(bytes: number): void {
  released += bytes;
  if (released < COLLECT_AFTER_BYTES) return;
  released = 0;
  collect ??= collector();
  collect();
}

/** The platform's collector as a function; it does nothing where there is none to be had. */
function collector(): () => void {
  try {
    setFlagsFromString("--expose-gc");
    const found: unknown = runInNewContext("gc");
    if (typeof found === "function") return () => found();
  } catch {
    // then it is the platform's own affair
  }
  return () => {};
}
