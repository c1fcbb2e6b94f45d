/** What `batchNorm` records in its two modes. */

import assert from "node:assert/strict";
import { Graph, resident, type Tensor } from "../../gpu/graph.ts";
import { batchNorm } from "../../gpu/ops/batch_norm.ts";
import { runGraph } from "../../gpu/run.ts";
import { engineTest } from "../_util/engine.ts";

/** One channel over the rows 1, 3, 5: mean 3, biased variance 8/3, unbiased variance 4. */
function setUp() {
  const x = resident("input", "x", [3, 1, 1]);
  const weight = resident("parameter", "weight", [1]), bias = resident("parameter", "bias", [1]);
  const runningMean = resident("state", "runningMean", [1]),
    runningVar = resident("state", "runningVar", [1]);
  const values = new Map<Tensor, Float32Array>([
    [x, Float32Array.of(1, 3, 5)],
    [weight, Float32Array.of(2)],
    [bias, Float32Array.of(1)],
    [runningMean, Float32Array.of(1)],
    [runningVar, Float32Array.of(9)],
  ]);
  const reads = new Map([["runningMean", runningMean], ["runningVar", runningVar]]);
  return { x, tensors: { weight, bias, runningMean, runningVar }, values, reads };
}

function assertNear(actual: Float32Array | undefined, expected: readonly number[]): void {
  assert.equal(actual?.length, expected.length);
  expected.forEach((value, i) =>
    assert.ok(Math.abs(actual![i] - value) < 1e-5, `${actual} is not ${expected}`)
  );
}

engineTest("batchNorm() in training uses the batch and moves the running statistics", async (gpu) => {
  const { x, tensors, values, reads } = setUp();
  const g = new Graph();
  g.output("out", batchNorm(g, x, tensors, { mode: "train", eps: 0, momentum: 0.25 }));
  const results = await runGraph(gpu, g, values, reads);
  const step = 2 * 2 / Math.sqrt(8 / 3);
  assertNear(results.get("out"), [1 - step, 1, 1 + step]);
  assertNear(results.get("runningMean"), [0.75 * 1 + 0.25 * 3]);
  assertNear(results.get("runningVar"), [0.75 * 9 + 0.25 * 4]);
});

engineTest("batchNorm() in evaluation uses the running statistics and leaves them", async (gpu) => {
  const { x, tensors, values, reads } = setUp();
  const g = new Graph();
  g.output("out", batchNorm(g, x, tensors, { mode: "eval", eps: 0 }));
  const results = await runGraph(gpu, g, values, reads);
  assertNear(results.get("out"), [1, 1 + 4 / 3, 1 + 8 / 3]);
  assertNear(results.get("runningMean"), [1]);
  assertNear(results.get("runningVar"), [9]);
});
