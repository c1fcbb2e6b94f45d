/** The other side of the Worker that owns the GPU (`gpu_worker.ts`): its calls as promises, answered in order. */

/** One call to the Worker. */
export interface WorkerCall {
  id: number;
  method: WorkerMethod;
  args: unknown[];
}

/** What the Worker can do: first open a session or a tower, then what that offers. */
export type WorkerMethod =
  | "open"
  | "openTower"
  | "taps"
  | "step"
  | "initialise"
  | "write"
  | "restoreSteps"
  | "read"
  | "readLosses"
  | "evaluate"
  | "growUploads"
  | "close";

/** The answer to a call. */
export interface WorkerReply {
  id: number;
  value?: unknown;
  error?: { name: string; message: string; stack?: string; exitCode?: number };
}

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
export class WorkerChannel {
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

  /** Starts a Worker and makes the first call; a Worker that fails it is ended. */
  static async open(
    method: WorkerMethod,
    args: unknown[],
  ): Promise<{ channel: WorkerChannel; opened: unknown }> {
    const channel = new WorkerChannel();
    try {
      return { channel, opened: await channel.call(method, args) };
    } catch (error) {
      await channel.#end();
      throw error;
    }
  }

  /** @param transfer Memory that moves to the Worker and can no longer be used here. */
  call(method: WorkerMethod, args: unknown[], transfer: Transferable[] = []): Promise<unknown> {
    const id = this.#nextId++;
    const promise = Promise.withResolvers<unknown>();
    this.#waiting.set(id, promise);
    this.#worker.postMessage({ id, method, args } satisfies WorkerCall, transfer);
    return promise.promise;
  }

  /** Lets the Worker free its GPU memory, and ends it. */
  async close(): Promise<void> {
    try {
      await this.call("close", []);
    } finally {
      await this.#end();
    }
  }

  async #end(): Promise<void> {
    this.#worker.terminate();
    await new Promise((resolve) => setTimeout(resolve, WORKER_END_MS));
  }
}
