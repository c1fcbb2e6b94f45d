/** Planning: what runs, how long values live, and where they lie. No device. */

import assert from "node:assert/strict";
import { differentiate } from "../../gpu/autodiff.ts";
import { arenaSizes, Layout } from "../../gpu/layout.ts";
import { baseOf, BINDING_ALIGNMENT, bytesOf, Graph, resident, sizeOf, type Tensor } from "../../gpu/graph.ts";
import { add, copyInto, gelu, linear, reshape, scale, sliceRows } from "../../gpu/ops/mod.ts";
import { align, describePlan, liveNodes, type Plan, planGraph, TooLargeError } from "../../gpu/plan.ts";
import { createPrng } from "../../lib/random.ts";
import { loadConfig } from "../../train/recipe/config.ts";
import { createModel } from "../../models/mod.ts";
import { recordPrograms } from "../../train/runtime/programs.ts";
import { planSession } from "../../train/runtime/session_plan.ts";
import { modelSpec } from "../../train/recipe/model.ts";
import { sessionOptions } from "../../train/tasks/session_options.ts";
import { elementsOf, type Memory, outputsOf, runPlanned, runReference } from "../_util/reference_engine.ts";
import { ROOMY, tinyModel, tinyPrograms } from "../_util/tiny_model.ts";
import { PLAIN_GPU } from "../../gpu/tuning/family.ts";

const CONFIG = new URL("../../configs/side4video/ssv2_vitb16_f8.yaml", import.meta.url).pathname;
/** A common GPU: what `plan` assumes where there is none. */
const LIMITS = { maxBindingBytes: 2 ** 31 - 2 ** 20, maxBufferBytes: 2 ** 31 - 2 ** 20 };
const ENVIRONMENT = {
  ...PLAIN_GPU,
  features: new Set(["shader-f16", "subgroups"]),
};

interface Interval {
  tensor: Tensor;
  first: number;
  last: number;
}

/** Lifetimes by definition: from the step that writes a value to the last that reads it, or the end for outputs. */
function intervalsOf(plan: Plan, g: Graph): Interval[] {
  const intervals = new Map<Tensor, Interval>();
  plan.steps.forEach(({ node }, i) => {
    for (const tensor of Object.values(node.outputs)) {
      if (!plan.pinned.has(tensor)) intervals.set(tensor, { tensor, first: i, last: i });
    }
    for (const tensor of Object.values(node.inputs)) {
      const interval = intervals.get(baseOf(tensor));
      if (interval) interval.last = i;
    }
  });
  for (const tensor of g.outputs.values()) {
    const interval = intervals.get(baseOf(tensor));
    if (interval) interval.last = plan.steps.length - 1;
  }
  return [...intervals.values()];
}

/**
 * Brute force over all pairs: no two values alive at one time share a byte, but where one takes over from the other, in its place;
 * everything is aligned and inside.
 */
function checkPlacements(plan: Plan, g: Graph): void {
  const intervals = intervalsOf(plan, g);
  assert.equal(plan.placements.size, intervals.length);
  const places = intervals.map((interval) => ({ ...interval, ...plan.placements.get(interval.tensor)! }));
  for (const { tensor, offset, bytes, chunk } of places) {
    assert.equal(offset % BINDING_ALIGNMENT, 0, tensor.label);
    assert.ok(bytes >= bytesOf(tensor), tensor.label);
    assert.ok(offset + bytes <= plan.chunks[chunk], tensor.label);
  }
  for (let i = 0; i < places.length; i++) {
    const a = places[i];
    for (let j = 0; j < i; j++) {
      const b = places[j];
      const [before, after] = a.first < b.first ? [a, b] : [b, a];
      const takesOver = plan.inPlace.get(after.tensor) === before.tensor && before.last === after.first &&
        a.chunk === b.chunk && a.offset === b.offset && a.bytes === b.bytes;
      const disjoint = takesOver || a.chunk !== b.chunk || a.last < b.first || b.last < a.first ||
        a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset;
      assert.ok(disjoint, `"${a.tensor.label}" and "${b.tensor.label}" are alive together and overlap`);
    }
  }
}

const input = (label: string, shape: number[]) => resident("input", label, shape);

Deno.test("values that are never alive together share memory", () => {
  const g = new Graph();
  let x = scale(g, input("x", [64]), 2); // [64]
  for (let i = 0; i < 20; i++) x = scale(g, x, 2); // [64]
  g.output("y", x);
  const plan = planGraph(g, { limits: ROOMY });
  assert.equal(plan.steps.length, 21);
  assert.equal(plan.arenaBytes, 2 * 256, "one value read, one written");
  assert.equal(plan.peakLiveBytes, 2 * 256);
  checkPlacements(plan, g);
});

