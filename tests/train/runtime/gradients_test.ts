/** Where the gradients of trained tensors go, on plain references: no device. */

import assert from "node:assert/strict";
import { Graph, resident, type Tensor } from "../../../gpu/graph.ts";
import { embedding, matmul, reshape } from "../../../gpu/ops/mod.ts";
import { constant, Weights } from "../../../models/params.ts";
import { GradientWriter } from "../../../train/runtime/gradients.ts";
import { elementsOf, type Memory, runReference } from "../../_util/reference_engine.ts";
import { tinyPrograms } from "../../_util/tiny_model.ts";

const IDS = [3, 1, 3, 0, 3, 1], ROWS = 50, WIDTH = 4;

Deno.test("a program that adds its gradients to others makes no table of zeros for the rows it picked", () => {
  const g = new Graph(), weights = new Weights();
  const table = weights.trained("table", [ROWS, WIDTH], constant(0));
  const ids = resident("input", "ids", [IDS.length], "u32"), seed = resident("input", "seed", [1, 1]);
  const home = resident("state", "gradient", [ROWS, WIDTH]);
  const flat = reshape(g, embedding(g, ids, table), [1, -1]);
  const loss = matmul(g, flat, flat, { transposeB: true }); // [1 1]
  const trained = { trained: weights.list, gradients: [home] };
  const writer = new GradientWriter(g, trained, tinyPrograms(), { adds: true });
  writer.sweep([{ output: loss, gradient: seed }]);
  writer.requireAll();
  const { steps } = writer.plan();
  assert.ok(steps.some(({ node }) => node.op.name === "addEmbeddingDTable"));
  assert.ok(!steps.some(({ node }) => Object.values(node.outputs).some(({ shape }) => shape[0] === ROWS)));

  const values = Float64Array.from({ length: ROWS * WIDTH }, (_, i) => i / 7 - 3);
  const memory: Memory = new Map<Tensor, Float64Array>([
    [table, values],
    [ids, Float64Array.from(IDS)],
    [seed, Float64Array.of(1)],
    [home, new Float64Array(ROWS * WIDTH).fill(1)],
  ]);
  runReference(steps.map(({ node }) => node), memory);
  const times = (row: number) => IDS.filter((id) => id === row).length;
  const expected = values.map((value, i) => 1 + 2 * value * times(Math.floor(i / WIDTH))); // of Σ picked²
  elementsOf(memory, home).forEach((value, i) => assert.ok(Math.abs(value - expected[i]) < 1e-12, `[${i}]`));
});
