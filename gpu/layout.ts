/**
 * Where everything lies, as plain numbers and before anything is allocated: the buffers that a program set will need, and the
 * place of every resident tensor and value in them. A device makes the buffers (`gpu/runtime.ts`), on this thread or another.
 */

import { baseOf, BINDING_ALIGNMENT, bytesOf, DTYPE_BYTES, resident, sizeOf, type Tensor } from "./graph.ts";
import { align, type Plan, type PlanLimits, TooLargeError } from "./plan.ts";

/** A buffer to make. */
export interface BufferSpec {
  readonly label: string;
  readonly bytes: number;
}

/** A place in device memory: the number of a buffer, and a byte in it. */
export interface Address {
  readonly buffer: number;
  readonly offset: number;
  /** The streamed block that it belongs to: its bytes are in host memory, and in that buffer only while the block runs. */
  readonly block?: number;
}

/** Blocks of weights that take turns on the device, in the order in which they run. */
export interface StreamSpec {
  /** Bytes of each block in host memory. */
  readonly blockBytes: readonly number[];
  /** Numbers of the buffers that blocks take turns in. */
  readonly slots: readonly number[];
}

/** Buffers that blocks take turns in: while one runs, the next is copied into the other. */
const STREAM_SLOTS = 2;

/** Bytes of tensors that each start at a binding boundary. */
export function alignedBytes(tensors: Iterable<Tensor>): number {
  let bytes = 0;
  for (const tensor of tensors) bytes += align(bytesOf(tensor));
  return bytes;
}

/** Buffers and places, as they are given out. */
export class Layout {
  readonly buffers: BufferSpec[] = [];
  /** null where nothing is streamed. */
  stream: StreamSpec | null = null;
  readonly #limits: PlanLimits;
  readonly #homes = new Map<Tensor, Address>();
  /** The first buffer of each plan's arena. */
  readonly #arenas = new Map<Plan, number>();

  constructor(limits: PlanLimits) {
    this.#limits = limits;
  }

  /**
   * Gives every tensor a place; small ones share buffers of at most the adapter's limit. What has a place keeps it.
   *
   * @throws {TooLargeError} naming a tensor that no kernel of the adapter could see whole.
   */
  allocate(label: string, tensors: Iterable<Tensor>): void {
    this.#allocate(label, tensors, Math.min(this.#limits.maxBindingBytes, this.#limits.maxBufferBytes));
  }