Deno.test("an activation's gradient takes the memory of what flows into it, unless that is read later", () => {
  for (const isReadLater of [false, true]) {
    const g = new Graph(), w = resident("parameter", "w", [64]);
    const y = gelu(g, add(g, input("x", [64]), w)), gradient = scale(g, input("d", [64]), 2);
    const flows = differentiate(g, { seeds: [{ output: y, gradient }] });
    g.output("dw", scale(g, flows.get(w)!, 3));
    if (isReadLater) g.output("gradient", gradient);
    const plan = planGraph(g, { limits: ROOMY }), [taken] = plan.inPlace.values();
    assert.equal(taken, isReadLater ? undefined : gradient);
    checkPlacements(plan, g);
  }
});

Deno.test("plans that are apart share no memory with the others, which share theirs", () => {
  const planOf = (count: number) => {
    const g = new Graph();
    const y = g.output("y", scale(g, input("x", [count]), 2));
    return { y, plan: planGraph(g, { limits: ROOMY }) };
  };
  const [one, two, apart] = [64, 128, 96].map(planOf);
  const layout = new Layout(ROOMY);
  layout.allocateArena([one.plan, two.plan], [apart.plan]);
  const [first, second, third] = [one, two, apart].map(({ y, plan }) => layout.locate(plan, y));
  assert.deepEqual(first, second);
  assert.notEqual(first.buffer, third.buffer);
  assert.equal(layout.bytesOf("arena.*"), 512 + 512, "the largest of those that share, and the one apart");
  assert.throws(() => layout.locate(planOf(8).plan, planOf(8).y));
});

Deno.test("dead nodes go; outputs, pinned values and effects stay", () => {
  const g = new Graph();
  const x = input("x", [64]), state = resident("state", "s", [64]), target = resident("state", "t", [64]);
  const kept = g.output("kept", scale(g, x, 2));
  gelu(g, kept); // read by nobody
  copyInto(g, scale(g, x, 3), state);
  const pinned = add(g, kept, x);
  const plan = planGraph(g, { limits: ROOMY, pinned: new Map([[pinned, target]]) });
  assert.deepEqual(plan.steps.map(({ node }) => node.op.name), ["scale", "scale", "copyInto", "add"]);
  assert.equal(plan.placements.has(pinned), false, "a pinned value takes no place in the arena");
  assert.deepEqual(new Set(plan.residents), new Set([x, state, target]));
  assert.equal(liveNodes(g).some((node) => node.op.name === "gelu"), false);
});

Deno.test("outputs live to the end, also through a view of them", () => {
  const g = new Graph();
  const y = scale(g, input("x", [4, 64]), 2); // [4 64]
  g.output("window", sliceRows(g, y, { start: 1, rows: 1 }));
  let z = gelu(g, y);
  for (let i = 0; i < 5; i++) z = gelu(g, z);
  g.output("z", z);
  const plan = planGraph(g, { limits: ROOMY });
  checkPlacements(plan, g);
  assert.ok(plan.steps.at(-1)!.frees.includes(y));
});

Deno.test("a plan is an error when a value is read before it is produced", () => {
  const g = new Graph(), other = new Graph();
  const foreign = scale(other, input("x", [4]), 2);
  g.output("y", scale(g, foreign, 2));
  assert.throws(() => planGraph(g, { limits: ROOMY }), /must be produced before it is read/);
});

Deno.test("a value larger than a binding or a buffer is an error with its name, shape and both sizes", () => {
  const g = new Graph();
  g.output("y", g.scope("side/layer.3", () => scale(g, input("x", [100, 30]), 2)));
  for (
    const limits of [
      { maxBindingBytes: 8192, maxBufferBytes: 2 ** 20 },
      { maxBindingBytes: 2 ** 20, maxBufferBytes: 8192 },
    ]
  ) {
    assert.throws(() => planGraph(g, { limits }), (error: Error) => {
      assert.ok(error instanceof TooLargeError);
      assert.equal(
        error.message,
        `Cannot plan "side/layer.3/scale.out#0" [100,30]: a tensor must be at most 8192 bytes on this adapter, current size is 12000 bytes`,
      );
      assert.deepEqual([error.neededBytes, error.limitBytes], [12000, 8192]);
      return true;
    });
  }
});

