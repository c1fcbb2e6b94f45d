/** Differentiation of whole graphs, on plain references: no device. */

import assert from "node:assert/strict";
import { differentiate, type Recompute } from "../../gpu/autodiff.ts";
import { Graph, resident, sizeOf, type Tensor } from "../../gpu/graph.ts";
import { defineOp } from "../../gpu/op.ts";
import {
  add,
  batchNorm,
  crossEntropy,
  gelu,
  layerNorm,
  linear,
  matmul,
  reshape,
  scale,
  sliceRows,
} from "../../gpu/ops/mod.ts";
import { createPrng } from "../../lib/random.ts";
import { recordPrograms } from "../../train/runtime/programs.ts";
import { elementsOf, type Memory, runReference } from "../_util/reference_engine.ts";
import { tinyModel, tinyPrograms } from "../_util/tiny_model.ts";

const STEP = 1e-5, TOLERANCE = 1e-6;

/** Seeded values for resident tensors. */
function fillSeeded(tensors: readonly Tensor[]): Memory {
  return new Map(tensors.map((tensor, i) => {
    const prng = createPrng(5, i);
    return [tensor, Float64Array.from({ length: sizeOf(tensor.shape) }, () => prng.normal())];
  }));
}

function copyOf(memory: Memory): Memory {
  return new Map([...memory].map(([tensor, values]) => [tensor, values.slice()]));
}

/** Compares the gradients of `objective` [1] with central differences at every element of all that has a gradient. */
function checkGradients(
  g: Graph,
  objective: Tensor,
  memory: Memory,
  options: { recompute?: Recompute } = {},
): void {
  const forward = g.nodes.slice();
  const seed = resident("input", "seed", objective.shape);
  memory.set(seed, Float64Array.of(1));
  const gradients = differentiate(g, { seeds: [{ output: objective, gradient: seed }], ...options });
  const after = runReference(g.nodes, copyOf(memory));
  const parameters = [...memory.keys()].filter((tensor) => tensor.needsGradient);
  assert.deepEqual([...gradients.keys()].map((t) => t.label).sort(), parameters.map((t) => t.label).sort());
  for (const [parameter, gradient] of gradients) {
    assert.deepEqual(gradient.shape, parameter.shape);
    const actual = elementsOf(after, gradient);
    for (let i = 0; i < actual.length; i++) {
      const shifted = (delta: number) => {
        const changed = copyOf(memory);
        changed.get(parameter)![i] += delta;
        return elementsOf(runReference(forward, changed), objective)[0];
      };
      const expected = (shifted(STEP) - shifted(-STEP)) / (2 * STEP);
      assert.ok(
        Math.abs(actual[i] - expected) <= TOLERANCE * Math.max(1, Math.abs(expected)),
        `d${parameter.label}[${i}] is ${actual[i]}, finite differences give ${expected}`,
      );
    }
  }
}

/** Σ x·x of everything in x, [1]. */
function square(g: Graph, x: Tensor): Tensor {
  const flat = reshape(g, x, [1, -1]);
  return reshape(g, matmul(g, flat, flat, { transposeB: true }), [1]);
}

Deno.test("gradients of a tensor that is read several times add up", () => {
  const g = new Graph();
  const x = resident("input", "x", [3, 4]), w = resident("parameter", "w", [4, 4]);
  const y = linear(g, x, w); // [3 4]
  const z = add(g, gelu(g, y), linear(g, y, w), { alpha: 0.5, beta: 2 }); // [3 4]
  checkGradients(g, square(g, add(g, z, y)), fillSeeded([x, w]));
});

Deno.test("gradients of windows of one parameter are joined, also where two windows are the same", () => {
  const g = new Graph();
  const x = resident("input", "x", [3, 64]), w = resident("parameter", "w", [6, 64]);
  const a = linear(g, x, sliceRows(g, w, { start: 0, rows: 2 })),
    b = linear(g, x, sliceRows(g, w, { start: 2, rows: 4 })); // [3 2] [3 4]
  const again = linear(g, x, sliceRows(g, w, { start: 2, rows: 4 })); // [3 4]
  const objective = add(g, square(g, a), square(g, add(g, b, gelu(g, again))));
  checkGradients(g, objective, fillSeeded([x, w]));
});

