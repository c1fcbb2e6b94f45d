/** Runs graphs that stand alone: allocate, upload, run, read back, free. For tests, parity checks and measurements. */

import type { Gpu } from "./device.ts";
import { baseOf, bytesOf, type Graph, type Tensor } from "./graph.ts";
import { Layout } from "./layout.ts";
import { lowerPlan } from "./lower.ts";
import { type Plan, planGraph } from "./plan.ts";
import { profileProgram } from "./profile.ts";
import type { LaunchTime } from "./profiling/recorder.ts";
import { type Command, Runtime } from "./runtime.ts";
import { encodeValues, valuesOf } from "./values.ts";

/** Values of resident tensors. */
export type ResidentValues = ReadonlyMap<Tensor, Float32Array | Uint32Array>;

/** The name under which a graph that stands alone is loaded. */
const PROGRAM = "graph";

/** A graph on a device. */
export interface PreparedGraph {
  readonly plan: Plan;
  readonly runtime: Runtime;
  /** Runs it once. Does not wait. */
  run(): Promise<void>;
  /** Milliseconds of every launch by the GPU's own clock; needs timestamp queries. */
  times(): Promise<LaunchTime[]>;
  /** Labels of the launches in order. */
  labels(): string[];
  /** Values of resident tensors and outputs now. Waits for the GPU. */
  read(tensors: readonly Tensor[]): Promise<Float32Array[]>;
}

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
): Promise<PreparedGraph> {
  if (gpu.memory.allocatedBytes !== 0) {
    throw new Error("Cannot run a graph that stands alone: the device must hold no buffers");
  }
  const plan = planGraph(g, { limits: gpu });
  const layout = new Layout(gpu);
  const named = [...values.keys(), ...reads].filter((tensor) => tensor.role !== "value").map(baseOf);
  layout.allocate("residents", new Set([...plan.residents, ...named]));
  layout.allocateArena([plan]);
  const runtime = new Runtime(gpu);
  await runtime.load({
    buffers: layout.buffers,
    stream: null,
    programs: { [PROGRAM]: lowerPlan(plan, layout, gpu.environment) },
    readbackBytes: 0,
    frames: null,
    mix: null,
  });
  await runtime.submit([...values].map(([tensor, data]): Command => ({
    do: "write",
    to: layout.find(tensor),
    bytes: encodeValues(tensor, data),
  })));
  return {
    plan,
    runtime,
    times: () => profileProgram(gpu, runtime.program(PROGRAM)),
    labels: () => runtime.program(PROGRAM).labels(),
    run: async () => void await runtime.submit([{ do: "run", program: PROGRAM }]),
    read: async (tensors) => {
      const bytes = await runtime.submit(tensors.map((tensor): Command => ({
        do: "read",
        from: layout.locate(plan, tensor),
        bytes: bytesOf(tensor),
      })));
      return tensors.map((tensor, i) => valuesOf(tensor, bytes[i]));
    },
  };
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
    const graph = await prepareGraph(gpu, g, values, reads.values());
    await graph.run();
    const wanted = [...g.outputs, ...reads];
    const data = await graph.read(wanted.map(([, tensor]) => tensor));
    return new Map(wanted.map(([name], i) => [name, data[i]]));
  } finally {
    gpu.memory[Symbol.dispose]();
  }
}
