/**
 * Compiling kernels before anything is allocated, one at a time, so that whoever waits can be told how many there are to come.
 *
 * Deno's `createComputePipelineAsync` compiles on the thread that calls it, as `createComputePipeline` does: two kernels are compiled at
 * once only by two devices on two threads. Mesa's software adapter makes its machine code at the first launch, so there
 * every kernel is launched once over no workgroups.
 */

import type { Gpu } from "./device.ts";
import type { KernelSpec } from "./lower.ts";
import { numbered, PipelineCache } from "./shader.ts";

const UNIFORM = 0x40, STORAGE = 0x80;
/** Bytes of the buffers that stand in for the bindings of a launch over nothing. */
const UNIFORM_BYTES = 2 ** 12, STORAGE_BYTES = 2 ** 16;

/**
 * Makes a kernel's pipeline, and where the adapter would do so later, its machine code.
 *
 * @throws {Error} with the numbered source when it does not compile.
 */
export async function compileKernel(gpu: Gpu, kernel: KernelSpec): Promise<void> {
  const { device } = gpu, { label, code, entryPoint } = kernel, pipelines = PipelineCache.of(device);
  if (pipelines.has(code, entryPoint)) return;
  device.pushErrorScope("validation");
  const pipeline = pipelines.get(label, code, entryPoint);
  const error = await device.popErrorScope();
  if (error) throw new Error(`Cannot prepare ${label}: ${error.message}\n${numbered(code)}`);
  if (gpu.isSoftware) await launchOverNothing(gpu, pipeline, kernel);
}

/** What goes wrong here would come out, in better words, when the kernel is launched in earnest. */
async function launchOverNothing(
  { device }: Gpu,
  pipeline: GPUComputePipeline,
  { label, params, storage }: KernelSpec,
): Promise<void> {
  const uniform = device.createBuffer({ label, size: UNIFORM_BYTES, usage: UNIFORM });
  const buffers = storage.map(() => device.createBuffer({ label, size: STORAGE_BYTES, usage: STORAGE }));
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
  await device.queue.onSubmittedWorkDone();
  await device.popErrorScope();
  for (const buffer of [uniform, ...buffers]) buffer.destroy();
}
