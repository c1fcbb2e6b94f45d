/**
 * Runs plans. Pipelines, bind groups and uniforms are made once; a run only encodes the dispatch list, so a training
 * step allocates nothing.
 */

import { align, type Plan } from "./plan.ts";
import { baseOf, BINDING_ALIGNMENT, bytesOf, DTYPE_BYTES, resident, sizeOf, type Tensor } from "./graph.ts";
import type { Gpu } from "./device.ts";
import type { WeightStream } from "./stream.ts";
import { type Dispatch, MAX_GRID } from "./op.ts";
import { numbered, packParams, type PipelineCache, specialise } from "./shader.ts";
import { fromHalfArray, toHalfArray } from "../lib/half.ts";

const STORAGE = 0x80, COPY_SRC = 0x4, COPY_DST = 0x8, UNIFORM = 0x40, MAP_READ = 0x1;

/** Memory of resident tensors: buffer and byte offset by owning tensor. */
export class Residency {
  readonly #gpu: Gpu;
  readonly #homes = new Map<Tensor, { buffer: GPUBuffer; offset: number }>();
  /** Frozen weights that are on the GPU only while their block runs; null: everything is resident. */
  stream: WeightStream | null = null;

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /** Bytes that `allocate` would take for these tensors. */
  static bytesFor(tensors: Iterable<Tensor>): number {
    let bytes = 0;
    for (const tensor of tensors) bytes += align(bytesOf(tensor));
    return bytes;
  }

  /** Gives every tensor memory; small ones share buffers of at most the adapter's limit. Memory starts as zeros. */
  allocate(label: string, tensors: Iterable<Tensor>): void {
    const limit = this.#gpu.maxBufferBytes;
    let group: Tensor[] = [], groupBytes = 0;
    const flush = () => {
      if (group.length === 0) return;
      const buffer = this.#gpu.memory.create(label, groupBytes, STORAGE | COPY_SRC | COPY_DST);
      let offset = 0;
      for (const tensor of group) {
        this.#homes.set(tensor, { buffer, offset });
        offset += align(bytesOf(tensor));
      }
      [group, groupBytes] = [[], 0];
    };
    for (const tensor of tensors) {
      if (tensor.base) throw new Error(`Cannot allocate "${tensor.label}": it must own its memory`);
      if (this.#homes.has(tensor)) continue;
      const bytes = align(bytesOf(tensor));
      if (bytes > limit) {
        throw new RangeError(
          `Cannot allocate "${tensor.label}": a buffer must be at most ${limit} bytes on this adapter, current size is ${bytes}`,
        );
      }
      if (groupBytes + bytes > limit) flush();
      group.push(tensor);
      groupBytes += bytes;
    }
    flush();
  }

  /**
   * Gives tensors consecutive places in one flat tensor, in order, and returns that tensor with every start in elements:
   * one pass over flat memory then serves them all.
   */
  allocateFlat(label: string, tensors: readonly Tensor[]): { flat: Tensor; starts: number[] } {
    const step = BINDING_ALIGNMENT / 4;
    const starts: number[] = [];
    let count = 0;
    for (const tensor of tensors) {
      starts.push(count);
      count += Math.ceil(sizeOf(tensor.shape) / step) * step;
    }
    const flat = resident("state", label, [count]);
    this.allocate(label, [flat]);
    const home = this.find(flat);
    tensors.forEach((tensor, i) =>
      this.#homes.set(tensor, { buffer: home.buffer, offset: home.offset + starts[i] * 4 })
    );
    return { flat, starts };
  }

  /** Buffer and byte offset of a resident tensor or a window of one. */
  find(tensor: Tensor): { buffer: GPUBuffer; offset: number } {
    const home = this.stream?.find(tensor) ?? this.#homes.get(baseOf(tensor));
    if (!home) throw new Error(`Cannot find memory of "${tensor.label}": it must be allocated first`);
    return { buffer: home.buffer, offset: home.offset + tensor.offset * DTYPE_BYTES[tensor.dtype] };
  }

  /** Uploads values, converted to the tensor's storage type. */
  write(tensor: Tensor, values: Float32Array | Uint32Array | Uint16Array): void {
    const data = encodeValues(tensor, values);
    if (this.stream?.blockOf(tensor) !== undefined) return this.stream.store(tensor, data);
    const { buffer, offset } = this.find(tensor);
    this.#gpu.device.queue.writeBuffer(buffer, offset, data.buffer, data.byteOffset, data.byteLength);
  }
}

/** Values as the bytes of the tensor's storage type, padded to WebGPU's 4-byte granularity. */
function encodeValues(
  tensor: Tensor,
  values: Float32Array | Uint32Array | Uint16Array,
): Uint8Array<ArrayBuffer> {
  const count = bytesOf(tensor) / DTYPE_BYTES[tensor.dtype];
  if (values.length !== count) {
    throw new RangeError(
      `Cannot write "${tensor.label}": shape [${tensor.shape}] must be given ${count} values, current count is ${values.length}`,
    );
  }
  const typed = tensor.dtype === "f16" && values instanceof Float32Array ? toHalfArray(values) : values;
  const bytes = new Uint8Array(typed.buffer as ArrayBuffer, typed.byteOffset, typed.byteLength);
  if (bytes.byteLength % 4 === 0) return bytes;
  const padded = new Uint8Array(Math.ceil(bytes.byteLength / 4) * 4);
  padded.set(bytes);
  return padded;
}

/** The shared memory that values are placed in. Programs that never run at one time share one arena. */
export class Arena {
  readonly #gpu: Gpu;
  #buffers: GPUBuffer[] = [];

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /** Buffer sizes that hold all of `plans`. */
  static sizesFor(plans: readonly Plan[]): number[] {
    const count = Math.max(0, ...plans.map((plan) => plan.chunks.length));
    return Array.from({ length: count }, (_, i) => Math.max(...plans.map((plan) => plan.chunks[i] ?? 0)));
  }

