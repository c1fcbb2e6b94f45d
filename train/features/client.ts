/** The extraction's side of the GPU Worker: the calls of `Tower` as promises, answered in order. */

import type { FrameClip } from "../../gpu/frames.ts";
import type { ModelSpec } from "../../models/mod.ts";
import type { ClipFeatures } from "./tower.ts";
import type { RemoteTowerOptions } from "../runtime/gpu_worker.ts";
import { WorkerChannel } from "../runtime/worker_channel.ts";

/** What is known once the tower is open. */
export interface OpenedTower {
  adapter: string;
  allocatedBytes: number;
  /** Clips of a batch, at most: as many as asked for, or as the adapter can hold. */
  clips: number;
}

/** A frozen tower in its own Worker. Use with `await using`. */
export class TowerClient {
  readonly opened: OpenedTower;
  readonly #channel: WorkerChannel;

  /** Starts the Worker, opens the GPU there, allocates and compiles. */
  static async open(spec: ModelSpec, options: RemoteTowerOptions): Promise<TowerClient> {
    const { channel, opened } = await WorkerChannel.open("openTower", [spec, options]);
    return new TowerClient(channel, opened as OpenedTower);
  }

  private constructor(channel: WorkerChannel, opened: OpenedTower) {
    this.#channel = channel;
    this.opened = opened;
  }

  initialise(seed: number): Promise<void> {
    return this.#channel.call("initialise", [seed]) as Promise<void>;
  }

  write(name: string, values: Float32Array): Promise<void> {
    return this.#channel.call("write", [name, values]) as Promise<void>;
  }

  /** The features of a batch of at most `opened.clips` clips. Waits for the GPU. */
  taps(clips: readonly FrameClip[]): Promise<ClipFeatures[]> {
    return this.#channel.call("taps", [clips]) as Promise<ClipFeatures[]>;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#channel.close();
  }
}