Deno.test("no chunk exceeds the buffer limit, whatever the sizes and lifetimes", () => {
  for (let seed = 0; seed < 20; seed++) {
    const prng = createPrng(31, seed), g = new Graph();
    const pool = [input("x", [64])];
    for (let i = 0; i < 60; i++) {
      const from = pool[prng.integer(pool.length)];
      const rows = 1 + prng.integer(40);
      pool.push(
        linear(g, reshape(g, from, [1, -1]), resident("frozen", `w${i}`, [rows * 16, sizeOf(from.shape)])),
      );
      if (prng.integer(4) === 0) g.output(`y${i}`, pool.at(-1)!);
    }
    g.output("last", pool.at(-1)!);
    const maxBufferBytes = 4000; // not a multiple of the alignment
    const plan = planGraph(g, { limits: { maxBindingBytes: 2 ** 20, maxBufferBytes } });
    assert.ok(plan.chunks.every((bytes) => bytes <= maxBufferBytes), `seed ${seed}: [${plan.chunks}]`);
    assert.equal(plan.arenaBytes, plan.chunks.reduce((a, b) => a + b, 0));
    assert.ok(plan.arenaBytes >= plan.peakLiveBytes);
    checkPlacements(plan, g);
  }
});

/** Seeded values of all residents of a training program. */
function residentsOf(plan: Plan): Memory {
  return new Map(plan.residents.map((tensor, i) => {
    const prng = createPrng(41, i);
    const value = tensor.dtype === "u32"
      ? () => prng.integer(4)
      : tensor.label.endsWith("running_var")
      ? () => 1 + prng.uniform()
      : () => 0.3 * prng.normal();
    return [tensor, Float64Array.from({ length: sizeOf(tensor.shape) }, value)];
  }));
}

for (const recompute of [false, true]) {
  const mode = recompute ? "recompute" : "keep";
  Deno.test(`a training step in its planned memory computes what separate memory gives (${mode})`, () => {
    const model = tinyModel({ frames: 2, width: 16 });
    const limits = { maxBindingBytes: 2 ** 20, maxBufferBytes: 3 * 2 ** 15 };
    const programs = recordPrograms(model, tinyPrograms({ recompute, limits }));
    const { g, plan } = programs.train.get(2)!;
    assert.ok(plan.chunks.length > 1, "the limit splits the arena");
    checkPlacements(plan, g);
    const residents = residentsOf(plan);
    const apart = new Map([...residents].map(([tensor, values]) => [tensor, values.slice()]));
    runReference(g.nodes, apart);
    const expected = outputsOf(g, (tensor) => elementsOf(apart, tensor));
    const actual = outputsOf(g, runPlanned(plan, residents));
    assert.deepEqual(actual, expected);
    assert.ok(expected.get("loss")![0] > 0);
    for (const [value, target] of plan.pinned) {
      assert.deepEqual(residents.get(target), Float64Array.from(elementsOf(apart, value)), target.label);
    }
    for (const { tensor, name } of model.weights.of("statistic")) {
      assert.deepEqual(residents.get(tensor), apart.get(tensor), name);
    }
  });
}

Deno.test("allocates and frees of the steps pair up, and their running sum peaks at peakLiveBytes", () => {
  const { plan } = recordPrograms(tinyModel(), tinyPrograms()).train.get(2)!;
  let live = 0, peak = 0;
  const alive = new Set<Tensor>();
  for (const { allocates, frees } of plan.steps) {
    for (const tensor of allocates) {
      assert.ok(!alive.has(tensor));
      alive.add(tensor);
      live += align(bytesOf(tensor));
    }
    peak = Math.max(peak, live);
    for (const tensor of frees) {
      assert.ok(alive.delete(tensor));
      live -= align(bytesOf(tensor));
    }
  }
  assert.equal(alive.size, 0);
  assert.equal(live, 0);
  assert.equal(peak, plan.peakLiveBytes);
  assert.ok(plan.arenaBytes >= peak && plan.arenaBytes < 1.25 * peak, `${plan.arenaBytes} for ${peak}`);
  const lines = [...describePlan(plan)];
  assert.equal(lines.filter((line) => / (forward|backward) /.test(line)).length, plan.steps.length);
  assert.match(lines[0], /live \d+\.\d MiB/);
});

