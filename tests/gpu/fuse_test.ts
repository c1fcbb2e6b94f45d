/** Joined nodes: what is joined, what is left alone, and that the numbers are those of every node on its own. */

import assert from "node:assert/strict";
import { differentiate } from "../../gpu/autodiff.ts";
import { Graph, resident, sizeOf, type Tensor } from "../../gpu/graph.ts";
import {
  add,
  batchNorm,
  gelu,
  layerNorm,
  linear,
  quickGelu,
  reshape,
  scale,
  slice,
  splitTokens,
} from "../../gpu/ops/mod.ts";
import { OPS } from "../../gpu/op.ts";
import { type Plan, planGraph } from "../../gpu/plan.ts";
import { runGraph } from "../../gpu/run.ts";
import { createPrng } from "../../lib/random.ts";
import { engineTest } from "../_util/engine.ts";
import { runGuarded } from "../_util/guarded_run.ts";
import { ROOMY } from "../_util/tiny_model.ts";

const ROWS = 2100, WIDTH = 12; // rows enough for a sum in parts

/** Two pre-norm residual branches, as in a tower, and the gradients of all weights as outputs. */
function recordTower({ recompute = false }: { recompute?: boolean } = {}) {
  const g = new Graph(), prng = createPrng(5), values = new Map<Tensor, Float32Array>();
  const declare = (
    role: "parameter" | "input" | "state",
    label: string,
    shape: number[],
    of = () => prng.normal(),
  ) => {
    const tensor = resident(role, label, shape);
    values.set(tensor, Float32Array.from({ length: sizeOf(shape) }, of));
    return tensor;
  };
  const weight = (label: string, shape: number[]) =>
    declare("parameter", label, shape, () => prng.normal() / 3);
  const x = declare("input", "x", [ROWS, WIDTH]);
  const norm = (label: string) => ({
    weight: weight(`${label}.weight`, [WIDTH]),
    bias: weight(`${label}.bias`, [WIDTH]),
  });
  const running = () => ({
    runningMean: declare("state", "mean", [WIDTH], () => 0),
    runningVar: declare("state", "variance", [WIDTH], () => 1),
  });
  let s = linear(g, x, weight("stem", [WIDTH, WIDTH]), { bias: weight("stem.bias", [WIDTH]) }); // [ROWS WIDTH]
  for (const [i, activation] of (["gelu", "quickGelu"] as const).entries()) {
    s = g.region(`branch.${i}`, () => {
      const h = i === 0
        ? layerNorm(g, s, norm("norm0"))
        : batchNorm(g, s, { ...norm("norm1"), ...running() }, { mode: "train" }); // [ROWS WIDTH]
      const bias = weight(`fc${i}.bias`, [20]);
      const wide = linear(g, h, weight(`fc${i}`, [20, WIDTH]), { bias, activation }); // [ROWS 20]
      return linear(g, wide, weight(`out${i}`, [WIDTH, 20]), {
        bias: weight(`out${i}.bias`, [WIDTH]),
        residual: s,
      });
    });
  }
  const gradient = declare("input", "d", [ROWS, WIDTH], () => prng.normal() / 30);
  g.output("y", s);
  for (const [tensor, flow] of differentiate(g, { seeds: [{ output: s, gradient }], recompute })) {
    g.output(`d ${tensor.label}`, flow);
  }
  return { g, values };
}

const namesOf = (plan: Plan) => plan.steps.map(({ node }) => node.op.name);

Deno.test("activations, their gradients, bias gradients and sums of gradients join the products and norms beside them", () => {
  for (const recompute of [false, true]) {
    const { g } = recordTower({ recompute });
    const joined = namesOf(planGraph(g, { limits: ROOMY })),
      apart = namesOf(planGraph(g, { limits: ROOMY, fuses: false }));
    const count = (names: string[], name: string) => names.filter((each) => each === name).length;
    // gelu is recomputed apart.
    assert.equal(count(joined, "gelu"), recompute ? 1 : 0);
    assert.deepEqual(
      ["quickGelu", "geluDx", "quickGeluDx", "add"].filter((name) => joined.includes(name)),
      [],
    );
    assert.ok(["gelu", "quickGelu", "geluDx", "quickGeluDx", "add"].every((name) => apart.includes(name)));
    // The sums of five weights' gradients in parts, and beside each that of its bias from as many parts.
    assert.equal(count(apart, "sumRows"), 10);
    assert.equal(count(joined, "sumRows"), 10);
    assert.equal(count(joined, "matmul"), count(apart, "matmul"));
  }
});

for (const recompute of [false, true]) {
  engineTest(`joined nodes give what every node gives on its own (recompute: ${recompute})`, async (gpu) => {
    const { g, values } = recordTower({ recompute });
    const joined = await runGraph(gpu, g, values), apart = await runGuarded(gpu, g, { values });
    assert.ok(apart.size > 10);
    for (const [name, expected] of apart) {
      const actual = joined.get(name)!,
        largest = expected.reduce((most, each) => Math.max(most, Math.abs(each)), 1e-6);
      assert.equal(actual.length, expected.length);
      // The bias in front of a batch norm has no gradient but rounding.
      const tolerance = 3e-6 * Math.max(largest, 1);
      actual.forEach((each, i) =>
        assert.ok(Math.abs(each - expected[i]) <= tolerance, `${name}[${i}]: ${each}, not ${expected[i]}`)
      );
    }
  });
}

