/** A device in its own Worker (`gpu_worker.ts`): its calls as promises, answered in order. */

import type { FramePrepOptions } from "../../gpu/frames.ts";
import type { Command, DeviceInfo, DeviceSetup } from "../../gpu/runtime.ts";
import type { Device } from "./device.ts";
import type { TunedChoices } from "./tuned.ts";
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
 * Time for a terminated Worker's thread to end. `terminate()` returns before that, nothing tells when, and a process that
 * exits meanwhile may crash inside the driver (llvmpipe of Mesa 22.3, 2026-11: 3 of 25 exits without the pause, none of 40 with
 * it).
 */
const WORKER_END_MS = 100;

/** A running Worker. */
class WorkerChannel {
  readonly #worker = new Worker(new URL("./gpu_worker.ts", import.meta.url), { type: "module", name: "gpu" });
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  #nextId = 0;

  constructor() {
    this.#worker.onmessage = ({ data }: MessageEvent<WorkerReply>) => {
      const promise = this.#waiting.get(data.id)!;
      this.#waiting.delete(data.id);
      if (data.error) promise.reject(new RemoteError(data.error));
      else promise.resolve(data.value);
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
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

  async end(): Promise<void> {
    this.#worker.terminate();
    await new Promise((resolve) => setTimeout(resolve, WORKER_END_MS));
  }
}

/** A device in a Worker. Use with `await using`. */
export class RemoteDevice implements Device {
  readonly info: DeviceInfo;
  readonly #channel: WorkerChannel;

  /**
   * Starts the Worker and opens the GPU there.
   *
   * @throws {AdapterError} when there is no adapter.
   */
  static async open(options: { choices?: TunedChoices } = {}): Promise<RemoteDevice> {
    const channel = new WorkerChannel();
    try {
      return new RemoteDevice(channel, await channel.call("open", [options]));
    } catch (error) {
      await channel.end();
      throw error;
    }
  }

  private constructor(channel: WorkerChannel, info: DeviceInfo) {
    this.#channel = channel;
    this.info = info;
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

  /** Lets the Worker free its GPU memory, and ends it. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.#channel.call("close", []);
    } finally {
      await this.#channel.end();
    }
  }
}