Deno.test("rows of a parameter that nothing reads have gradient zero, between and behind those that are read", () => {
  const g = new Graph();
  const x = resident("input", "x", [3, 64]), w = resident("parameter", "w", [6, 64]);
  const first = linear(g, x, sliceRows(g, w, { start: 1, rows: 2 })); // [3 2]
  const second = linear(g, x, sliceRows(g, w, { start: 4, rows: 1 })); // [3 1]
  checkGradients(g, add(g, square(g, first), square(g, second)), fillSeeded([x, w]));
});

for (const recompute of [false, true, "groups"] as const) {
  Deno.test(`norms, residuals and regions differentiate rightly (recompute: ${recompute})`, () => {
    const g = new Graph();
    const x = resident("input", "x", [5, 4]), labels = resident("input", "labels", [5], "u32");
    const p = (label: string, shape: number[]) => resident("parameter", label, shape);
    const w1 = p("w1", [6, 4]), b1 = p("b1", [6]), w2 = p("w2", [4, 6]);
    const norm = { weight: p("bn.weight", [4]), bias: p("bn.bias", [4]) };
    const ln = { weight: p("ln.weight", [4]), bias: p("ln.bias", [4]) };
    const runningMean = resident("state", "mean", [4]), runningVar = resident("state", "var", [4]);
    let s = x;
    for (const [i, name] of ["first", "second", "third"].entries()) {
      s = g.region(name, () => {
        const n = batchNorm(g, s, { ...norm, runningMean, runningVar }, { mode: "train" });
        const h = linear(g, layerNorm(g, n, ln), w1, { bias: b1, activation: "gelu" }); // [5 6]
        return linear(g, h, w2, { residual: i === 0 ? s : n }); // [5 4]
      });
    }
    const { loss } = crossEntropy(g, s, { labels, smoothing: 0.1 });
    const memory = fillSeeded([
      x,
      w1,
      b1,
      w2,
      norm.weight,
      norm.bias,
      ln.weight,
      ln.bias,
      runningMean,
      runningVar,
    ]);
    memory.set(labels, Float64Array.of(0, 3, 1, 2, 2));
    checkGradients(g, loss, memory, { recompute });
  });
}

/** An input whose gradient can be asked for. */
function openInput(label: string, shape: readonly number[]): Tensor {
  return resident("input", label, shape, "f32", { gradient: true });
}

for (const recompute of [false, true]) {
  Deno.test(`inputs that ask for gradients get them beside parameters (${recompute ? "recompute" : "keep"})`, () => {
    const g = new Graph();
    const x = openInput("x", [4, 64]), plain = resident("input", "plain", [3, 64]);
    const w = resident("parameter", "w", [5, 64]), frozen = resident("frozen", "f", [5, 64]);
    // Read as a whole, and by two windows that overlap in no row.
    const y = g.region("a", () => gelu(g, linear(g, x, w))); // [4 5]
    const rows = add(g, sliceRows(g, x, { start: 0, rows: 3 }), plain); // [3 64]
    const z = g.region("b", () => gelu(g, linear(g, rows, frozen))); // [3 5]
    const last = linear(g, sliceRows(g, x, { start: 3, rows: 1 }), frozen); // [1 5]
    const objective = add(g, square(g, y), add(g, square(g, z), square(g, last)));
    checkGradients(g, objective, fillSeeded([x, plain, w, frozen]), { recompute });
  });
}

Deno.test("an input that asks for a gradient gets one where no parameter is", () => {
  const g = new Graph();
  const a = openInput("a", [3, 4]), b = openInput("b", [3, 4]), w = resident("frozen", "w", [4, 4]);
  const similar = matmul(g, linear(g, a, w), b, { transposeB: true }); // [3 3]
  const labels = resident("input", "labels", [3], "u32");
  const { loss } = crossEntropy(g, similar, { labels, smoothing: 0.1 });
  const memory = fillSeeded([a, b, w]).set(labels, Float64Array.of(2, 0, 1));
  checkGradients(g, loss, memory);
});

Deno.test("a gradient that is asked for and cannot be is an error that names the tensor", () => {
  const g = new Graph(), seed = resident("input", "seed", [1]);
  const x = openInput("x", [3, 4]),
    plain = resident("input", "plain", [3, 4]),
    other = openInput("other", [3, 4]);
  const w = resident("parameter", "w", [4, 4]);
  const seeds = [{ output: square(g, linear(g, add(g, x, plain), w)), gradient: seed }];
  square(g, linear(g, other, w)); // recorded, but nothing that is differentiated
  const asking = (...wrt: Tensor[]) => () => differentiate(g, { seeds, wrt });
  assert.throws(
    asking(x, plain),
    /^Error: Cannot differentiate with respect to "plain": it must be declared with a gradient$/,
  );
  assert.throws(
    asking(other),
    /^Error: Cannot differentiate with respect to "other": the seeds must depend on it$/,
  );
  assert.deepEqual(new Set(asking(x, w)().keys()), new Set([x, w]));
  assert.deepEqual(new Set(asking()().keys()), new Set([x, w]), "what has one gets it unasked");
});

