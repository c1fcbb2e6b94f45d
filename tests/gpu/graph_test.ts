/** Recording: shape errors, roles, scopes and which tensors a gradient can reach. */

import assert from "node:assert/strict";
import { Graph, resident, sizeOf } from "../../gpu/graph.ts";
import { defineOp, grid1d, MAX_GRID } from "../../gpu/op.ts";
import { add, batchNorm, crossEntropy, layerNorm, linear, reshape, sliceRows } from "../../gpu/ops/mod.ts";

const input = (label: string, shape: number[]) => resident("input", label, shape);
const parameter = (label: string, shape: number[]) => resident("parameter", label, shape);

const pair = defineOp({
  name: "testPair",
  inputs: { x: "*R C", "scale?": "C" },
  outputs: ({ inputs }) => ({
    out: { shape: inputs.x.shape },
    note: { shape: [inputs.x.shape[0]], auxiliary: true },
  }),
  dispatches: () => [],
  gradient: "none",
  reference: ({ x }) => ({ out: x }),
});

function messageOf(fn: () => unknown): string {
  try {
    fn();
  } catch (error) {
    return (error as Error).message;
  }
  assert.fail("it must throw");
}

Deno.test("an axis that does not match is an error with the op, the axis and both shapes", () => {
  const g = new Graph();
  const x = input("x", [2, 3, 8]);
  assert.equal(
    messageOf(() => layerNorm(g, x, { weight: parameter("w", [7]), bias: parameter("b", [8]) })),
    'Cannot record layerNorm: axis C of "weight" must be 8 (axis C of "x" [2,3,8]), current shape is [7]',
  );
  assert.equal(g.nodes.length, 0, "nothing is recorded");
});

Deno.test("a wrong number of axes is an error with the axes and the shape", () => {
  const g = new Graph();
  assert.match(
    messageOf(() =>
      layerNorm(g, input("x", [2, 8]), { weight: parameter("w", [8, 1]), bias: parameter("b", [8]) })
    ),
    /^Cannot record layerNorm: "weight" must have axes \[C\], current shape is \[8,1\]$/,
  );
});

Deno.test("missing and unknown inputs are errors by name, optional ones may be left out", () => {
  const g = new Graph(), x = input("x", [2, 4]);
  assert.equal(messageOf(() => g.record(pair, {})), 'Cannot record testPair: input "x" must be given');
  assert.equal(
    messageOf(() => g.record(pair, { x, bias: x })),
    'Cannot record testPair: it has no input "bias"',
  );
  assert.deepEqual(g.record(pair, { x }).out.shape, [2, 4]);
  assert.equal(
    messageOf(() => g.record(pair, { x, scale: input("s", [3]) })),
    'Cannot record testPair: axis C of "scale" must be 4 (axis C of "x" [2,4]), current shape is [3]',
  );
  assert.equal(g.nodes.length, 1);
});

Deno.test("a leading star folds all leading axes into one", () => {
  const g = new Graph();
  g.record(pair, { x: input("x", [2, 3, 5, 4]) });
  assert.deepEqual(g.nodes[0].axes, { R: 30, C: 4 });
});

Deno.test("an axis of a tensor must be a positive integer", () => {
  for (const shape of [[2, 0], [-1], [1.5]]) {
    assert.throws(() => input("x", shape), /"x": every axis must be a positive integer, current shape is/);
  }
});

Deno.test("a reshape must hold all elements, a slice and a view must lie inside", () => {
  const g = new Graph(), x = input("x", [4, 6]);
  assert.throws(() => reshape(g, x, [5, 5]), /Cannot reshape "x": \[5,5\] must hold 24 elements, .*\[4,6\]/);
  assert.throws(
    () => sliceRows(g, x, { start: 3, rows: 2 }),
    /Cannot slice "x": rows 3 to 5 must lie within shape \[4,6\]/,
  );
  assert.throws(
    () => g.view(x, [5], { offset: 20 }),
    /offset 20 and shape \[5\] must lie within shape \[4,6\]/,
  );
  assert.deepEqual(reshape(g, x, [-1, 3]).shape, [8, 3]);
});

Deno.test("a window of a window counts its offset from the tensor that owns the memory", () => {
  const g = new Graph(), x = input("x", [8, 64]);
  const inner = sliceRows(g, sliceRows(g, x, { start: 2, rows: 5 }), { start: 3, rows: 1 });
  assert.equal(inner.base, x);
  assert.equal(inner.offset, 5 * 64);
  assert.equal(sizeOf(inner.shape), 64);
});