/** A weight and an input to multiply. */
function product(g: Graph): Tensor {
  return linear(g, resident("input", "x", [6, 8]), resident("frozen", "w", [8, 8])); // [6 8]
}

Deno.test("a value that is read elsewhere stays, and where it cannot, nothing is joined", () => {
  const namesWith = (record: (g: Graph) => void) => {
    const g = new Graph();
    record(g);
    return planGraph(g, { limits: ROOMY });
  };
  // What an activation is applied to is kept beside its result, for another reader and for the outside.
  for (const isOutput of [false, true]) {
    const plan = namesWith((g) => {
      const h = product(g);
      g.output("y", gelu(g, h));
      if (isOutput) g.output("h", h);
      else g.output("h", scale(g, h, 2));
    });
    assert.deepEqual(namesOf(plan), isOutput ? ["matmul"] : ["matmul", "scale"]);
    assert.deepEqual(Object.keys(plan.steps[0].node.outputs), ["out", "preactivation"]);
  }
  const input = () => resident("input", "r", [6, 8]);
  assert.deepEqual(namesOf(namesWith((g) => void g.output("y", add(g, input(), product(g))))), ["matmul"]);
  // A product that is read twice, one that already adds, a weighted sum, and half of a product.
  const twice = namesWith((g) => {
    const h = product(g);
    g.output("y", add(g, input(), h));
    g.output("z", scale(g, h, 2));
  });
  assert.deepEqual(namesOf(twice), ["matmul", "add", "scale"]);
  const sums = namesWith((g) => void g.output("y", add(g, input(), add(g, input(), product(g)))));
  assert.deepEqual(namesOf(sums), ["matmul", "add"]);
  const weighed = namesWith((g) => void g.output("y", add(g, input(), product(g), { alpha: 0.5 })));
  assert.deepEqual(namesOf(weighed), ["matmul", "add"]);
  // Of two products the later one adds the earlier.
  const both = namesWith((g) => void g.output("y", add(g, product(g), product(g))));
  assert.deepEqual(namesOf(both), ["matmul", "matmul"]);
  assert.equal(both.steps[1].node.inputs.residual, both.steps[0].node.outputs.out);
  assert.equal(
    both.inPlace.get(both.steps[1].node.outputs.out),
    both.steps[0].node.outputs.out,
    "in its place",
  );
});

engineTest(
  "a part of a tensor is added where it stands, and what else is read of it is still there",
  async (gpu) => {
    const record = (withToken: boolean) => {
      const g = new Graph(), prng = createPrng(3);
      const values = new Map([[2, 3, 4, 5], [6, 5, 5], [6, 2, 5]].map((shape, i) => {
        const data = Float32Array.from({ length: sizeOf(shape) }, () => prng.normal());
        return [resident("input", `x${i}`, shape), data] as const;
      }));
      const [s, whole, last] = values.keys(), { token, patches } = splitTokens(g, scale(g, whole, 2));
      g.output("sum", add(g, s, reshape(g, patches, s.shape), { alpha: 0.5, beta: 0.25 }));
      if (withToken) g.output("token", scale(g, token, 3));
      const part = slice(g, scale(g, whole, 3), { axis: 1, start: 3, length: 2 }); // [6 2 5]
      g.output("last", add(g, part, last));
      return { g, values };
    };
    for (const withToken of [false, true]) {
      const { g, values } = record(withToken), names = namesOf(planGraph(g, { limits: ROOMY }));
      assert.deepEqual(names.filter((name) => name === "splitTokens" || name === "add"), []);
      assert.equal(names.filter((name) => name === "addWindow").length, 2);
      assert.equal(names.filter((name) => name === "slice").length, withToken ? 1 : 0);
      const joined = await runGraph(gpu, g, values), apart = await runGuarded(gpu, g, { values });
      assert.deepEqual(joined, apart);
    }
  },
);

Deno.test("what is added to itself, or multiplied by its own slope, is still made", () => {
  const g = new Graph(),
    h = product(g),
    part = slice(g, resident("input", "x", [6, 8]), { axis: 1, start: 2, length: 3 });
  g.output("sum", add(g, h, h));
  g.output("parts", add(g, part, part));
  const p = product(g);
  g.output("slope", g.record(OPS.get("geluDx")!, { x: p, dOut: p }).out);
  assert.deepEqual(namesOf(planGraph(g, { limits: ROOMY })), [
    "matmul",
    "slice",
    "add",
    "add",
    "matmul",
    "geluDx",
  ]);
});

Deno.test("an activation of f16 storage, or of a product whose result is used as it is, is not mistaken", () => {
  const g = new Graph(),
    half = linear(g, resident("input", "x", [6, 8]), resident("frozen", "w", [8, 8]), { dtype: "f16" });
  g.output("y", quickGelu(g, half));
  assert.deepEqual(namesOf(planGraph(g, { limits: ROOMY })), ["matmul", "quickGelu"]);
});
