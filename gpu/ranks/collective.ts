/**
 * What the devices of several ranks do together: sums of memory over ranks, and memory of the first rank for all. Values go through
 * the host, one copy each way.
 */

import type { Address } from "../layout.ts";

const COPY_DST = 0x8, MAP_READ = 0x1;
/** Bytes that are brought to the host at once. */
const PART_BYTES = 2 ** 28;

/** The other ranks, as a device sees them. Every rank makes the same calls in the same order. */
export interface Ranks {
  /** Blocks until all have come. @param what What they come to, for the error of one that does not. */
  meet(what: string): void;
  /** Sums over ranks. All must have come. */
  sum(values: Float32Array, into: Float32Array<ArrayBuffer>): void;
  /** The first rank's bytes. All must have come. */
  broadcast(bytes: Uint8Array<ArrayBuffer>): void;
}

/** A range of a buffer, of whole floats. */
export type MemoryRange = Address & { readonly bytes: number };

/** Exchanges between a device's memory and those of other ranks. */
export class Collectives {
  readonly #device: GPUDevice;
  readonly #ranks: Ranks;
  #staging: GPUBuffer | null = null;
  #result = new Float32Array();

  constructor(device: GPUDevice, ranks: Ranks) {
    this.#device = device;
    this.#ranks = ranks;
  }

  /** Sums ranges over ranks, in place. What was encoded before must have been submitted. */
  async sum(ranges: readonly MemoryRange[], buffers: readonly GPUBuffer[], what: string): Promise<void> {
    await this.#each(ranges, buffers, (values, into) => {
      this.#ranks.meet(what);
      this.#ranks.sum(values, into);
    });
  }

  /** Puts the first rank's values of ranges in their place on all ranks. */
  async broadcast(
    ranges: readonly MemoryRange[],
    buffers: readonly GPUBuffer[],
    what: string,
  ): Promise<void> {
    await this.#each(ranges, buffers, (values, into) => {
      into.set(values);
      this.#ranks.meet(what);
      this.#ranks.broadcast(new Uint8Array(into.buffer, into.byteOffset, into.byteLength));
    });
  }

  /** Frees its memory. */
  [Symbol.dispose](): void {
    this.#staging?.destroy();
    this.#staging = null;
  }

  async #each(
    ranges: readonly MemoryRange[],
    buffers: readonly GPUBuffer[],
    exchange: (values: Float32Array, into: Float32Array<ArrayBuffer>) => void,
  ): Promise<void> {
    const { queue } = this.#device;
    for (const part of partsOf(ranges)) {
      const total = part.reduce((sum, { bytes }) => sum + bytes, 0), staging = this.#stagingOf(total);
      const encoder = this.#device.createCommandEncoder({ label: "exchange" });
      let at = 0;
      for (const { buffer, offset, bytes } of part) {
        encoder.copyBufferToBuffer(buffers[buffer], offset, staging, at, bytes);
        at += bytes;
      }
      queue.submit([encoder.finish()]);
      await staging.mapAsync(MAP_READ, 0, total);
      const into = this.#result.subarray(0, total / 4);
      exchange(new Float32Array(staging.getMappedRange(0, total)), into);
      staging.unmap();
      at = 0;
      for (const { buffer, offset, bytes } of part) {
        queue.writeBuffer(buffers[buffer], offset, into, at / 4, bytes / 4);
        at += bytes;
      }
    }
  }

  #stagingOf(bytes: number): GPUBuffer {
    if (this.#staging !== null && this.#staging.size >= bytes) return this.#staging;
    this.#staging?.destroy();
    this.#result = new Float32Array(bytes / 4);
    return this.#staging = this.#device.createBuffer({
      label: "exchange",
      size: bytes,
      usage: MAP_READ | COPY_DST,
    });
  }
}

/** Cuts and joins ranges into parts that go through the host at once. */
function partsOf(ranges: readonly MemoryRange[]): MemoryRange[][] {
  const parts: MemoryRange[][] = [[]];
  let room = PART_BYTES;
  for (const { bytes: all, ...range } of ranges) {
    for (let start = 0; start < all;) {
      if (room === 0) {
        parts.push([]);
        room = PART_BYTES;
      }
      const bytes = Math.min(room, all - start);
      parts.at(-1)!.push({ ...range, offset: range.offset + start, bytes });
      start += bytes;
      room -= bytes;
    }
  }
  return parts.filter((part) => part.length > 0);
}