Deno.test("rows that start off the binding alignment are copied instead of viewed", () => {
  const g = new Graph();
  assert.equal(sliceRows(g, input("x", [4, 6]), { start: 1, rows: 1 }).base, null);
});

Deno.test("only what a parameter reaches needs a gradient", () => {
  const g = new Graph();
  const x = input("x", [2, 4]), frozen = resident("frozen", "wf", [3, 4]), trained = parameter("wt", [3, 4]);
  assert.equal(linear(g, x, frozen).needsGradient, false);
  const y = linear(g, x, trained);
  assert.equal(y.needsGradient, true);
  assert.equal(add(g, y, linear(g, x, frozen)).needsGradient, true);
  assert.equal(reshape(g, y, [6]).needsGradient, true);
  const { note } = g.record(pair, { x: y });
  assert.equal(note.needsGradient, false, "auxiliary outputs carry none");
  const labels = resident("input", "labels", [2], "u32");
  const before = g.nodes.length;
  crossEntropy(g, y, { labels, smoothing: 0.1 });
  const stops = g.nodes.slice(before).filter((node) => node.op.gradient === "stop");
  assert.ok(stops.length > 0, "labels become targets by an op that stops differentiation");
  for (const node of stops) {
    for (const tensor of Object.values(node.outputs)) assert.equal(tensor.needsGradient, false, node.op.name);
  }
});

Deno.test("what is resident says whether it has a gradient: parameters do, others when they ask for it", () => {
  const has = (role: "input" | "frozen" | "parameter" | "state", gradient?: boolean) =>
    resident(role, role, [2, 4], "f32", { gradient }).needsGradient;
  assert.deepEqual(
    [has("input"), has("frozen"), has("state"), has("parameter")],
    [false, false, false, true],
  );
  assert.equal(has("input", true), true);
  assert.equal(has("parameter", false), false);
  const g = new Graph(), x = resident("input", "x", [2, 4], "f32", { gradient: true });
  assert.equal(linear(g, x, resident("frozen", "w", [3, 4])).needsGradient, true);
  assert.equal(g.view(x, [1, 4]).needsGradient, true);
});

Deno.test("nodes know their scope, region and phase, and a scope ends when its body throws", () => {
  const g = new Graph(), x = input("x", [2, 4]);
  g.scope("outer", () => {
    assert.throws(() => g.scope("inner", () => reshape(g, x, [3])));
    assert.throws(() => g.region("r", () => reshape(g, x, [3])));
    g.region("block", () => g.scope("inner", () => g.record(pair, { x })));
  });
  g.record(pair, { x });
  assert.deepEqual(g.nodes.map((node) => [node.scope, node.region, node.phase]), [
    ["outer/inner", "block", "forward"],
    ["", null, "forward"],
  ]);
  assert.match(g.nodes[0].outputs.out.label, /^outer\/inner\/testPair\.out#0$/);
});

Deno.test("regions do not nest", () => {
  const g = new Graph();
  assert.throws(
    () => g.region("a", () => g.region("b", () => 0)),
    /Cannot open region "b": region "a" must be closed first/,
  );
});

Deno.test("batch norm in training records the update of its statistics as an effect of its own", () => {
  const record = (mode: "train" | "eval") => {
    const g = new Graph();
    const state = (label: string) => resident("state", label, [4]);
    batchNorm(g, input("x", [6, 4]), {
      weight: parameter("w", [4]),
      bias: parameter("b", [4]),
      runningMean: state("mean"),
      runningVar: state("var"),
    }, { mode });
    return g.nodes.flatMap((node) => node.op.updates);
  };
  assert.deepEqual(record("train"), ["runningMean", "runningVar"]);
  assert.deepEqual(record("eval"), []);
});

Deno.test("two ops cannot have one name", () => {
  assert.throws(() => defineOp(pair), /Cannot define op "testPair": the name must be new/);
});

Deno.test("grid1d() covers every count with dimensions that WebGPU allows", () => {
  for (const count of [1, MAX_GRID, MAX_GRID + 1, 3 * MAX_GRID + 7, 2 ** 27]) {
    const [x, y, z] = grid1d(count);
    assert.ok(x * y * z >= count && x <= MAX_GRID && y <= MAX_GRID && z === 1, `${count}: ${x} ${y} ${z}`);
    assert.ok(x * y * z < count + y, `${count}: at most one row of idle workgroups`);
  }
});
