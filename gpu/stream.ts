/**
 * Frozen weights kept in host memory and brought to the GPU block by block, for backbones larger than the GPU. Two slots of the
 * largest block take turns: while block i runs, block i + 1 is copied into the other.
 */

import type { Gpu } from "./device.ts";
import { baseOf, bytesOf, type Tensor } from "./graph.ts";
import { align } from "./plan.ts";

const STORAGE = 0x80, COPY_DST = 0x8;
const SLOTS = 2;

/** Bytes of one block's tensors, each at a binding boundary. */
function blockBytes(block: readonly Tensor[]): number {
  return block.reduce((sum, tensor) => sum + align(bytesOf(tensor)), 0);
}

/** Blocks of frozen weights in host memory, in the order in which a program uses them. */
export class WeightStream {
  readonly #gpu: Gpu;
  readonly #slots: GPUBuffer[];
  readonly #host: Uint8Array<ArrayBuffer>[];
  readonly #homes = new Map<Tensor, { block: number; offset: number }>();

  /** GPU and host bytes of streaming these blocks. */
  static bytesFor(blocks: readonly (readonly Tensor[])[]): { gpu: number; host: number } {
    const sizes = blocks.map(blockBytes);
    return {
      gpu: Math.min(SLOTS, blocks.length) * Math.max(0, ...sizes),
      host: sizes.reduce((a, b) => a + b, 0),
    };
  }

  constructor(gpu: Gpu, blocks: readonly (readonly Tensor[])[]) {
    this.#gpu = gpu;
    const largest = Math.max(0, ...blocks.map(blockBytes));
    if (largest > gpu.maxBufferBytes) {
      throw new RangeError(
        `Cannot stream frozen weights: a block must be at most ${gpu.maxBufferBytes} bytes on this adapter, current size is ${largest}`,
      );
    }
    this.#slots = Array.from(
      { length: Math.min(SLOTS, blocks.length) },
      (_, i) => gpu.memory.create(`frozen_block.${i}`, largest, STORAGE | COPY_DST),
    );
    this.#host = blocks.map((block, index) => {
      let offset = 0;
      for (const tensor of block) {
        this.#homes.set(tensor, { block: index, offset });
        offset += align(bytesOf(tensor));
      }
      return new Uint8Array(offset);
    });
  }

  /** The block a tensor belongs to; undefined for tensors that are not streamed. */
  blockOf(tensor: Tensor): number | undefined {
    return this.#homes.get(baseOf(tensor))?.block;
  }

  /** Where a streamed tensor lies while its block is on the GPU. */
  find(tensor: Tensor): { buffer: GPUBuffer; offset: number } | undefined {
    const home = this.#homes.get(baseOf(tensor));
    return home && { buffer: this.#slots[home.block % SLOTS], offset: home.offset };
  }

  /** Stores the bytes of a tensor in host memory. */
  store(tensor: Tensor, bytes: Uint8Array): void {
    const { block, offset } = this.#homes.get(tensor)!;
    this.#host[block].set(bytes, offset);
  }

  /** Queues the copy of a block into its slot. Ordered after everything submitted so far. */
  upload(block: number): void {
    const bytes = this.#host[block];
    this.#gpu.device.queue.writeBuffer(this.#slots[block % SLOTS], 0, bytes);
  }
}