Deno.test("a path to an input that asks for a gradient cannot lead through an op without one", () => {
  const wall = defineOp({
    name: "testWall",
    inputs: { x: "*R" },
    outputs: ({ inputs }) => ({ out: { shape: inputs.x.shape } }),
    dispatches: () => [],
    gradient: "none",
    reference: ({ x }) => ({ out: x }),
  });
  const g = new Graph(), seed = resident("input", "seed", [1]);
  const objective = square(g, g.record(wall, { x: openInput("x", [3, 4]) }).out);
  assert.throws(
    () => differentiate(g, { seeds: [{ output: objective, gradient: seed }] }),
    /^Error: Cannot train through op "testWall#0": it has no gradient$/,
  );
});

Deno.test("recomputation gives the same gradients as keeping, and happens once per region", () => {
  const build = (recompute: boolean) => {
    const g = new Graph();
    const x = resident("input", "x", [3, 4]), w = resident("parameter", "w", [4, 4]);
    const outer = g.region("a", () => gelu(g, linear(g, x, w)));
    const objective = square(g, g.region("b", () => gelu(g, linear(g, outer, w))));
    const forward = g.nodes.length;
    const seed = resident("input", "seed", [1]);
    const gradient = differentiate(g, { seeds: [{ output: objective, gradient: seed }], recompute }).get(w)!;
    const memory = fillSeeded([x, w, seed]);
    return { g, forward, values: [...elementsOf(runReference(g.nodes, memory), gradient)] };
  };
  const keep = build(false), again = build(true);
  assert.deepEqual(again.values, keep.values);
  const repeated = again.g.nodes.slice(again.forward).filter((node) => node.scope.includes("recompute"));
  assert.deepEqual(repeated.map((node) => node.op.name), ["matmul", "gelu", "matmul", "gelu"]);
  assert.ok(repeated.every((node) => node.phase === "backward"));
  assert.equal(keep.g.nodes.some((node) => node.scope.includes("recompute")), false);
});

Deno.test("in a region that is recomputed, gradient rules read the copies and not the kept values", () => {
  const g = new Graph();
  const x = resident("input", "x", [3, 4]), w = resident("parameter", "w", [4, 4]);
  const y = g.region("a", () => gelu(g, gelu(g, linear(g, x, w))));
  const inside = new Set(g.nodes.slice(0, -1).flatMap((node) => Object.values(node.outputs)));
  const forward = g.nodes.length, objective = square(g, y);
  differentiate(g, {
    seeds: [{ output: objective, gradient: resident("input", "seed", [1]) }],
    recompute: true,
  });
  for (const node of g.nodes.slice(forward)) {
    for (const tensor of Object.values(node.inputs)) {
      assert.ok(!inside.has(tensor), `${node.op.name} in ${node.scope} reads ${tensor.label}`);
    }
  }
});

Deno.test("running statistics are updated once, also where their region is recomputed", () => {
  for (const recompute of [false, true]) {
    const { g } = recordPrograms(tinyModel(), tinyPrograms({ recompute })).train.get(2)!;
    const updated = g.nodes.filter((node) => node.op.updates.includes("runningMean"))
      .map((node) => node.inputs.runningMean);
    assert.equal(updated.length, 6, "stem, two layers with two each, and the last");
    assert.equal(new Set(updated).size, updated.length);
  }
});

Deno.test("training through an op without a gradient is an error that names it", () => {
  const cliff = defineOp({
    name: "testCliff",
    inputs: { x: "*R" },
    outputs: ({ inputs }) => ({ out: { shape: inputs.x.shape } }),
    dispatches: () => [],
    gradient: "none",
    reference: ({ x }) => ({ out: x }),
  });
  const g = new Graph();
  const x = resident("input", "x", [3, 4]), w = resident("parameter", "w", [4, 4]);
  const objective = square(g, g.scope("side/layer.7", () => g.record(cliff, { x: linear(g, x, w) }).out));
  const seed = resident("input", "seed", [1]);
  const message = /^Cannot train through op "testCliff#\d+ in side\/layer\.7": it has no gradient$/;
  assert.throws(
    () => differentiate(g, { seeds: [{ output: objective, gradient: seed }] }),
    (error: Error) => message.test(error.message),
  );
  // The same op on a path without parameters is no obstacle.
  const free = new Graph();
  const frozen = free.record(cliff, { x }).out;
  checkGradients(free, square(free, linear(free, frozen, w)), fillSeeded([x, w]));
});

