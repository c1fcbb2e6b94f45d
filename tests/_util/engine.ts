/** Runs a graph on the GPU or through the ops' references: what tests and the parity command share with each other. */

import { Arena, Program, readTensors, Residency } from "../../gpu/executor.ts";
import { Gpu } from "../../gpu/device.ts";
import { baseOf, type Graph, type Tensor } from "../../gpu/graph.ts";
import { planGraph } from "../../gpu/plan.ts";
import { PipelineCache } from "../../gpu/shader.ts";
import { gpuTest, testDevice } from "./gpu.ts";

const pipelines = new WeakMap<GPUDevice, PipelineCache>();

/** A test that is given an engine device. */
export function engineTest(name: string, fn: (gpu: Gpu) => Promise<void>): void {
  gpuTest(name, async (device, info) => {
    await fn(new Gpu(device, info, (await testDevice())!.features));
  });
}

/** Runs the graph once with the given resident values; returns the values of its outputs and of `reads`. */
export async function runGraph(
  gpu: Gpu,
  g: Graph,
  values: ReadonlyMap<Tensor, Float32Array | Uint32Array>,
  reads: ReadonlyMap<string, Tensor> = new Map(),
): Promise<Map<string, Float32Array>> {
  const plan = planGraph(g, { limits: gpu });
  const residency = new Residency(gpu), arena = new Arena(gpu);
  const residents = new Set([
    ...plan.residents,
    ...[...values.keys(), ...reads.values()].filter((t) => t.role !== "value").map(baseOf),
  ]);
  const before = gpu.memory.allocatedBytes;
  residency.allocate("residents", residents);
  arena.allocate([plan]);
  if (!pipelines.has(gpu.device)) pipelines.set(gpu.device, new PipelineCache(gpu.device));
  const program = await Program.prepare(gpu, plan, {
    arena,
    residency,
    pipelines: pipelines.get(gpu.device)!,
  });
  for (const [tensor, data] of values) residency.write(tensor, data);
  program.run();
  const wanted = [...g.outputs, ...reads];
  const data = await readTensors(
    gpu,
    wanted.map(([label, tensor]) => ({ label, tensor, ...program.locate(tensor) })),
  );
  gpu.memory[Symbol.dispose]();
  if (before !== 0) throw new Error("Cannot reuse a device with buffers alive");
  return new Map(wanted.map(([name], i) => [name, data[i]]));
}
