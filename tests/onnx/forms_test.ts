/** That every op of a forward pass has an ONNX form, that forms are of ops, and that what cannot leave is an error by name. */
import assert from "node:assert/strict";
import { Graph, resident } from "../../gpu/graph.ts";
import { scale } from "../../gpu/ops/mod.ts";
import { defineOp, OPS, recordOne } from "../../gpu/op.ts";
import { createModel } from "../../models/mod.ts";
import { FORMS, NOT_EXPORTED } from "../../onnx/forms/table.ts";
import { translate } from "../../onnx/translate.ts";
import { modelSpec } from "../../train/recipe/model.ts";
import { clipGraph, sentenceGraph } from "../../train/export/graphs.ts";
import { exportedRecipes } from "../train/export/_systems.ts";

Deno.test("every op has an ONNX form or says why not, and never both", () => {
  const told = [...Object.keys(FORMS), ...Object.keys(NOT_EXPORTED)];
  assert.deepEqual(told.toSorted(), [...OPS.keys()].toSorted());
});

for (const [name, config] of exportedRecipes()) {
  Deno.test(`${name}: every op of the forward pass has an ONNX form`, () => {
    const model = createModel(modelSpec(config)),
      options = { dtype: "f32", withPreprocessing: false } as const;
    const { inputs, outputs } = clipGraph(model, options);
    assert.ok(outputs.length > 0);
    assert.deepEqual(inputs[0].type.tensorType.shape.dim[0], { dimParam: "batch" });
    if (model.text) assert.ok(sentenceGraph(model, options).outputs.length > 0);
  });
}

/** A recording of x [B 4] and what is made of it. */
function translated(make: Parameters<typeof record>[1]) {
  return translate({
    name: "test",
    record: (batch) => record(batch, make),
    weightName: () => undefined,
    halves: false,
  });
}

function record(batch: number, make: (g: Graph, x: ReturnType<typeof resident>, batch: number) => typeof x) {
  const g = new Graph(), x = resident("input", "x", [batch, 4]);
  return { g, inputs: { x }, outputs: { y: make(g, x, batch) } };
}

Deno.test("an op without a form, one that depends on the batch, and a tensor that is no weight are errors by name", () => {
  const unknown = defineOp({
    name: "withoutForm",
    inputs: { x: "*R" },
    outputs: ({ inputs }) => ({ out: { shape: inputs.x.shape } }),
    dispatches: () => [],
    gradient: "none",
    reference: ({ x }) => ({ out: x }),
  });
  try {
    assert.throws(
      () => translated((g, x) => recordOne(g, unknown, { x })),
      /"withoutForm#0": the op has no ONNX form/,
    );
  } finally {
    OPS.delete("withoutForm");
  }
  assert.throws(
    () => translated((g, x, batch) => scale(g, x, 1 / batch)),
    /"scale#0": its factor must not depend/,
  );
  assert.throws(
    () => translated((g) => scale(g, resident("state", "mean", [4]), 2)),
    /"mean": it must be a weight or an input, it is a state/,
  );
});