  /** Allocates once for all plans that will run. */
  allocate(plans: readonly Plan[]): void {
    if (this.#buffers.length > 0) throw new Error("Cannot allocate the arena: it must be empty");
    this.#buffers = Arena.sizesFor(plans).map((size, i) =>
      this.#gpu.memory.create(`arena.${i}`, size, STORAGE | COPY_SRC | COPY_DST)
    );
  }

  buffer(chunk: number): GPUBuffer {
    return this.#buffers[chunk];
  }
}

interface Launch {
  label: string;
  pipeline: GPUComputePipeline;
  bindGroup: GPUBindGroup;
  grid: readonly [number, number, number];
  /** The streamed block whose weights it reads. */
  block: number | undefined;
}

/** A plan with pipelines, bind groups and uniforms: ready to run. */
export class Program {
  readonly plan: Plan;
  readonly #gpu: Gpu;
  readonly #arena: Arena;
  readonly #residency: Residency;
  readonly #launches: Launch[] = [];
  /** First launch of every step, for running a prefix and for profiles. */
  readonly #uniforms: GPUBuffer | null;

  private constructor(
    gpu: Gpu,
    plan: Plan,
    arena: Arena,
    residency: Residency,
    launches: Launch[],
    uniforms: GPUBuffer | null,
  ) {
    this.#gpu = gpu;
    this.plan = plan;
    this.#arena = arena;
    this.#residency = residency;
    this.#launches = launches;
    this.#uniforms = uniforms;
  }

  /** Bytes of uniforms that `prepare` allocates for this plan. */
  static uniformBytes(gpu: Pick<Gpu, "environment">, plan: Plan): number {
    let bytes = 0;
    for (const dispatch of dispatchesOf(gpu, plan)) bytes += align(packedParams(dispatch).byteLength);
    return bytes;
  }

