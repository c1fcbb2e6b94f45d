/**
 * An op on the cases of its table: kernels against the plain reference, gradients against finite differences, and no write
 * outside a tensor (`guarded_run.ts`).
 */

import assert from "node:assert/strict";
import { differentiate } from "../../gpu/autodiff.ts";
import { Graph, type Node, resident, sizeOf, type Tensor } from "../../gpu/graph.ts";
import type { Arrays, Op } from "../../gpu/op.ts";
import { createPrng } from "../../lib/random.ts";
import { declareInputs, inputValues, type OpCase } from "../../gpu/cases/op_case.ts";
import { type Machine, runGuarded } from "./guarded_run.ts";

const FORWARD_TOLERANCE = 2e-5, HALF_TOLERANCE = 2e-3, GRADIENT_TOLERANCE = 1e-3;
const STEP = 1e-5; // of the central differences, on f64 references
const SAMPLES = 24; // entries of each input that are differenced

/**
 * Runs every case of an op but those for measuring.
 *
 * @throws {Error} with the op's and the case's name in its message.
 */
export async function checkOp(gpu: Machine, op: Op, cases: readonly OpCase[]): Promise<void> {
  for (const [i, each] of cases.entries()) {
    if (each.bench) continue;
    try {
      await check(gpu, op, each, i);
    } catch (error) {
      (error as Error).message = `${op.name}, case "${each.name}": ${(error as Error).message}`;
      throw error;
    }
  }
}

interface Recorded {
  g: Graph;
  node: Node;
  inputs: Record<string, Tensor>;
  values: Map<Tensor, Float32Array | Uint32Array>;
  arrays: Arrays;
}

/** Records the op on seeded inputs of the case's shapes. */
function recordCase(op: Op, each: OpCase, seed: number): Recorded {
  const g = new Graph(), prng = createPrng(17, seed), inputs = declareInputs(op, each), arrays: Arrays = {};
  const values = new Map<Tensor, Float32Array | Uint32Array>();
  for (const [name, tensor] of Object.entries(inputs)) {
    const data = inputValues(each, tensor, { prng });
    values.set(tensor, data);
    arrays[name] = Float64Array.from(data);
  }
  g.record(op, inputs, each.attrs);
  return { g, node: g.nodes[0], inputs, values, arrays };
}

function evaluate(recorded: Recorded, arrays: Arrays): Arrays {
  const { op, attrs, axes, inputs } = recorded.node;
  return op.reference(arrays, { inputs, attrs, axes, outputs: op.outputs(recorded.node) });
}

async function check(gpu: Machine, op: Op, each: OpCase, seed: number): Promise<void> {
  const recorded = recordCase(op, each, seed);
  const { g, node, inputs, values, arrays } = recorded;
  const usesHalves = [...Object.values(inputs), ...Object.values(node.outputs)].some((t) =>
    t.dtype === "f16"
  );
  if (usesHalves && !gpu.environment.features.has("shader-f16")) return;
  for (const [name, output] of Object.entries(node.outputs)) g.output(name, output);
  const updated = new Map(op.updates.filter((name) => name in inputs).map((name) => [name, inputs[name]]));

  const seeds: { output: Tensor; gradient: Tensor }[] = [], weights: Arrays = {};
  const gradients = each.gradient === "none" || typeof op.gradient !== "function"
    ? new Map<Tensor, Tensor>()
    : (() => {
      const prng = createPrng(23, seed);
      for (const [name, output] of Object.entries(node.outputs)) {
        if (!output.needsGradient) continue;
        const gradient = resident("input", `d${name}`, output.shape);
        const data = Float32Array.from({ length: sizeOf(output.shape) }, () => prng.normal());
        values.set(gradient, data);
        weights[name] = Float64Array.from(data);
        seeds.push({ output, gradient });
      }
      return differentiate(g, { seeds });
    })();
  for (const [parameter, gradient] of gradients) g.output(`d ${parameter.label}`, gradient);

  const results = await runGuarded(gpu, g, { values, reads: updated });
  const expected = evaluate(recorded, arrays);
  for (const [name, tensor] of [...Object.entries(node.outputs), ...updated]) {
    const half = tensor.dtype === "f16";
    assertClose(
      name,
      results.get(name)!,
      expected[name],
      each.tolerance ?? (half ? HALF_TOLERANCE : FORWARD_TOLERANCE),
    );
  }
  for (const [parameter] of gradients) {
    checkGradient(
      recorded,
      parameter,
      results.get(`d ${parameter.label}`)!,
      weights,
      each.gradientTolerance ?? GRADIENT_TOLERANCE,
    );
  }
  const differentiable = Object.values(inputs).filter((t) => t.role === "parameter");
  if (seeds.length > 0) {
    assert.equal(gradients.size, differentiable.length, "every trained input must get a gradient");
  }
}

function assertClose(name: string, actual: Float32Array, expected: Float64Array, tolerance: number): void {
  assert.equal(actual.length, expected.length, `${name}: length`);
  const largest = expected.reduce((max, x) => Math.max(max, Math.abs(x)), 1e-6);
  for (let i = 0; i < actual.length; i++) {
    assert.ok(
      Number.isFinite(actual[i]) || !Number.isFinite(expected[i]),
      `${name}[${i}] is ${actual[i]}, expected ${expected[i]}`,
    );
    const error = Math.abs(actual[i] - expected[i]) / largest;
    assert.ok(
      !(error > tolerance),
      `${name}[${i}] is ${actual[i]}, expected ${expected[i]} (${error.toExponential(1)} of the largest)`,
    );
  }
}

/** Central differences of Σ weights · outputs, computed from the f64 reference at sampled entries. */
function checkGradient(
  recorded: Recorded,
  parameter: Tensor,
  gradient: Float32Array,
  weights: Arrays,
  tolerance: number,
): void {
  const { arrays } = recorded, name = parameter.label, prng = createPrng(29);
  const objective = (changed: Arrays) => {
    const outputs = evaluate(recorded, changed);
    let sum = 0;
    for (const [key, w] of Object.entries(weights)) {
      for (let i = 0; i < w.length; i++) sum += w[i] * outputs[key][i];
    }
    return sum;
  };
  const count = gradient.length;
  const largest = gradient.reduce((max, x) => Math.max(max, Math.abs(x)), 1e-3);
  const entries = count <= SAMPLES
    ? [...Array(count).keys()]
    : Array.from({ length: SAMPLES }, () => prng.integer(count));
  assert.ok(gradient.every(Number.isFinite), `d${name} must be finite`);
  for (const i of entries) {
    const shifted = (delta: number) => {
      const copy = arrays[name].slice();
      copy[i] += delta;
      return objective({ ...arrays, [name]: copy });
    };
    const expected = (shifted(STEP) - shifted(-STEP)) / (2 * STEP);
    const error = Math.abs(gradient[i] - expected) / largest;
    assert.ok(
      error <= tolerance,
      `d${name}[${i}] is ${gradient[i]}, finite differences give ${expected} (${
        error.toExponential(1)
      } of the largest)`,
    );
  }
}
