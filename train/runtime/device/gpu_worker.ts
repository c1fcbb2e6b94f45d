/** The Worker that owns the GPU: it waits for the GPU so that nobody else has to. It knows no model, only programs. */

import { releasedFrames } from "../../../data/frames/shared_garbage.ts";
import { Gpu, openGpu } from "../../../gpu/device.ts";
import { type Command, Runtime } from "../../../gpu/runtime.ts";
import { workerExchange } from "../../../mpi/worker_exchange.ts";
import { chooseKernel } from "../../../gpu/tuning/choose.ts";
import { deviceInfo } from "./device.ts";
import { freeMemory } from "./free_memory.ts";
import type { WorkerCall, WorkerCalls, WorkerReply } from "./worker_calls.ts";

let gpu: Gpu | null = null, runtime: Runtime | null = null;
/** A GPU whose memory is free and whose pipelines are there, for the next device. */
let kept: Gpu | null = null;

const openedGpu = (): Gpu => {
  if (!gpu) throw new Error("Cannot call the GPU worker: a device must be open");
  return gpu;
};

const opened = (): Runtime => {
  if (!runtime) throw new Error("Cannot call the GPU worker: a device must be open");
  return runtime;
};

const calls: WorkerCalls = {
  async open({ choices, world }) {
    gpu = kept?.isAlive
      ? new Gpu(kept.device, kept.info, kept.features, choices)
      : await openGpu({ choices });
    kept = null;
    runtime = new Runtime(gpu, world ? workerExchange(world) : null);
    return deviceInfo(gpu, await freeMemory(gpu));
  },
  choose: (launch, options) => chooseKernel(openedGpu(), launch, options),
  compile: (kernels) => opened().compile(kernels),
  load: (setup) => opened().load(setup),
  setFrames: (options) => opened().setFrames(options),
  submit: (commands) => opened().submit(commands),
  async close({ keep }) {
    try {
      await runtime?.unload();
      gpu?.memory[Symbol.dispose]();
      kept = keep ? gpu : null;
    } finally {
      if (kept === null) gpu?.[Symbol.dispose]();
      gpu = runtime = null;
    }
  },
};

/** What this file uses of the Worker's global scope; the project is checked against the window's. */
interface WorkerScope {
  onmessage: ((event: MessageEvent<WorkerCall>) => void) | null;
  postMessage(message: WorkerReply, transfer?: Transferable[]): void;
}

const scope = self as unknown as WorkerScope;

scope.onmessage = async ({ data: { id, method, args } }) => {
  try {
    const call = calls[method] as (...args: unknown[]) => unknown;
    const value = await call(...args);
    if (method === "submit") releasedFrames(bytesOfClips(args[0] as readonly Command[]));
    // What was read moves to the caller: a copy would cost as much as reading it back.
    scope.postMessage(
      { id, value },
      method === "submit" ? (value as Uint8Array<ArrayBuffer>[]).map((b) => b.buffer) : [],
    );
  } catch (error) {
    const { name, message, stack, exitCode } = error as Error & { exitCode?: number };
    scope.postMessage({ id, error: { name, message, stack, exitCode } });
  }
};

/** Bytes of the decoded frames in these commands. */
function bytesOfClips(commands: readonly Command[]): number {
  const clips = commands.flatMap((command) => command.do === "frames" ? command.clips : []);
  return clips.reduce((sum, { frames }) => sum + frames.length, 0);
}