Deno.test("recomputation lowers the peak", () => {
  const peak = (recompute: boolean) =>
    recordPrograms(tinyModel({ layers: 6 }), tinyPrograms({ recompute })).train.get(2)!.plan.peakLiveBytes;
  assert.ok(peak(true) < 0.7 * peak(false), `${peak(true)} against ${peak(false)}`);
});

Deno.test("backbone activations die in their block, except the taps that a trained norm reads again", () => {
  const { g, plan } = recordPrograms(tinyModel({ layers: 12 }), tinyPrograms({ recompute: true })).train.get(
    2,
  )!;
  const scopeOf = (i: number) => plan.steps[i].node.scope;
  const lastOfBlock = new Map(plan.steps.map((_, i) => [scopeOf(i), i]));
  const survivors: Tensor[] = [];
  for (const { tensor, first, last } of intervalsOf(plan, g)) {
    if (!scopeOf(first).startsWith("backbone/")) continue;
    if (last > lastOfBlock.get(scopeOf(first))!) survivors.push(tensor);
  }
  assert.equal(survivors.length, 13, "what enters block 0, and twelve taps");
});

Deno.test("a layer more costs its tap and its side state, and nothing else of the tower", () => {
  const plan = (layers: number) =>
    recordPrograms(tinyModel({ layers }), tinyPrograms({ recompute: true })).train.get(2)!.plan;
  const { sideDim, frames, backbone: { width } } = tinyModel().config;
  const rows = 2 * frames, tap = rows * 5 * width * 4, state = rows * 4 * sideDim * 4;
  const growth = (plan(12).peakLiveBytes - plan(6).peakLiveBytes) / 6;
  assert.ok(
    growth >= tap + state && growth < 1.1 * (tap + state),
    `${growth} bytes, expected ${tap + state}`,
  );
});

Deno.test("without a backward pass the arena does not grow with the depth of the tower", () => {
  const arena = (layers: number) =>
    recordPrograms(tinyModel({ layers }), tinyPrograms()).evaluation.plan.arenaBytes;
  assert.equal(arena(12), arena(2));
});

Deno.test("one arena serves all programs of a run", () => {
  const programs = recordPrograms(tinyModel(), tinyPrograms({ trainClips: [3, 1], evalClips: 4 }));
  const plans = [...programs.train.values(), programs.evaluation].map(({ plan }) => plan);
  assert.deepEqual(arenaSizes(plans), [Math.max(...plans.map((plan) => plan.arenaBytes))]);
});

async function planOf(overrides: string[]) {
  const { config } = await loadConfig(CONFIG, overrides);
  const model = createModel(modelSpec(config));
  const options = sessionOptions(config, { lastBatch: 0, largestFrame: { width: 456, height: 256 } });
  return planSession(model, { ...options, limits: LIMITS }, ENVIRONMENT);
}

Deno.test("the published recipe for ViT-B/16, 32 clips of 8 frames, needs at most 3.5 GiB and never overlaps", async () => {
  const { memory, programs } = await planOf([]);
  assert.ok(memory.total <= 3.5 * 2 ** 30, `${memory.total} bytes`);
  assert.equal(memory.total, Object.values(memory.byUse).reduce((a, b) => a + b, 0));
  assert.deepEqual([...programs.train.keys()], [32]);
  const { g, plan } = programs.train.get(32)!;
  checkPlacements(plan, g);
  // The tower's values alone would be far more than the arena, which also holds the side network's.
  const backbone = plan.steps.filter(({ node }) => node.scope.startsWith("backbone/"))
    .flatMap(({ node }) => Object.values(node.outputs)).reduce((sum, tensor) => sum + bytesOf(tensor), 0);
  assert.ok(backbone > 2.5 * plan.arenaBytes, `${backbone} in the backbone, ${plan.arenaBytes} in the arena`);
  // Weights in f16, vectors in f32.
  const { frozen_weights: frozen } = memory.byUse;
  assert.ok(frozen > 2 * 85_797_888 && frozen < 2.02 * 85_797_888, `${frozen} bytes`);
});

Deno.test("keeping side activations costs more memory, f32 more than f16, and more frames more than fewer", async () => {
  const total = async (...overrides: string[]) => (await planOf(overrides)).memory.total;
  const base = await total("data.batch_size=4");
  assert.ok(await total("data.batch_size=4", "memory=keep") > 1.2 * base);
  assert.ok(await total("data.batch_size=4", "precision=f32") > base + 85_797_888);
  assert.ok(await total("data.batch_size=4", "data.num_segments=16") > 1.3 * base);
});