  /**
   * Makes everything a run needs.
   *
   * @throws {Error} with the numbered source when a shader does not compile.
   */
  static async prepare(
    gpu: Gpu,
    plan: Plan,
    options: { arena: Arena; residency: Residency; pipelines: PipelineCache },
  ): Promise<Program> {
    const { device } = gpu;
    const dispatches = [...dispatchesOf(gpu, plan)];
    const params = dispatches.map(packedParams);
    const sizeBytes = params.reduce((sum, p) => sum + align(p.byteLength), 0);
    const uniforms = sizeBytes > 0 ? gpu.memory.create("uniforms", sizeBytes, UNIFORM | COPY_DST) : null;
    const staging = new Uint8Array(sizeBytes);
    const program = new Program(gpu, plan, options.arena, options.residency, [], uniforms);
    let offset = 0;
    for (const [i, dispatch] of dispatches.entries()) {
      const code = specialise(dispatch);
      if (dispatch.grid.some((n) => n > MAX_GRID || n < 1)) {
        throw new RangeError(
          `Cannot launch ${dispatch.label}: a grid must be 1 to ${MAX_GRID} in every dimension, current grid is [${dispatch.grid}]`,
        );
      }
      device.pushErrorScope("validation");
      const pipeline = options.pipelines.get(dispatch.label, code, dispatch.entryPoint);
      staging.set(new Uint8Array(params[i]), offset);
      const at = dispatch.paramsBinding ?? 0;
      const entries: GPUBindGroupEntry[] = [
        { binding: at, resource: { buffer: uniforms!, offset, size: params[i].byteLength } },
        ...dispatch.tensors.map((tensor, j) => ({
          binding: j < at ? j : j + 1,
          resource: program.#binding(tensor),
        })),
      ];
      const bindGroup = device.createBindGroup({
        label: dispatch.label,
        layout: pipeline.getBindGroupLayout(0),
        entries,
      });
      const error = await device.popErrorScope();
      if (error) throw new Error(`Cannot prepare ${dispatch.label}: ${error.message}\n${numbered(code)}`);
      const block = dispatch.tensors.map((t) => options.residency.stream?.blockOf(t)).find((b) =>
        b !== undefined
      );
      program.#launches.push({ label: dispatch.label, pipeline, bindGroup, grid: dispatch.grid, block });
      offset += align(params[i].byteLength);
    }
    if (uniforms) device.queue.writeBuffer(uniforms, 0, staging);
    return program;
  }

  get launchCount(): number {
    return this.#launches.length;
  }

  /** Where a tensor's bytes lie. */
  locate(tensor: Tensor): { buffer: GPUBuffer; offset: number } {
    const base = baseOf(tensor);
    const pinnedTo = this.plan.pinned.get(base);
    const within = tensor.offset * DTYPE_BYTES[tensor.dtype];
    if (pinnedTo) {
      const home = this.#residency.find(pinnedTo);
      return { buffer: home.buffer, offset: home.offset + within };
    }
    const placement = this.plan.placements.get(base);
    if (placement) return { buffer: this.#arena.buffer(placement.chunk), offset: placement.offset + within };
    return this.#residency.find(tensor);
  }

  /**
   * Encodes all launches, in one compute pass; with streamed weights, one pass and one submission a block, each block's weights
   * being copied while the block before it runs.
   *
   * @returns The encoder to go on with: another one when parts had to be submitted.
   */
  async encode(encoder: GPUCommandEncoder, label = "program"): Promise<GPUCommandEncoder> {
    const { stream } = this.#residency, { queue } = this.#gpu.device;
    const starts = this.#blockStarts();
    if (!stream || starts.length === 0) {
      this.#encodePart(encoder, label, 0, this.#launches.length);
      return encoder;
    }
    const running: Promise<void>[] = [];
    stream.upload(starts[0].block);
    for (const [i, { at }] of starts.entries()) {
      this.#encodePart(encoder, label, i === 0 ? 0 : at, starts[i + 1]?.at ?? this.#launches.length);
      if (i === starts.length - 1) break;
      queue.submit([encoder.finish()]);
      encoder = this.#gpu.device.createCommandEncoder({ label });
      // Copies wait in host memory until the GPU takes them: no more than two blocks may wait.
      running.push(queue.onSubmittedWorkDone());
      if (i > 0) await running[i - 1];
      stream.upload(starts[i + 1].block);
    }
    return encoder;
  }

  /** First launch of every streamed block. */
  #blockStarts(): { block: number; at: number }[] {
    const starts: { block: number; at: number }[] = [];
    this.#launches.forEach(({ block, label }, at) => {
      const last = starts.at(-1)?.block ?? -1;
      if (block === undefined || block === last) return;
      if (block < last) {
        throw new Error(
          `Cannot stream weights: ${label} must not come back to block ${block} after block ${last}`,
        );
      }
      starts.push({ block, at });
    });
    return starts;
  }

  #encodePart(encoder: GPUCommandEncoder, label: string, from: number, to: number): void {
    if (from === to) return;
    const pass = encoder.beginComputePass({ label });
    let current: GPUComputePipeline | null = null;
    for (const launch of this.#launches.slice(from, to)) {
      if (launch.pipeline !== current) pass.setPipeline(current = launch.pipeline);
      pass.setBindGroup(0, launch.bindGroup);
      pass.dispatchWorkgroups(...launch.grid);
    }
    pass.end();
  }

  /** Encodes every launch into a pass of its own, timed by `writes(i)`: for profiles. */
  encodeTimed(encoder: GPUCommandEncoder, writes: (launch: number) => GPUComputePassTimestampWrites): void {
    this.#launches.forEach((launch, i) => {
      const pass = encoder.beginComputePass({ label: launch.label, timestampWrites: writes(i) });
      pass.setPipeline(launch.pipeline);
      pass.setBindGroup(0, launch.bindGroup);
      pass.dispatchWorkgroups(...launch.grid);
      pass.end();
    });
  }

  /** Encodes and submits one run. */
  async run(): Promise<void> {
    this.#gpu.assertAlive();
    const encoder = await this.encode(this.#gpu.device.createCommandEncoder());
    this.#gpu.device.queue.submit([encoder.finish()]);
  }

  /** Labels of the launches in order, for profiles and tests. */
  labels(): string[] {
    return this.#launches.map((launch) => launch.label);
  }

  [Symbol.dispose](): void {
    if (this.#uniforms) this.#gpu.memory.destroy(this.#uniforms);
  }

  #binding(tensor: Tensor): GPUBufferBinding {
    const { buffer, offset } = this.locate(tensor);
    return { buffer, offset, size: Math.ceil(bytesOf(tensor) / 4) * 4 };
  }
}

