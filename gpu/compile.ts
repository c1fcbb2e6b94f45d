/**
 * Compiling kernels before anything is allocated, a few at a time, so that whoever waits can be told how many there are to come.
 *
 * Deno's `createComputePipelineAsync` compiles on the thread that calls it, as `createComputePipeline` does: two kernels are compiled at
 * once only by two devices on two threads. Mesa's software adapter makes its machine code at the first launch, so there
 * every kernel is launched once over no workgroups.
 */

import type { Gpu } from "./device.ts";
import type { KernelSpec } from "./lower.ts";
import { numbered, PipelineCache } from "./shader.ts";

const UNIFORM = 0x40, STORAGE = 0x80;
/** Label of the buffers that stand in for the bindings of a launch over nothing, and their bytes. They are gone before anything is allocated. */
export const STAND_IN = "stand-in";
const UNIFORM_BYTES = 2 ** 12, STORAGE_BYTES = 2 ** 16;

/**
 * Makes pipelines, and where the adapter would do so later, their machine code.
 *
 * @throws {Error} with the numbered source of one that does not compile.
 */
export async function compileKernels(gpu: Gpu, kernels: readonly KernelSpec[]): Promise<void> {
  const { device } = gpu, pipelines = PipelineCache.of(device);
  const made: { kernel: KernelSpec; pipeline: GPUComputePipeline }[] = [];
  for (const kernel of kernels) {
    const { label, code, entryPoint } = kernel;
    if (pipelines.has(code, entryPoint)) continue;
    device.pushErrorScope("validation");
    const pipeline = pipelines.get(label, code, entryPoint);
    const error = await device.popErrorScope();
    if (error) throw new Error(`Cannot prepare ${label}: ${error.message}\n${numbered(code)}`);
    made.push({ kernel, pipeline });
  }
  if (!gpu.isSoftware || made.length === 0) return;
  const buffers = made.flatMap(({ kernel, pipeline }) => launchOverNothing(gpu, pipeline, kernel));
  await device.queue.onSubmittedWorkDone();
  for (const buffer of buffers) buffer.destroy();
}

/**
 * Makes a pipeline where the platform has threads for it, as browsers do: their software adapter, too, makes its machine code then, not
 * at the first launch.
 *
 * @throws {Error} with the numbered source where it does not compile.
 */
export async function compileAside({ device }: Gpu, { label, code, entryPoint }: KernelSpec): Promise<void> {
  await PipelineCache.of(device).make(label, code, entryPoint).catch(({ message }: Error) => {
    throw new Error(`Cannot prepare ${label}: ${message}\n${numbered(code)}`);
  });
}

/** Submits a launch over no workgroups. @returns Buffers to free after it. */
function launchOverNothing(
  { device }: Gpu,
  pipeline: GPUComputePipeline,
  { label, params, storage }: KernelSpec,
): GPUBuffer[] {
  const standIn = (size: number, usage: number) => device.createBuffer({ label: STAND_IN, size, usage });
  const uniform = standIn(UNIFORM_BYTES, UNIFORM);
  const buffers = storage.map(() => standIn(STORAGE_BYTES, STORAGE));
  // What goes wrong here would come out, in better words, when the kernel is launched in earnest.
  device.pushErrorScope("validation");
  const group = device.createBindGroup({
    label,
    layout: pipeline.getBindGroupLayout(0),
    entries: [
      { binding: params.binding, resource: { buffer: uniform, size: params.bytes } },
      ...storage.map((binding, i) => ({ binding, resource: { buffer: buffers[i] } })),
    ],
  });
  const encoder = device.createCommandEncoder({ label }), pass = encoder.beginComputePass({ label });
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, group);
  pass.dispatchWorkgroups(0, 1, 1);
  pass.end();
  device.queue.submit([encoder.finish()]);
  device.popErrorScope().catch(() => {});
  return [uniform, ...buffers];
}