  #allocate(label: string, tensors: Iterable<Tensor>, most: number): void {
    let group: Tensor[] = [], groupBytes = 0;
    const flush = () => {
      if (group.length === 0) return;
      const buffer = this.#add(label, groupBytes);
      let offset = 0;
      for (const tensor of group) {
        this.#homes.set(tensor, { buffer, offset });
        offset += align(bytesOf(tensor));
      }
      [group, groupBytes] = [[], 0];
    };
    for (const tensor of tensors) {
      if (tensor.base) throw new Error(`Cannot allocate "${tensor.label}": it must own its memory`);
      if (this.#homes.has(tensor) || group.includes(tensor)) continue;
      if (bytesOf(tensor) > most) throw TooLargeError.of(tensor, most);
      const bytes = align(bytesOf(tensor));
      if (groupBytes + bytes > this.#limits.maxBufferBytes) flush();
      group.push(tensor);
      groupBytes += bytes;
    }
    flush();
  }

  /**
   * Gives tensors consecutive places in one flat tensor, in order, and returns that tensor with every start in elements: one pass
   * over flat memory then serves them all. No kernel sees it whole, so only the size of a buffer limits it.
   */
  allocateFlat(label: string, tensors: readonly Tensor[]): { flat: Tensor; starts: number[] } {
    const step = BINDING_ALIGNMENT / 4;
    const starts: number[] = [];
    let count = 0;
    for (const tensor of tensors) {
      starts.push(count);
      count += Math.ceil(sizeOf(tensor.shape) / step) * step;
    }
    const flat = resident("state", label, [Math.max(step, count)]);
    this.#allocate(label, [flat], this.#limits.maxBufferBytes);
    const home = this.find(flat);
    tensors.forEach((tensor, i) =>
      this.#homes.set(tensor, { buffer: home.buffer, offset: home.offset + starts[i] * 4 })
    );
    return { flat, starts };
  }

  /**
   * Keeps blocks of frozen tensors in host memory. Two buffers of the largest block take turns: while block i runs, block i + 1 is
   * copied into the other.
   */
  streamBlocks(label: string, blocks: readonly (readonly Tensor[])[]): void {
    const blockBytes = blocks.map(alignedBytes), largest = Math.max(0, ...blockBytes);
    if (largest > this.#limits.maxBufferBytes) {
      throw new RangeError(
        `Cannot stream frozen weights: a block must be at most ${this.#limits.maxBufferBytes} bytes on this adapter, ` +
          `current size is ${largest}`,
      );
    }
    const slots = Array.from(
      { length: Math.min(STREAM_SLOTS, blocks.length) },
      () => this.#add(label, largest),
    );
    blocks.forEach((tensors, block) => {
      let offset = 0;
      for (const tensor of tensors) {
        this.#homes.set(tensor, { buffer: slots[block % slots.length], offset, block });
        offset += align(bytesOf(tensor));
      }
    });
    this.stream = { blockBytes, slots };
  }

  /**
   * Makes room for the values of all plans that will run. Programs never run at one time, so they share it.
   *
   * @param apart Plans that share another room, so that what they leave there stays when others have run.
   */
  allocateArena(plans: readonly Plan[], apart: readonly Plan[] = []): void {
    if (this.#arenas.size > 0) throw new Error("Cannot allocate the arena: it must be empty");
    for (const sharing of [plans, apart]) {
      const start = this.buffers.length;
      arenaSizes(sharing).forEach((bytes, i) => this.#add(`arena.${start + i}`, bytes));
      for (const plan of sharing) this.#arenas.set(plan, start);
    }
  }

  /** A buffer for something else, by its number. */
  add(label: string, bytes: number): number {
    return this.#add(label, bytes);
  }

  /** Place of a resident tensor or of a window of one. */
  find(tensor: Tensor): Address {
    const home = this.#homes.get(baseOf(tensor));
    if (!home) throw new Error(`Cannot find memory of "${tensor.label}": it must be allocated first`);
    return { ...home, offset: home.offset + tensor.offset * DTYPE_BYTES[tensor.dtype] };
  }

  /** Place of a tensor while a plan runs: resident, pinned to a resident one, or a value in the arena. */
  locate(plan: Plan, tensor: Tensor): Address {
    const base = baseOf(tensor), within = tensor.offset * DTYPE_BYTES[tensor.dtype];
    const pinnedTo = plan.pinned.get(base);
    if (pinnedTo) {
      const home = this.find(pinnedTo);
      return { ...home, offset: home.offset + within };
    }
    const placement = plan.placements.get(base);
    if (placement) {
      const arena = this.#arenas.get(plan);
      if (arena === undefined) throw new Error("Cannot find the arena of a plan: it must be allocated first");
      return { buffer: arena + placement.chunk, offset: placement.offset + within };
    }
    return this.find(tensor);
  }

  /** Bytes of all buffers of a label, "*" at its end standing for anything; of all buffers without one. */
  bytesOf(label = "*"): number {
    const matches = (name: string) =>
      label.endsWith("*") ? name.startsWith(label.slice(0, -1)) : name === label;
    return this.buffers.reduce((sum, buffer) => sum + (matches(buffer.label) ? buffer.bytes : 0), 0);
  }

  #add(label: string, bytes: number): number {
    return this.buffers.push({ label, bytes }) - 1;
  }
}

/** Buffer sizes that hold the values of each of these plans. */
export function arenaSizes(plans: readonly Plan[]): number[] {
  const count = Math.max(0, ...plans.map((plan) => plan.chunks.length));
  return Array.from({ length: count }, (_, i) => Math.max(...plans.map((plan) => plan.chunks[i] ?? 0)));
}
