/** A device in its own Worker (`gpu_worker.ts`): its calls as promises, answered in order. */

import type { FramePrepOptions } from "../../../gpu/frames.ts";
import type { Command, DeviceInfo, DeviceSetup } from "../../../gpu/runtime.ts";
import type { KernelSpec } from "../../../gpu/lower.ts";
import type { Chosen, Launch } from "../../../gpu/tuning/choose.ts";
import type { ChoosingDevice, ChoosingOptions } from "./device.ts";
import type { WorkerWorld } from "../../../mpi/world.ts";
import type { ChoicesByKey } from "./tuned.ts";
import type { WorkerCall, WorkerCalls, WorkerReply } from "./worker_calls.ts";

/** An error of the Worker, with the exit code it carried. */
class RemoteError extends Error {
  readonly exitCode?: number;
  constructor(error: NonNullable<WorkerReply["error"]>) {
    super(error.message);
    this.name = error.name;
    if (error.stack) this.stack = error.stack;
    this.exitCode = error.exitCode;
  }
}

/**
 * Time for a terminated Worker's thread to end. The thread takes the driver down with it, `terminate()` returns before that,
 * nothing tells when, and a process that exits meanwhile may crash inside the driver (llvmpipe of Mesa 22.3, 2026-11, eight
 * processes at once on two cores: 20 of 200 exits without the pause, 6 of 120 with it).
 */
const WORKER_END_MS = 100;

/** Workers whose device is closed, for the next one; null where a Worker ends with its device. */
let idleWorkers: { readonly channels: WorkerChannel[]; readonly withGpus: boolean } | null = null;

/**
 * Keeps Workers whose device is closed, idle, until the process is gone. For programs that end by an exit of their own: such an
 * exit runs no Worker's end, so that it meets a driver at rest (none of 500 exits crashed). Kept Workers would hold up a program
 * that waits for its event loop to run dry.
 *
 * @param options.withGpus They keep their GPU open and its kernels compiled too, for programs that open many devices: a test's exit may
 * crash in Mesa's driver, which its runner knows of.
 */
export function keepGpuWorkers({ withGpus = false }: { withGpus?: boolean } = {}): void {
  idleWorkers ??= { channels: [], withGpus };
}

/** A running Worker. */
class WorkerChannel {
  readonly #worker = new Worker(new URL("./gpu_worker.ts", import.meta.url), { type: "module", name: "gpu" });
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  #nextId = 0;
  #failed = false;

  constructor() {
    this.#worker.onmessage = ({ data }: MessageEvent<WorkerReply>) => {
      const promise = this.#waiting.get(data.id)!;
      this.#waiting.delete(data.id);
      if (data.error) promise.reject(new RemoteError(data.error));
      else promise.resolve(data.value);
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#failed = true;
      for (const promise of this.#waiting.values()) {
        promise.reject(new Error(`Cannot go on: the GPU worker failed: ${event.message}`));
      }
      this.#waiting.clear();
    };
  }

  /** @param transfer Memory that moves to the Worker and can no longer be used here. */
  call<M extends keyof WorkerCalls>(
    method: M,
    args: Parameters<WorkerCalls[M]>,
    transfer: readonly Transferable[] = [],
  ): Promise<Awaited<ReturnType<WorkerCalls[M]>>> {
    const id = this.#nextId++;
    const promise = Promise.withResolvers<unknown>();
    this.#waiting.set(id, promise);
    this.#worker.postMessage({ id, method, args } satisfies WorkerCall, [...transfer]);
    return promise.promise as Promise<Awaited<ReturnType<WorkerCalls[M]>>>;
  }

  /** Closes its device, and ends the Worker where it is not kept for another. */
  async close({ isHelper }: { isHelper: boolean }): Promise<void> {
    const idle = idleWorkers;
    try {
      await this.call("close", [{ keep: !isHelper && idle !== null && idle.withGpus }]);
    } finally {
      if (idle && !this.#failed) idle.channels.push(this);
      else await this.end();
    }
  }

  /** Ends the Worker. */
  async end(): Promise<void> {
    this.#worker.terminate();
    await new Promise((resolve) => setTimeout(resolve, WORKER_END_MS));
  }
}

/** How to open a device. */
export interface RemoteOptions {
  /** Measured kernel choices of this machine. */
  choices?: ChoicesByKey;
  /** Told of every kernel that is compiled. */
  onCompile?: (done: number, total: number) => void;
  /** The ranks to take part with; none by default. */
  world?: WorkerWorld | null;
}

/** A device in a Worker. Use with `await using`. */
export class RemoteDevice implements ChoosingDevice {
  #info: DeviceInfo;
  onCompile?: (done: number, total: number) => void;
  stopsCompiling?: AbortSignal;
  hasChosen?: boolean;
  readonly #channel: WorkerChannel;
  #isHelper = false;

  /**
   * Starts the Worker and opens the GPU there.
   *
   * @throws {AdapterError} when there is no adapter.
   */
  static async open(options: RemoteOptions = {}): Promise<RemoteDevice> {
    const channel = idleWorkers?.channels.pop() ?? new WorkerChannel();
    try {
      const { choices, onCompile, world } = options;
      const info = await channel.call("open", [{ choices, world }]);
      return new RemoteDevice(channel, info, { onCompile });
    } catch (error) {
      await channel.end();
      throw error;
    }
  }

  private constructor(channel: WorkerChannel, info: DeviceInfo, { onCompile }: RemoteOptions) {
    this.#channel = channel;
    this.#info = info;
    this.onCompile = onCompile;
  }

  get info(): DeviceInfo {
    return this.#info;
  }

  async openHelper(): Promise<RemoteDevice> {
    const helper = await RemoteDevice.open();
    helper.#isHelper = true;
    return helper;
  }

  choose(launch: Launch, options: ChoosingOptions): Promise<Chosen> {
    return this.#channel.call("choose", [launch, options]);
  }

  adopt(changes: Parameters<ChoosingDevice["adopt"]>[0]): void {
    this.#info = { ...this.#info, environment: { ...this.#info.environment, ...changes } };
  }

  compile(kernels: readonly KernelSpec[]): Promise<void> {
    return this.#channel.call("compile", [kernels]);
  }

  load(setup: DeviceSetup): Promise<number> {
    return this.#channel.call("load", [setup]);
  }

  setFrames(options: FramePrepOptions): Promise<number> {
    return this.#channel.call("setFrames", [options]);
  }

  submit(
    commands: readonly Command[],
    given: readonly ArrayBuffer[] = [],
  ): Promise<Uint8Array<ArrayBuffer>[]> {
    return this.#channel.call("submit", [commands], [...new Set(given)]);
  }

  /** Lets the Worker free its GPU memory, and ends it where it is not kept. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#channel.close({ isHelper: this.#isHelper });
  }
}
