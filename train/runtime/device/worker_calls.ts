/** What the Worker that owns the GPU can be asked: the one list of its calls, and the form of their messages. */

import type { Runtime } from "../../../gpu/runtime.ts";
import type { DeviceInfo } from "../../../gpu/runtime.ts";
import type { WorkerWorld } from "../../../mpi/world.ts";
import type { Chosen, Launch } from "../../../gpu/tuning/choose.ts";
import type { ChoosingOptions } from "./device.ts";
import type { ChoicesByKey } from "./tuned.ts";

/** The calls. `open` comes first, `close` last; those between are the runtime's own. */
export interface WorkerCalls extends Pick<Runtime, "compile" | "load" | "setFrames" | "submit"> {
  /**
   * Opens the best adapter.
   *
   * @param options.choices Measured kernel choices of this machine.
   * @param options.world The ranks to take part with; none by default.
   */
  open(options: { choices?: ChoicesByKey; world?: WorkerWorld | null }): Promise<DeviceInfo>;
  /** Measures which kernel does a launch fastest. */
  choose(launch: Launch, options: ChoosingOptions): Promise<Chosen>;
  /** Frees its memory. @param options.keep The GPU stays open for the next device, with its kernels compiled. */
  close(options: { keep: boolean }): Promise<void>;
}

/** One call to the Worker. */
export interface WorkerCall {
  id: number;
  method: keyof WorkerCalls;
  args: unknown[];
}

/** The answer to a call. */
export interface WorkerReply {
  id: number;
  value?: unknown;
  error?: { name: string; message: string; stack?: string; exitCode?: number };
}
