/** A process that is interrupted and takes its time: says what reaches it. Started by `interruption_test.ts`. */
import { interruptionSignal } from "../../cli/shared/interruption.ts";
import { processStreams } from "../../cli/shared/output.ts";

const signal = interruptionSignal(processStreams());
signal.addEventListener("abort", () => console.log("aborted"));
console.log("ready");
setTimeout(() => Deno.exit(0), 20_000);
