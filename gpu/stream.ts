/**
 * Weights kept in host memory and brought to the GPU block by block, for backbones larger than the GPU: while block i runs,
 * block i + 1 is copied into another buffer (`Layout.streamBlocks` says which).
 */

import type { StreamSpec } from "./layout.ts";

/** Blocks of weights in host memory, in the order in which a program uses them. */
export class BlockStream {
  readonly #queue: GPUQueue;
  readonly #slots: readonly GPUBuffer[];
  readonly #host: readonly Uint8Array<ArrayBuffer>[];

  /** @param buffers All buffers by their numbers in the layout. */
  constructor(queue: GPUQueue, spec: StreamSpec, buffers: readonly GPUBuffer[]) {
    this.#queue = queue;
    this.#slots = spec.slots.map((slot) => buffers[slot]);
    this.#host = spec.blockBytes.map((bytes) => new Uint8Array(bytes));
  }

  /** Stores bytes of a block in host memory. */
  store(block: number, offset: number, bytes: Uint8Array): void {
    this.#host[block].set(bytes, offset);
  }

  /** Bytes of a block. */
  bytesOf(block: number): number {
    return this.#host[block].length;
  }

  /** Queues the copy of a block into its buffer. Ordered after everything submitted so far. */
  upload(block: number): void {
    this.#queue.writeBuffer(this.#slots[block % this.#slots.length], 0, this.#host[block]);
  }
}
