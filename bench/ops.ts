/**
 * Measures every op, forward and its gradient, on the row of its case table that is meant for measuring: the tables that
 * its tests use (`gpu/cases/`). The gradient is what its rule records, with the saved outputs as inputs.
 */

import { OP_CASES } from "../gpu/cases/all.ts";
import { declareInputs, inputValues, type OpCase } from "../gpu/cases/op_case.ts";
import type { Gpu } from "../gpu/device.ts";
import { Graph, type Node, resident, sizeOf, type Tensor } from "../gpu/graph.ts";
import { type Op, OPS } from "../gpu/op.ts";
import "../gpu/ops/mod.ts";
import { prepareGraph } from "../gpu/run.ts";
import { ConfigError } from "../lib/errors.ts";
import { nearestName } from "../lib/nearest_name.ts";
import { createPrng } from "../lib/random.ts";
import type { Measurement } from "./matmul.ts";
import { bestMs } from "./_program_time.ts";

/** What to measure. */
export interface OpBenchOptions {
  /** Names of ops; all when absent. */
  names?: readonly string[];
  /** Measures the largest row that the tests use, to try things quickly. */
  small?: boolean;
}

/**
 * Times the ops in the order of their definition. An op without a gradient, or one whose gradient launches nothing, has no
 * line for it; neither has an op that needs half floats where the adapter has none.
 *
 * @throws {ConfigError} for a name that is no op's.
 */
export async function* benchOps(gpu: Gpu, options: OpBenchOptions = {}): AsyncGenerator<Measurement> {
  requireOps(options.names ?? []);
  for (const name of options.names ?? OP_CASES.keys()) {
    const op = OPS.get(name)!, each = caseFor(OP_CASES.get(name)!, options.small ?? false);
    for (const { g, label } of recordings(op, each)) {
      const row = await measure(gpu, g, each);
      if (row) yield { ...row, name: label };
    }
  }
}

/** Refuses a name that is no op's. */
export function requireOps(names: readonly string[]): void {
  const unknown = names.find((name) => !OP_CASES.has(name));
  if (unknown === undefined) return;
  const nearest = nearestName(unknown, [...OP_CASES.keys()]);
  throw new ConfigError(
    `Cannot bench op "${unknown}": it must be one of ${[...OP_CASES.keys()].join(", ")}` +
      (nearest ? `; did you mean "${nearest}"?` : ""),
  );
}

/** The row for measuring; without one, or when small ones are wanted, the largest of the others, of those that are trained where there are some. */
export function caseFor(cases: readonly OpCase[], small: boolean): OpCase {
  const meant = small ? undefined : cases.find((each) => each.bench);
  const elements = (each: OpCase) =>
    Object.values(each.inputs).reduce((sum, shape) => sum + sizeOf(shape), 0);
  if (meant) return meant;
  const others = cases.filter((each) => !each.bench);
  const trained = others.filter(({ dtypes, constant }) => dtypes === undefined && constant === undefined);
  return (trained.length > 0 ? trained : others).reduce((a, b) => elements(b) > elements(a) ? b : a);
}

/** The graph of an op, and that of its gradient where it launches kernels. */
export function recordings(op: Op, each: OpCase): { g: Graph; label: string }[] {
  const g = new Graph();
  g.record(op, declareInputs(op, each), each.attrs);
  const [node] = g.nodes;
  for (const [name, output] of Object.entries(node.outputs)) g.output(name, output);
  const forward = { g, label: op.name };
  const backward = each.gradient === "none" ? null : recordGradient(node);
  return backward ? [forward, { g: backward, label: `${op.name}.gradient` }] : [forward];
}

function recordGradient(node: Node): Graph | null {
  const { op, inputs, attrs, axes } = node;
  if (typeof op.gradient !== "function") return null;
  const g = new Graph(), specs = op.outputs(node);
  g.phase = "backward";
  const saved = Object.entries(node.outputs).map(([name, { shape, dtype }]) =>
    [name, resident("input", name, shape, dtype)] as const
  );
  const flowing = saved.filter(([name]) => !specs[name].auxiliary)
    .map(([name, { shape }]) => [name, resident("input", `d${name}`, shape)] as const);
  const gradients = op.gradient({
    g,
    inputs,
    outputs: Object.fromEntries(saved),
    grads: Object.fromEntries(flowing),
    attrs,
    axes,
    needs: (name) => inputs[name]?.role === "parameter",
  });
  for (const [name, gradient] of Object.entries(gradients)) {
    if (gradient) g.output(name, "partial" in gradient ? gradient.partial : gradient);
  }
  return g.outputs.size > 0 && g.nodes.some(({ op }) => !op.view) ? g : null;
}

async function measure(
  gpu: Gpu,
  g: Graph,
  each: OpCase,
): Promise<Omit<Measurement, "name"> | null> {
  const nodes = g.nodes.filter(({ op }) => !op.view);
  const tensors = new Set(
    nodes.flatMap(({ inputs, outputs }) => [...Object.values(inputs), ...Object.values(outputs)]),
  );
  if ([...tensors].some(({ dtype }) => dtype === "f16") && !gpu.features.has("shader-f16")) return null;
  const prng = createPrng(17);
  const values = new Map<Tensor, Float32Array | Uint32Array>();
  for (const tensor of tensors) {
    const owner = tensor.base ?? tensor;
    if (owner.role !== "value" && !values.has(owner)) values.set(owner, inputValues(each, owner, { prng }));
  }
  const program = await prepareGraph(gpu, g, values);
  try {
    const ms = await bestMs(gpu, program), { flops, bytesMoved } = program.plan;
    const shapes = Object.values(each.inputs);
    return {
      variant: [...new Set(program.labels())].join("+"), // an op that works in parts repeats its launches
      shape: (shapes.length > 0 ? shapes : [...g.outputs.values()].map(({ shape }) => shape))
        .map((shape) => shape.join("x")).join(" "),
      ms: Number(ms.toPrecision(4)),
      gflops: Number((flops / ms / 1e6).toPrecision(4)),
      gbps: Number((bytesMoved / ms / 1e6).toPrecision(4)),
      adapter: gpu.name,
    };
  } finally {
    gpu.memory[Symbol.dispose]();
  }
}
