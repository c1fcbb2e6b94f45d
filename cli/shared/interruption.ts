/**
 * Ctrl-C, a request to end and a closed terminal: the first stops the verb cleanly, a second one ends the process at once.
 *
 * One Ctrl-C may arrive several times: the terminal sends it to everybody in the foreground, and `deno task` passes on what it
 * gets. So what comes within half a second is the same, and a second one counts from when the line that speaks of it could be read.
 */
import { discardUnfinished } from "../../data/files.ts";
import { InterruptedError } from "../../lib/errors.ts";
import { INTERRUPTED_EXIT_CODE, type Streams } from "./output.ts";

/** Time that interrupted work with nothing to save has to end by itself. */
const STOP_MS = 2000;
/** Time in which repeated signals are one. */
const REPEAT_MS = 500;

/** What the process leaves when it is stopped at once. */
let kept = () => "what was saved before is kept";

/** Sets what is said of a process that is stopped at once: what of its work is kept. */
export function tellKept(words: () => string): void {
  kept = words;
}

/**
 * Aborted by the first signal. Called once in a process.
 *
 * @param options.isRank SIGUSR2 counts too, which launchers of MPI pass on to their ranks (SIGUSR1 would open Deno's inspector).
 */
export function interruptionSignal(streams: Streams, options: { isRank?: boolean } = {}): AbortSignal {
  const outlivesTerminal = hangUpIsIgnored(); // the first listener of any signal takes that back
  const controller = new AbortController();
  let toldAt = 0;
  const onSignal = () => {
    if (controller.signal.aborted) {
      if (performance.now() - toldAt >= REPEAT_MS) endNow(streams);
      return;
    }
    streams.stderr("\nsidenet: stopping; once more to stop at once\n");
    toldAt = performance.now();
    controller.abort(new InterruptedError("Interrupted"));
  };
  Deno.addSignalListener("SIGINT", onSignal);
  if (Deno.build.os !== "windows") {
    Deno.addSignalListener("SIGTERM", onSignal);
    if (options.isRank) Deno.addSignalListener("SIGUSR2", onSignal);
    Deno.addSignalListener("SIGHUP", outlivesTerminal ? () => {} : onSignal);
  }
  return controller.signal;
}

/** Fails when interrupted work had its time to end by itself: much of it cannot be stopped half-way. */
export function abandoned(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const count = () => setTimeout(() => reject(signal.reason), STOP_MS);
    if (signal.aborted) count();
    else signal.addEventListener("abort", count, { once: true });
  });
}

/** Ends the process in the middle of whatever it does. */
function endNow(streams: Streams): never {
  discardUnfinished();
  streams.stderr(`\nsidenet: stopped at once; ${kept()}\n`);
  Deno.exit(INTERRUPTED_EXIT_CODE);
}

/**
 * Whether the process was started to outlive its terminal (`nohup`). A listener would take that back, and so does `deno task`; denow,
 * which comes before it, leaves word.
 */
function hangUpIsIgnored(): boolean {
  if (Deno.env.get("SIDENET_HANGUP") === "ignore") return true;
  try {
    const ignored = /^SigIgn:\s*([0-9a-f]+)$/m.exec(Deno.readTextFileSync("/proc/self/status"))?.[1];
    return ignored !== undefined && (parseInt(ignored.slice(-1), 16) & 1) === 1; // the lowest bit is SIGHUP's
  } catch {
    return false; // another system, or a process that may not look there
  }
}
