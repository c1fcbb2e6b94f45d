/** Runs graphs that stand alone: allocate, upload, run, read back, free. For tests, parity checks and measurements. */

import { Arena, Program, readTensors, Residency } from "./executor.ts";
import type { Gpu } from "./device.ts";
import { baseOf, type Graph, type Tensor } from "./graph.ts";
import { planGraph } from "./plan.ts";
import { PipelineCache } from "./shader.ts";

const pipelines = new WeakMap<GPUDevice, PipelineCache>();

/** Values of resident tensors. */
export type ResidentValues = ReadonlyMap<Tensor, Float32Array | Uint32Array>;

/**
 * Allocates and compiles a graph, and uploads its resident values. Free the buffers with `gpu.memory[Symbol.dispose]()`.
 *
 * @param reads Further resident tensors to allocate, which are read after a run.
 */
export async function prepareGraph(
  gpu: Gpu,
  g: Graph,
  values: ResidentValues,
  reads: Iterable<Tensor> = [],
): Promise<Program> {
  if (gpu.memory.allocatedBytes !== 0) {
    throw new Error("Cannot run a graph that stands alone: the device must hold no buffers");
  }
  const plan = planGraph(g, { limits: gpu });
  const residency = new Residency(gpu), arena = new Arena(gpu);
  const named = [...values.keys(), ...reads].filter((tensor) => tensor.role !== "value").map(baseOf);
  residency.allocate("residents", new Set([...plan.residents, ...named]));
  arena.allocate([plan]);
  let cache = pipelines.get(gpu.device);
  if (!cache) pipelines.set(gpu.device, cache = new PipelineCache(gpu.device));
  const program = await Program.prepare(gpu, plan, { arena, residency, pipelines: cache });
  for (const [tensor, data] of values) residency.write(tensor, data);
  return program;
}

/**
 * Runs `g` once with the given resident values.
 *
 * @param reads Resident tensors to read afterwards, such as updated statistics.
 * @returns The values of the graph's outputs and of `reads`, by name.
 */
export async function runGraph(
  gpu: Gpu,
  g: Graph,
  values: ResidentValues,
  reads: ReadonlyMap<string, Tensor> = new Map(),
): Promise<Map<string, Float32Array>> {
  try {
    const program = await prepareGraph(gpu, g, values, reads.values());
    await program.run();
    const wanted = [...g.outputs, ...reads];
    const data = await readTensors(
      gpu,
      wanted.map(([label, tensor]) => ({ label, tensor, ...program.locate(tensor) })),
    );
    return new Map(wanted.map(([name], i) => [name, data[i]]));
  } finally {
    gpu.memory[Symbol.dispose]();
  }
}
