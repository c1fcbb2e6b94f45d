/** The trainer's side of the GPU Worker: the calls of `Session` as promises, answered in order. */

import type { ModelSpec } from "../../models/mod.ts";
import type { FrameClip } from "../../gpu/frames.ts";
import type { RemoteSessionOptions } from "./gpu_worker.ts";
import type {
  BatchTargets,
  GroupRates,
  MemoryPlan,
  SessionClip,
  TrainClip,
  WeightPart,
} from "./session_plan.ts";
import { WorkerChannel } from "./worker_channel.ts";

/** What is known once the session is open. */
export interface OpenedSession {
  adapter: string;
  memory: MemoryPlan;
  allocatedBytes: number;
  /** Kernel launches of a training micro-batch. */
  launches: number;
}

/** A session in its own Worker. Use with `await using`. */
export class SessionClient {
  readonly opened: OpenedSession;
  readonly #channel: WorkerChannel;
  #largest: { width: number; height: number };
  /** Told when a frame larger than expected made the upload buffers grow. */
  onGrow: ((frame: { width: number; height: number }, allocatedBytes: number) => void) | null = null;

  /** Starts the Worker, opens the GPU there, allocates and compiles. */
  static async open(spec: ModelSpec, options: RemoteSessionOptions): Promise<SessionClient> {
    const { channel, opened } = await WorkerChannel.open("open", [spec, options]);
    return new SessionClient(channel, opened as OpenedSession, options.largestFrame);
  }

  private constructor(
    channel: WorkerChannel,
    opened: OpenedSession,
    largestFrame: { width: number; height: number } | null,
  ) {
    this.#largest = largestFrame ?? { width: 0, height: 0 };
    this.#channel = channel;
    this.opened = opened;
  }

  /** Queues a micro-batch; resolves when it is submitted, not when it has run. Stored taps are given away. */
  async step(clips: readonly TrainClip[], rates: GroupRates, given?: BatchTargets): Promise<boolean> {
    await this.#fitUploads(clips);
    return await this.#channel.call("step", [clips, rates, given], tapMemory(clips)) as Promise<boolean>;
  }

  initialise(seed: number, options: { frozen?: boolean } = {}): Promise<void> {
    return this.#channel.call("initialise", [seed, options]) as Promise<void>;
  }

  write(name: string, values: Float32Array, part: WeightPart = "value"): Promise<void> {
    return this.#channel.call("write", [name, values, part]) as Promise<void>;
  }

  restoreSteps(steps: number, accumulated: number): Promise<void> {
    return this.#channel.call("restoreSteps", [steps, accumulated]) as Promise<void>;
  }

  read(names: readonly string[], part: WeightPart = "value"): Promise<Map<string, Float32Array>> {
    return this.#channel.call("read", [names, part]) as Promise<Map<string, Float32Array>>;
  }

  /** Losses of the micro-batches since the last call. Waits for the GPU: every few steps only. */
  readLosses(): Promise<number[]> {
    return this.#channel.call("readLosses", []) as Promise<number[]>;
  }

  /** Logits [clips K]. Waits for the GPU. Stored taps are given away. */
  async evaluate(clips: readonly SessionClip[]): Promise<Float32Array> {
    await this.#fitUploads(clips);
    return await this.#channel.call("evaluate", [clips], tapMemory(clips)) as Promise<Float32Array>;
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
    const bytes = await this.#channel.call("growUploads", [needed]) as number;
    this.onGrow?.(needed, bytes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#channel.close();
  }
}

/** The memory of stored taps: moved to the Worker, because a copy of them would cost more than the step's other data. */
function tapMemory(clips: readonly SessionClip[]): ArrayBuffer[] {
  return [...new Set(clips.flatMap(({ taps = [] }) => taps.map((tap) => tap.buffer)))];
}
