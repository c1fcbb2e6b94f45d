/**
 * What the devices of several ranks do together: sums of memory over ranks, and memory of the first rank for all. Values go through
 * the host, one copy each way.
 */

import type { Address } from "../layout.ts";

const COPY_DST = 0x8, MAP_READ = 0x1;
/**
 * Bytes that are brought to the host at once: while ranks exchange some, the next ones come to the host, and the ones before go back to
 * the GPU.
 */
const PART_BYTES = 2 ** 25;

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
  /** For the part that is exchanged, and for the next one. */
  readonly #staging: (GPUBuffer | undefined)[] = [];
  #result = new Float32Array();

  constructor(device: GPUDevice, ranks: Ranks) {
    this.#device = device;
    this.#ranks = ranks;
  }

  /** Sums ranges over ranks, in place. What was encoded before must have been submitted. */
  async sum(ranges: readonly MemoryRange[], buffers: readonly GPUBuffer[], what: string): Promise<void> {
    await this.#each(ranges, buffers, what, (values, into) => this.#ranks.sum(values, into));
  }

  /** Puts the first rank's values of ranges in their place on all ranks. */
  async broadcast(
    ranges: readonly MemoryRange[],
    buffers: readonly GPUBuffer[],
    what: string,
  ): Promise<void> {
    await this.#each(ranges, buffers, what, (values, into) => {
      into.set(values);
      this.#ranks.broadcast(new Uint8Array(into.buffer, into.byteOffset, into.byteLength));
    });
  }

  /** Frees its memory. */
  [Symbol.dispose](): void {
    for (const staging of this.#staging) staging?.destroy();
    this.#staging.length = 0;
  }

  async #each(
    ranges: readonly MemoryRange[],
    buffers: readonly GPUBuffer[],
    what: string,
    exchange: (values: Float32Array, into: Float32Array<ArrayBuffer>) => void,
  ): Promise<void> {
    const { queue } = this.#device, parts = partsOf(ranges);
    if (parts.length === 0) return;
    let coming = this.#fetch(parts[0], 0, buffers);
    for (const [i, part] of parts.entries()) {
      const staging = await coming, bytes = bytesOfParts(part);
      if (i + 1 < parts.length) coming = this.#fetch(parts[i + 1], i + 1, buffers);
      coming.catch(() => {}); // raised when it is waited for, unless an exchange fails before
      if (this.#result.byteLength < bytes) this.#result = new Float32Array(bytes / 4);
      const into = this.#result.subarray(0, bytes / 4);
      if (i === 0) this.#ranks.meet(what);
      exchange(new Float32Array(staging.getMappedRange(0, bytes)), into);
      staging.unmap();
      let at = 0;
      for (const { buffer, offset, bytes } of part) {
        queue.writeBuffer(buffers[buffer], offset, into, at / 4, bytes / 4);
        at += bytes;
      }
    }
  }

  /** Brings a part to the host. @returns Its mapped buffer, one of two in turn. */
  async #fetch(
    part: readonly MemoryRange[],
    number: number,
    buffers: readonly GPUBuffer[],
  ): Promise<GPUBuffer> {
    const total = bytesOfParts(part), staging = this.#stagingOf(number % 2, total);
    const encoder = this.#device.createCommandEncoder({ label: "exchange" });
    let at = 0;
    for (const { buffer, offset, bytes } of part) {
      encoder.copyBufferToBuffer(buffers[buffer], offset, staging, at, bytes);
      at += bytes;
    }
    this.#device.queue.submit([encoder.finish()]);
    await staging.mapAsync(MAP_READ, 0, total);
    return staging;
  }

  #stagingOf(which: number, bytes: number): GPUBuffer {
    const there = this.#staging[which];
    if (there && there.size >= bytes) return there;
    there?.destroy();
    const usage = MAP_READ | COPY_DST;
    return this.#staging[which] = this.#device.createBuffer({ label: "exchange", size: bytes, usage });
  }
}

function bytesOfParts(part: readonly MemoryRange[]): number {
  return part.reduce((sum, { bytes }) => sum + bytes, 0);
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
