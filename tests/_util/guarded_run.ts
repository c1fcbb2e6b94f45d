/**
 * Runs a recorded graph with every tensor in a buffer of its own, between sentinels that kernels can reach: a binding
 * covers the tensor's window and the sentinels after it, so that a write past the end lands where it is seen instead of
 * being dropped by the adapter. After ggml's `test-backend-ops`, which surrounds tensors in the same way.
 *
 * The sentinel is NaN in every float type, and values start as sentinels: what a kernel reads outside its windows, or leaves
 * unwritten, shows as NaN in the results.
 */

import type { Gpu } from "../../gpu/device.ts";
import { baseOf, bytesOf, DTYPE_BYTES, type Graph, type Node, type Tensor } from "../../gpu/graph.ts";
import { describeNode, type Dispatch } from "../../gpu/op.ts";
import { numbered, packParams, PipelineCache, specialise } from "../../gpu/shader.ts";
import type { ResidentValues } from "../../gpu/run.ts";
import { fromHalfArray, toHalfArray } from "../../lib/half.ts";

/** Bytes of sentinels on either side, a multiple of the binding alignment. */
const GUARD_BYTES = 16384;
/** The sentinel of tensor number `i`: a NaN as f32, and in both halves as f16; another for each, so that copies show. */
function sentinelOf(i: number): number {
  return (0x7fff - i % 100) << 16 | 0x7e01 + i % 100;
}

/** A device, and what kernels are chosen by. */
export type Machine = Pick<Gpu, "device" | "environment">;

/** A tensor's buffer, and what it holds before the run. */
interface Home {
  buffer: GPUBuffer;
  image: Uint32Array<ArrayBuffer>;
}

const pipelines = new WeakMap<GPUDevice, PipelineCache>();

/**
 * Runs all nodes of `g` once.
 *
 * @param reads Resident tensors to read afterwards, such as updated statistics.
 * @returns The values of the graph's outputs and of `reads`, by name.
 * @throws {Error} naming the tensor, when a kernel wrote outside its window or into an input that its op does not update.
 */
export async function runGuarded(
  gpu: Machine,
  g: Graph,
  options: { values: ResidentValues; reads?: ReadonlyMap<string, Tensor> },
): Promise<Map<string, Float32Array>> {
  const { device } = gpu, { values, reads = new Map() } = options;
  const homes = new Map<Tensor, Home>(), uniforms: GPUBuffer[] = [];
  const homeOf = (tensor: Tensor) => {
    const base = baseOf(tensor);
    let home = homes.get(base);
    if (!home) {
      const sentinel = sentinelOf(homes.size);
      homes.set(base, home = createHome(device, base, { sentinel, values: values.get(base) }));
    }
    return home;
  };
  const nodes = g.nodes.filter((node) => !node.op.view);
  try {
    const encoder = device.createCommandEncoder();
    for (const node of nodes) {
      for (const dispatch of node.op.dispatches({ ...node, environment: gpu.environment })) {
        uniforms.push(await encode(device, encoder, { dispatch, homeOf }));
      }
    }
    const wanted = new Map<string, Tensor>([...g.outputs, ...reads]);
    for (const tensor of wanted.values()) homeOf(tensor); // an input may be an output, and read by no kernel
    const images = await readBack(device, encoder, homes);
    const written = writtenBy(nodes);
    for (const [tensor, { image }] of homes) {
      checkImage(tensor, { before: image, after: images.get(tensor)!, mayChange: written.has(tensor) });
    }
    return new Map(
      [...wanted].map(([name, tensor]) => [name, valuesOf(tensor, images.get(baseOf(tensor))!)]),
    );
  } finally {
    for (const { buffer } of homes.values()) buffer.destroy();
    for (const buffer of uniforms) buffer.destroy();
  }
}

/** The tensors that nodes may write: their outputs, and the inputs that their ops update. */
function writtenBy(nodes: readonly Node[]): Set<Tensor> {
  return new Set(
    nodes.flatMap(({ op, inputs, outputs }) =>
      [...Object.values(outputs), ...op.updates.flatMap((name) => inputs[name] ?? [])].map(baseOf)
    ),
  );
}

function createHome(
  device: GPUDevice,
  tensor: Tensor,
  { sentinel, values }: { sentinel: number; values?: Float32Array | Uint32Array },
): Home {
  const image = new Uint32Array(2 * GUARD_BYTES / 4 + wordsOf(tensor)).fill(sentinel);
  if (values) {
    const stored = tensor.dtype === "f16" ? toHalfArray(values as Float32Array) : values;
    new Uint8Array(image.buffer, GUARD_BYTES).set(
      new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength),
    );
  }
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  const buffer = device.createBuffer({ label: tensor.label, size: image.byteLength, usage });
  device.queue.writeBuffer(buffer, 0, image);
  return { buffer, image };
}

