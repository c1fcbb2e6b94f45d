/** Whether an adapter computes what it should: a few small kernels, as training uses them, held against plain loops. */

import { cases as linearCases } from "./linear_cases.ts";
import { cases as layerNormCases } from "./layer_norm_cases.ts";
import { declareInputs, inputValues, type OpCase } from "./op_case.ts";
import type { Gpu } from "../device.ts";
import { Graph, type Tensor } from "../graph.ts";
import { type Arrays, type Op, OPS } from "../op.ts";
import "../ops/mod.ts";
import { prepareGraph } from "../run.ts";
import { createPrng } from "../../lib/random.ts";

/** What became of a trial. */
export interface KernelTrial {
  /** The feature that it needs besides WebGPU itself; null: none. */
  readonly needs: "shader-f16" | "timestamp-query" | null;
  readonly what: string;
  /** What went wrong; null: nothing. */
  readonly error: string | null;
}

const FORWARD_TOLERANCE = 2e-5, HALF_TOLERANCE = 2e-3;
const SEED = 29;

/** The trials, each a case that its op is tested with. */
const TRIALS: readonly { what: string; needs: KernelTrial["needs"]; op: string; of: OpCase }[] = [
  {
    what: "a matrix product in f32",
    needs: null,
    op: "matmul",
    of: caseOf(linearCases.matmul, "one past a tile"),
  },
  {
    what: "a layer norm in f32",
    needs: null,
    op: "layerNorm",
    of: caseOf(layerNormCases.layerNorm, "leading axes fold"),
  },
  {
    what: "a matrix product in f16",
    needs: "shader-f16",
    op: "matmul",
    of: caseOf(linearCases.matmul, "f16 weights and activations"),
  },
];

/** No kernel of that size takes longer on any adapter. */
const MOST_MS = 60_000;

function caseOf(cases: readonly OpCase[], name: string): OpCase {
  const found = cases.find((each) => each.name === name);
  if (found === undefined) throw new Error(`Cannot find the case "${name}"`);
  return found;
}

/** Runs every trial for which the device has the features. The device must hold no buffers. */
export async function tryKernels(gpu: Gpu): Promise<KernelTrial[]> {
  const trials: KernelTrial[] = [];
  for (const { what, needs, op, of } of TRIALS) {
    if (needs !== null && !gpu.features.has(needs)) continue;
    trials.push({ what, needs, error: await failure(() => tryCase(gpu, OPS.get(op)!, of)) });
  }
  if (gpu.features.has("timestamp-query")) {
    const { op, of } = TRIALS[0];
    const error = await failure(() => tryTimes(gpu, OPS.get(op)!, of));
    trials.push({ what: "time stamps", needs: "timestamp-query", error });
  }
  return trials;
}

async function failure(trial: () => Promise<string | null>): Promise<string | null> {
  try {
    return await trial();
  } catch (error) {
    return (error as Error).message;
  }
}

/** Records a case on seeded inputs. */
function record(op: Op, of: OpCase) {
  const g = new Graph(), prng = createPrng(SEED), inputs = declareInputs(op, of), arrays: Arrays = {};
  const values = new Map<Tensor, Float32Array | Uint32Array>();
  for (const [name, tensor] of Object.entries(inputs)) {
    const data = inputValues(of, tensor, { prng });
    values.set(tensor, data);
    arrays[name] = Float64Array.from(data);
  }
  g.record(op, inputs, of.attrs);
  for (const [name, tensor] of Object.entries(g.nodes[0].outputs)) g.output(name, tensor);
  return { g, values, inputs, arrays };
}

/** Runs a case. @returns What is wrong with its result. */
async function tryCase(gpu: Gpu, op: Op, of: OpCase): Promise<string | null> {
  const { g, values, inputs, arrays } = record(op, of), [node] = g.nodes;
  const expected = op.reference(arrays, {
    inputs,
    attrs: node.attrs,
    axes: node.axes,
    outputs: op.outputs(node),
  });
  try {
    const graph = await prepareGraph(gpu, g, values);
    await graph.run();
    const names = [...g.outputs.keys()], read = await graph.read([...g.outputs.values()]);
    for (const [i, name] of names.entries()) {
      const largest = expected[name].reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      const halves = g.outputs.get(name)!.dtype === "f16" ? HALF_TOLERANCE : FORWARD_TOLERANCE;
      const allowed = (of.tolerance ?? halves) * largest;
      const wrong = read[i].findIndex((value, at) => !(Math.abs(value - expected[name][at]) <= allowed));
      if (wrong >= 0) {
        return `gives ${read[i][wrong]} where ${expected[name][wrong]} is right (value ${wrong} of ${
          read[i].length
        })`;
      }
    }
    return null;
  } finally {
    gpu.memory[Symbol.dispose]();
  }
}

/** Times a case on the GPU's clock. @returns What is wrong with the time. */
async function tryTimes(gpu: Gpu, op: Op, of: OpCase): Promise<string | null> {
  const { g, values } = record(op, of);
  try {
    const graph = await prepareGraph(gpu, g, values);
    const times = await graph.times();
    const wrong = times.find(({ ms }) => !(ms >= 0 && ms < MOST_MS));
    return wrong === undefined ? null : `says that ${wrong.label} took ${wrong.ms} ms`;
  } finally {
    gpu.memory[Symbol.dispose]();
  }
}