Deno.test("a gradient rule that forgets an input is an error that names op and input", () => {
  const forgetful = defineOp({
    name: "testForgetful",
    inputs: { x: "*R", y: "*R" },
    outputs: ({ inputs }) => ({ out: { shape: inputs.x.shape } }),
    dispatches: () => [],
    gradient: ({ grads }) => ({ x: grads.out }),
    reference: ({ x }) => ({ out: x }),
  });
  const g = new Graph();
  const x = resident("parameter", "x", [4]), y = resident("parameter", "y", [4]);
  const objective = square(g, g.record(forgetful, { x, y }).out);
  assert.throws(
    () => differentiate(g, { seeds: [{ output: objective, gradient: resident("input", "seed", [1]) }] }),
    /"testForgetful#0": its gradient rule gives none for input "y"/,
  );
});

Deno.test("nothing is differentiated where no parameter can be reached", () => {
  const g = new Graph();
  const x = resident("input", "x", [3, 4]), frozen = resident("frozen", "w", [4, 4]);
  const objective = square(g, scale(g, linear(g, x, frozen), 3));
  const before = g.nodes.length;
  const gradients = differentiate(g, {
    seeds: [{ output: objective, gradient: resident("input", "seed", [1]) }],
  });
  assert.equal(gradients.size, 0);
  assert.equal(g.nodes.length, before);
});

Deno.test("the frozen backbone contributes no gradient node, and every trained weight gets its gradient", () => {
  for (const recompute of [false, true]) {
    for (const accumulation of [1, 2]) {
      const model = tinyModel({ layers: 3 });
      const programs = recordPrograms(model, tinyPrograms({ recompute, accumulation }));
      const { g, plan } = programs.train.get(2)!;
      const backward = g.nodes.filter((node) => node.phase === "backward");
      assert.ok(backward.length > 100);
      assert.ok(g.nodes.some((node) => node.scope.startsWith("backbone/")));
      for (const node of backward) assert.doesNotMatch(node.scope, /backbone/, node.op.name);
      const frozen = new Set(model.weights.of("frozen").map((weight) => weight.tensor));
      const fromBackbone = new Set(
        g.nodes.filter((node) => node.scope.startsWith("backbone/")).flatMap((n) => Object.values(n.outputs)),
      );
      for (const tensor of fromBackbone) assert.equal(tensor.needsGradient, false, tensor.label);
      for (const node of backward) {
        for (const tensor of Object.values(node.inputs)) {
          assert.ok(
            !frozen.has(tensor.base ?? tensor),
            `${node.op.name} in ${node.scope} reads ${tensor.label}`,
          );
        }
      }
      // What a step writes besides values: gradients and running statistics, nothing else.
      const written = new Set<Tensor>(plan.pinned.values());
      for (const { node } of plan.steps) {
        for (const name of node.op.updates) written.add(node.inputs[name]);
      }
      const statistics = model.weights.of("statistic").map((weight) => weight.tensor);
      assert.deepEqual(
        [...written].map((t) => t.label).sort(),
        [...programs.gradients, ...statistics].map((t) => t.label).sort(),
      );
    }
  }
});

Deno.test("a parameter's gradient is handed over once, as soon as nothing more can flow into it", () => {
  const g = new Graph();
  const x = resident("input", "x", [3, 4]);
  const w1 = resident("parameter", "w1", [4, 4]), w2 = resident("parameter", "w2", [4, 4]);
  const objective = square(g, linear(g, linear(g, linear(g, x, w1), w2), w1));
  const order: [string, number][] = [];
  differentiate(g, {
    seeds: [{ output: objective, gradient: resident("input", "seed", [1]) }],
    onGradient: (parameter) => order.push([parameter.label, g.nodes.length]),
  });
  assert.deepEqual(order.map(([name]) => name), ["w2", "w1"], "w1 is used first, so it is complete last");
  assert.ok(order[0][1] < order[1][1]);
});