/** Words of a tensor's window; an odd number of halves leaves half a word, which is a sentinel too. */
function wordsOf(tensor: Tensor): number {
  return Math.ceil(bytesOf(tensor) / 4);
}

/** Encodes one launch; returns its uniform buffer. */
async function encode(
  device: GPUDevice,
  encoder: GPUCommandEncoder,
  { dispatch, homeOf }: { dispatch: Dispatch; homeOf: (tensor: Tensor) => Home },
): Promise<GPUBuffer> {
  const { label, paramsBinding: at = 0 } = dispatch, code = specialise(dispatch);
  let cache = pipelines.get(device);
  if (!cache) pipelines.set(device, cache = new PipelineCache(device));
  device.pushErrorScope("validation");
  const pipeline = cache.get(label, code, dispatch.entryPoint);
  const params = packParams(label, dispatch.source, dispatch.params);
  const uniform = device.createBuffer({
    label: `${label}.params`,
    size: params.byteLength,
    usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
  });
  device.queue.writeBuffer(uniform, 0, params);
  const windows = dispatch.tensors.map((tensor, i) => ({
    binding: i < at ? i : i + 1,
    resource: {
      buffer: homeOf(tensor).buffer,
      offset: GUARD_BYTES + tensor.offset * DTYPE_BYTES[tensor.dtype],
    },
  }));
  const bindGroup = device.createBindGroup({
    label,
    layout: pipeline.getBindGroupLayout(0),
    entries: [{ binding: at, resource: { buffer: uniform } }, ...windows],
  });
  const pass = encoder.beginComputePass({ label });
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, bindGroup);
  pass.dispatchWorkgroups(...dispatch.grid);
  pass.end();
  const error = await device.popErrorScope();
  if (error) throw new Error(`Cannot prepare ${label}: ${error.message}\n${numbered(code)}`);
  return uniform;
}

/** Submits, waits, and returns every buffer's words. */
async function readBack(
  device: GPUDevice,
  encoder: GPUCommandEncoder,
  homes: ReadonlyMap<Tensor, Home>,
): Promise<Map<Tensor, Uint32Array<ArrayBuffer>>> {
  const size = [...homes.values()].reduce((sum, { buffer }) => sum + buffer.size, 0);
  const staging = device.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  const starts = new Map<Tensor, number>();
  let at = 0;
  for (const [tensor, { buffer }] of homes) {
    encoder.copyBufferToBuffer(buffer, 0, staging, at, buffer.size);
    starts.set(tensor, at);
    at += buffer.size;
  }
  device.queue.submit([encoder.finish()]);
  try {
    await staging.mapAsync(GPUMapMode.READ);
    const bytes = staging.getMappedRange();
    return new Map(
      [...homes].map(([tensor, { buffer }]) => {
        const start = starts.get(tensor)!;
        return [tensor, new Uint32Array(bytes.slice(start, start + buffer.size))];
      }),
    );
  } finally {
    staging.destroy();
  }
}

/** Compares a tensor's buffer before and after the run. */
function checkImage(
  tensor: Tensor,
  { before, after, mayChange }: { before: Uint32Array; after: Uint32Array; mayChange: boolean },
): void {
  const where = tensor.producer
    ? `"${tensor.label}" of ${describeNode(tensor.producer)}`
    : `"${tensor.label}"`;
  const begin = GUARD_BYTES / 4, end = begin + wordsOf(tensor);
  const first = after.findIndex((word, i) => word !== before[i] && (!mayChange || i < begin || i >= end));
  if (first >= begin && first < end) {
    throw new Error(`a kernel changed ${where}, which its op does not update`);
  }
  if (first >= 0) {
    const [distance, side] = first < begin ? [begin - first, "before"] : [first - end + 1, "after"];
    throw new Error(
      `a kernel wrote ${4 * distance} bytes ${side} the window of ${where}, shape [${tensor.shape}]`,
    );
  }
  if (bytesOf(tensor) % 4 !== 0 && after[end - 1] >>> 16 !== before[end - 1] >>> 16) {
    throw new Error(`a kernel wrote 2 bytes after the window of ${where}, shape [${tensor.shape}]`);
  }
}

/** The values of a tensor in its owner's buffer. */
function valuesOf(tensor: Tensor, words: Uint32Array<ArrayBuffer>): Float32Array {
  const start = GUARD_BYTES + tensor.offset * DTYPE_BYTES[tensor.dtype];
  const bytes = words.buffer.slice(start, start + bytesOf(tensor));
  if (tensor.dtype === "f16") return fromHalfArray(new Uint16Array(bytes));
  return tensor.dtype === "u32" ? Float32Array.from(new Uint32Array(bytes)) : new Float32Array(bytes);
}
