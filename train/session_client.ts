/** The trainer's side of the GPU Worker: the calls of `Session` as promises, answered in order. */

import type { ModelSpec } from "../models/mod.ts";
import type { RemoteSessionOptions } from "./gpu_worker.ts";
import type { WeightPart } from "./session_plan.ts";
import type { GroupRates, MemoryPlan, MixedTargets, TrainClip } from "./session_plan.ts";
import type { FrameClip } from "../gpu/frames.ts";

/** One call to the Worker. */
export interface WorkerCall {
  id: number;
  method:
    | "open"
    | "step"
    | "initialise"
    | "write"
    | "restoreSteps"
    | "read"
    | "readLosses"
    | "evaluate"
    | "growUploads"
    | "close";
  args: unknown[];
}

/** Its answer. */
export interface WorkerReply {
  id: number;
  value?: unknown;
  error?: { name: string; message: string; stack?: string; exitCode?: number };
}

/** What is known once the session is open. */
export interface OpenedSession {
  adapter: string;
  memory: MemoryPlan;
  allocatedBytes: number;
  /** Kernel launches of a training micro-batch. */
  launches: number;
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

async function endWorker(worker: Worker): Promise<void> {
  worker.terminate();
  await new Promise((resolve) => setTimeout(resolve, WORKER_END_MS));
}

/** A session in its own Worker. Use with `await using`. */
export class SessionClient {
  readonly opened: OpenedSession;
  readonly #worker: Worker;
  readonly #waiting: Map<number, PromiseWithResolvers<unknown>>;
  #nextId = 1;
  #largest: { width: number; height: number };
  /** Told when a frame larger than expected made the upload buffers grow. */
  onGrow: ((frame: { width: number; height: number }, allocatedBytes: number) => void) | null = null;

  /** Starts the Worker, opens the GPU there, allocates and compiles. */
  static async open(spec: ModelSpec, options: RemoteSessionOptions): Promise<SessionClient> {
    const worker = new Worker(new URL("./gpu_worker.ts", import.meta.url), { type: "module", name: "gpu" });
    const waiting = new Map<number, PromiseWithResolvers<unknown>>();
    worker.onmessage = ({ data }: MessageEvent<WorkerReply>) => {
      const promise = waiting.get(data.id)!;
      waiting.delete(data.id);
      if (data.error) promise.reject(new RemoteError(data.error));
      else promise.resolve(data.value);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      for (const promise of waiting.values()) {
        promise.reject(new Error(`Cannot go on: the GPU worker failed: ${event.message}`));
      }
      waiting.clear();
    };
    const first = Promise.withResolvers<unknown>();
    waiting.set(0, first);
    worker.postMessage({ id: 0, method: "open", args: [spec, options] } satisfies WorkerCall);
    try {
      return new SessionClient(worker, waiting, await first.promise as OpenedSession, options.largestFrame);
    } catch (error) {
      await endWorker(worker);
      throw error;
    }
  }

  private constructor(
    worker: Worker,
    waiting: Map<number, PromiseWithResolvers<unknown>>,
    opened: OpenedSession,
    largestFrame: { width: number; height: number } | null,
  ) {
    this.#largest = largestFrame ?? { width: 0, height: 0 };
    this.#worker = worker;
    this.#waiting = waiting;
    this.opened = opened;
  }

  /** Queues a micro-batch; resolves when it is submitted, not when it has run. */
  async step(clips: readonly TrainClip[], rates: GroupRates, mixed?: MixedTargets): Promise<boolean> {
    await this.#fitUploads(clips);
    return await this.#call("step", [clips, rates, mixed]) as Promise<boolean>;
  }

  initialise(seed: number, options: { frozen?: boolean } = {}): Promise<void> {
    return this.#call("initialise", [seed, options]) as Promise<void>;
  }

  write(name: string, values: Float32Array, part: WeightPart = "value"): Promise<void> {
    return this.#call("write", [name, values, part]) as Promise<void>;
  }

  restoreSteps(steps: number, accumulated: number): Promise<void> {
    return this.#call("restoreSteps", [steps, accumulated]) as Promise<void>;
  }

  read(names: readonly string[], part: WeightPart = "value"): Promise<Map<string, Float32Array>> {
    return this.#call("read", [names, part]) as Promise<Map<string, Float32Array>>;
  }

  /** Losses of the micro-batches since the last call. Waits for the GPU: every few steps only. */
  readLosses(): Promise<number[]> {
    return this.#call("readLosses", []) as Promise<number[]>;
  }

  /** Logits [clips K]. Waits for the GPU. */
  async evaluate(clips: readonly FrameClip[]): Promise<Float32Array> {
    await this.#fitUploads(clips);
    return await this.#call("evaluate", [clips]) as Promise<Float32Array>;
  }

  /** Makes room for frames larger than those the upload buffers were made for. */
  async #fitUploads(clips: readonly FrameClip[]): Promise<void> {
    const needed = { ...this.#largest };
    for (const { width, height, transform: { resize } } of clips) {
      needed.width = Math.max(needed.width, width, resize?.width ?? 0);
      needed.height = Math.max(needed.height, height, resize?.height ?? 0);
    }
    if (needed.width === this.#largest.width && needed.height === this.#largest.height) return;
    this.#largest = needed;
    const bytes = await this.#call("growUploads", [needed]) as number;
    this.onGrow?.(needed, bytes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.#call("close", []);
    } finally {
      await endWorker(this.#worker);
    }
  }

  #call(method: WorkerCall["method"], args: unknown[]): Promise<unknown> {
    const id = this.#nextId++;
    const promise = Promise.withResolvers<unknown>();
    this.#waiting.set(id, promise);
    this.#worker.postMessage({ id, method, args } satisfies WorkerCall);
    return promise.promise;
  }
}