/** The dispatches of a plan in order. */
export function* dispatchesOf(gpu: Pick<Gpu, "environment">, plan: Plan): Generator<Dispatch> {
  for (const { node } of plan.steps) yield* node.op.dispatches({ ...node, environment: gpu.environment });
}

function packedParams(dispatch: Dispatch): ArrayBuffer {
  return packParams(dispatch.label, dispatch.source, dispatch.params);
}

/**
 * Copies tensors back to the host as f32 (or u32). Waits for the GPU: call it every so many steps, and for many tensors at
 * once, because every wait costs up to 10 ms on Deno.
 */
export async function readTensors(
  gpu: Gpu,
  tensors: readonly { label: string; buffer: GPUBuffer; offset: number; tensor: Tensor }[],
): Promise<Float32Array<ArrayBuffer>[]> {
  const sizes = tensors.map(({ tensor }) => Math.ceil(bytesOf(tensor) / 4) * 4);
  const total = sizes.reduce((a, b) => a + align(b), 0);
  const limit = gpu.maxBufferBytes;
  if (total > limit && tensors.length > 1) {
    const half = tensors.length >> 1;
    return [
      ...await readTensors(gpu, tensors.slice(0, half)),
      ...await readTensors(gpu, tensors.slice(half)),
    ];
  }
  const staging = gpu.device.createBuffer({ label: "readback", size: total, usage: MAP_READ | COPY_DST });
  const encoder = gpu.device.createCommandEncoder();
  let at = 0;
  tensors.forEach(({ buffer, offset }, i) => {
    encoder.copyBufferToBuffer(buffer, offset, staging, at, sizes[i]);
    at += align(sizes[i]);
  });
  gpu.device.queue.submit([encoder.finish()]);
  await staging.mapAsync(1);
  const bytes = staging.getMappedRange();
  at = 0;
  const out = tensors.map(({ tensor }, i) => {
    const raw = bytes.slice(at, at + bytesOf(tensor));
    at += align(sizes[i]);
    if (tensor.dtype === "f16") return fromHalfArray(new Uint16Array(raw));
    if (tensor.dtype === "u32") return Float32Array.from(new Uint32Array(raw));
    return new Float32Array(raw);
  });
  staging.unmap();
  staging.destroy();
  return out;
}
