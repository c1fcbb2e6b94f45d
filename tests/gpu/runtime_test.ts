/** Running plans on a device: where tensors lie, uploads and readbacks of every type, chunks, views and reuse. */

import assert from "node:assert/strict";
import type { Gpu } from "../../gpu/device.ts";
import { BINDING_ALIGNMENT, bytesOf, Graph, resident, sizeOf, type Tensor } from "../../gpu/graph.ts";
import { defineOp } from "../../gpu/op.ts";
import { add, cast, copyInto, fill, gelu, linear, reshape, scale, sliceRows } from "../../gpu/ops/mod.ts";
import { type Plan, planGraph } from "../../gpu/plan.ts";
import { runGraph } from "../../gpu/run.ts";
import { alignedBytes, Layout } from "../../gpu/layout.ts";
import { lowerPlan, uniformBytes } from "../../gpu/lower.ts";
import { type Command, Runtime } from "../../gpu/runtime.ts";
import { encodeValues, valuesOf } from "../../gpu/values.ts";
import { createPrng } from "../../lib/random.ts";
import { engineTest } from "../_util/engine.ts";
import { elementsOf, type Memory, runReference } from "../_util/reference_engine.ts";

const randomly = (tensor: Tensor, seed: number) => {
  const prng = createPrng(seed);
  return Float32Array.from({ length: sizeOf(tensor.shape) }, () => prng.normal());
};

/** A plan on a device: its places, and what commands do. */
class Loaded {
  constructor(readonly runtime: Runtime, readonly layout: Layout, readonly plan: Plan) {}

  async write(tensor: Tensor, values: Float32Array | Uint32Array): Promise<void> {
    await this.runtime.submit([{
      do: "write",
      to: this.layout.find(tensor),
      bytes: encodeValues(tensor, values),
    }]);
  }

  async run(): Promise<void> {
    await this.runtime.submit([{ do: "run", program: "plan" }]);
  }

  async read(tensor: Tensor): Promise<number[]> {
    const from = this.layout.locate(this.plan, tensor);
    const [bytes] = await this.runtime.submit([{ do: "read", from, bytes: bytesOf(tensor) }]);
    return [...valuesOf(tensor, bytes)];
  }
}

const NOTHING = { stream: null, programs: {}, readbackBytes: 0, frames: null, mix: null };

/** Allocates and compiles; everything is freed after `body`. */
async function withProgram(
  gpu: Gpu,
  plan: Plan,
  body: (loaded: Loaded) => Promise<void>,
  more: { resident?: readonly Tensor[]; readbackBytes?: number } = {},
): Promise<void> {
  const layout = new Layout(gpu), runtime = new Runtime(gpu);
  try {
    layout.allocate("residents", [...plan.residents, ...more.resident ?? []]);
    layout.allocateArena([plan]);
    const programs = { plan: lowerPlan(plan, layout, gpu.environment) };
    await runtime.load({
      ...NOTHING,
      buffers: layout.buffers,
      programs,
      readbackBytes: more.readbackBytes ?? 0,
    });
    await body(new Loaded(runtime, layout, plan));
  } finally {
    gpu.memory[Symbol.dispose]();
  }
}

/** A plan of nothing. */
const EMPTY = planGraph(new Graph(), { limits: { maxBindingBytes: 2 ** 20, maxBufferBytes: 2 ** 20 } });

engineTest(
  "resident tensors of every type keep what is written, each at its own aligned place",
  async (gpu) => {
    const tensors = [
      resident("input", "a", [3]),
      resident("input", "b", [5], "u32"),
      resident("frozen", "c", [3], "f16"), // six bytes: uploads and readbacks come in words
      resident("state", "d", [2, 2]),
    ];
    const values = [
      Float32Array.of(1.5, -2, 3e-8),
      Uint32Array.of(0, 1, 7, 2 ** 24, 5),
      Float32Array.of(0.5, -65504, 6.103515625e-5),
      new Float32Array(4),
    ];
    await withProgram(gpu, EMPTY, async (loaded) => {
      const { layout } = loaded;
      assert.equal(gpu.memory.allocatedBytes, alignedBytes(tensors));
      assert.equal(layout.bytesOf(), alignedBytes(tensors));
      layout.allocate("again", tensors);
      assert.equal(layout.bytesOf(), alignedBytes(tensors), "what has memory gets no second one");
      for (const [i, tensor] of tensors.slice(0, 3).entries()) await loaded.write(tensor, values[i]);
      for (const [i, tensor] of tensors.entries()) {
        assert.equal(layout.find(tensor).offset % BINDING_ALIGNMENT, 0);
        assert.deepEqual(await loaded.read(tensor), [...values[i]], tensor.label);
      }
      assert.throws(
        () => layout.find(resident("input", "z", [1])),
        /memory of "z": it must be allocated first/,
      );
      assert.throws(
        () => encodeValues(tensors[0], new Float32Array(4)),
        /Cannot write "a": shape \[3\] must be given 3 values, current count is 4/,
      );
      assert.throws(
        () => layout.allocate("view", [new Graph().view(tensors[3], [2])]),
        /it must own its memory/,
      );
      assert.throws(
        () => layout.allocate("large", [resident("input", "large", [gpu.maxBindingBytes / 4 + 1])]),
        /Cannot plan "large"/,
      );
    }, { resident: tensors });
  },
);

engineTest("flat memory holds its tensors one after the other, readable as one", async (gpu) => {
  const layout = new Layout(gpu), runtime = new Runtime(gpu), g = new Graph();
  const parts = [resident("parameter", "a", [70]), resident("parameter", "b", [2, 3])];
  try {
    const { flat, starts } = layout.allocateFlat("parameters", parts);
    assert.deepEqual(starts, [0, 128]);
    assert.deepEqual(flat.shape, [192]);
    await runtime.load({ ...NOTHING, buffers: layout.buffers });
    const loaded = new Loaded(runtime, layout, EMPTY);
    for (const [i, part] of parts.entries()) await loaded.write(part, randomly(part, i));
    const all = await loaded.read(flat);
    assert.deepEqual(all.slice(0, 70), [...randomly(parts[0], 0)]);
    assert.deepEqual(all.slice(128, 134), [...randomly(parts[1], 1)]);
    assert.ok(all.slice(134).every((x) => x === 0), "memory starts as zeros");
    assert.deepEqual(await loaded.read(g.view(flat, [3], { offset: 131 })), all.slice(131, 134));
  } finally {
    gpu.memory[Symbol.dispose]();
  }
});

engineTest("commands happen in their order, and reads come back in theirs, however large", async (gpu) => {
  const g = new Graph(), x = resident("input", "x", [100]), kept = resident("state", "kept", [100]);
  const doubled = g.output("doubled", scale(g, x, 2));
  const plan = planGraph(g, { limits: gpu });
  for (const readbackBytes of [0, 256, 4096]) {
    await withProgram(gpu, plan, async ({ runtime, layout }) => {
      const write = (value: number): Command => ({
        do: "write",
        to: layout.find(x),
        bytes: encodeValues(x, new Float32Array(100).fill(value)),
      });
      const from = layout.locate(plan, doubled), bytes = 400, run: Command = { do: "run", program: "plan" };
      const read: Command = { do: "read", from, bytes }, at = layout.find(kept);
      const results = await runtime.submit([
        write(1),
        run,
        read,
        { do: "copy", from, to: at, bytes },
        write(5), // after the run that still reads 1
        run,
        read,
        { do: "read", from: at, bytes },
        { do: "clear", at: { ...at, offset: at.offset + 4 }, bytes: 4 },
        { do: "read", from: at, bytes: 12 },
        { do: "wait" },
      ]);
      const values = results.map((result) => [...new Float32Array(result.buffer)]);
      assert.deepEqual(values.slice(0, 3).map((all) => new Set(all)), [
        new Set([2]),
        new Set([10]),
        new Set([2]),
      ]);
      assert.deepEqual(values[3], [2, 0, 2]);
      await assert.rejects(
        runtime.submit([{ do: "run", program: "other" }]),
        /^RangeError: Cannot run program "other": it must be one of those loaded \(plan\)$/,
      );
    }, { resident: [kept], readbackBytes });
  }
});

engineTest(
  "an unknown program is an error that names those there are, and nothing after it is done",
  async (gpu) => {
    const x = resident("input", "x", [4]), runtime = new Runtime(gpu), layout = new Layout(gpu);
    try {
      layout.allocate("residents", [x]);
      await runtime.load({ ...NOTHING, buffers: layout.buffers });
      const write = (value: number): Command => ({
        do: "write",
        to: layout.find(x),
        bytes: encodeValues(x, new Float32Array(4).fill(value)),
      });
      await assert.rejects(
        runtime.submit([write(1), { do: "run", program: "train.2" }, write(2)]),
        /^RangeError: Cannot run program "train\.2": it must be one of those loaded \(none\)$/,
      );
      assert.deepEqual(await new Loaded(runtime, layout, EMPTY).read(x), [1, 1, 1, 1]);
    } finally {
      gpu.memory[Symbol.dispose]();
    }
  },
);

/** A chain with views, branches, an f16 value and several outputs. */
function record() {
  const g = new Graph();
  const x = resident("input", "x", [6, 64]), w = resident("frozen", "w", [64, 64]);
  let y = linear(g, x, w); // [6 64]
  for (let i = 0; i < 4; i++) y = add(g, gelu(g, linear(g, y, w)), y, { alpha: 0.5, beta: 0.5 }); // [6 64]
  const window = sliceRows(g, y, { start: 2, rows: 3 }); // [3 64]
  g.output("window", window);
  g.output(
    "sum",
    add(
      g,
      reshape(g, window, [192]),
      scale(g, reshape(g, sliceRows(g, y, { start: 0, rows: 3 }), [192]), -1),
    ),
  );
  return { g, x, w };
}

engineTest("a plan in several chunks computes what the references do, run after run", async (gpu) => {
  const { g, x, w } = record();
  const plan = planGraph(g, { limits: { maxBindingBytes: 4096, maxBufferBytes: 4096 } });
  assert.ok(plan.chunks.length > 1);
  await withProgram(gpu, plan, async (loaded) => {
    const program = loaded.runtime.program("plan");
    assert.ok(program.launchCount >= plan.steps.length);
    assert.equal(program.labels().length, program.launchCount);
    await loaded.write(w, randomly(w, 3).map((v) => v / 8));
    for (const seed of [1, 2, 1]) {
      await loaded.write(x, randomly(x, seed));
      await loaded.run();
      const memory: Memory = new Map([
        [x, Float64Array.from(randomly(x, seed))],
        [w, Float64Array.from(randomly(w, 3).map((v) => v / 8))],
      ]);
      runReference(g.nodes, memory);
      for (const [name, tensor] of g.outputs) {
        const actual = await loaded.read(tensor), expected = elementsOf(memory, tensor);
        actual.forEach((value, i) =>
          assert.ok(Math.abs(value - expected[i]) < 1e-5, `${name}[${i}]: ${value} ${expected[i]}`)
        );
      }
    }
  });
});

engineTest("uniforms take the bytes that the plan was told, and are freed with the program", async (gpu) => {
  const { g } = record();
  const plan = planGraph(g, { limits: gpu });
  await withProgram(gpu, plan, ({ runtime }) => {
    const uniforms = uniformBytes(gpu.environment, plan);
    const expected = alignedBytes(plan.residents) + plan.arenaBytes + uniforms;
    assert.equal(gpu.memory.allocatedBytes, expected);
    runtime.program("plan")[Symbol.dispose]();
    assert.equal(gpu.memory.allocatedBytes, expected - uniforms);
    return Promise.resolve();
  });
});

engineTest(
  "pinned values are written straight into resident memory, effects happen in recorded order",
  async (gpu) => {
    const g = new Graph();
    const x = resident("input", "x", [65]),
      target = resident("state", "target", [65]),
      state = resident("state", "s", [65]);
    const doubled = scale(g, x, 2);
    copyInto(g, doubled, state);
    const after = scale(g, state, 10); // reads what the effect wrote
    fill(g, state, 7);
    const results = await runGraph(
      gpu,
      (g.output("after", after), g),
      new Map([[x, randomly(x, 5)]]),
      new Map([["state", state]]),
    );
    const twenty = randomly(x, 5).map((v) => Math.fround(Math.fround(v * 2) * 10));
    assert.deepEqual(results.get("after"), twenty);
    assert.deepEqual(results.get("state"), new Float32Array(65).fill(7));

    const pinning = new Graph(), value = scale(pinning, x, 3);
    const plan = planGraph(pinning, { limits: gpu, pinned: new Map([[value, target]]) });
    assert.equal(plan.arenaBytes, 0);
    await withProgram(gpu, plan, async (loaded) => {
      await loaded.write(x, randomly(x, 6));
      await loaded.run();
      assert.deepEqual(await loaded.read(target), [
        ...randomly(x, 6).map((v) => Math.fround(v * 3)),
      ]);
      assert.deepEqual(loaded.layout.locate(plan, value), loaded.layout.find(target));
    });
  },
);

engineTest("f16 values of odd length are stored, read by kernels and read back", async (gpu) => {
  if (!gpu.features.has("shader-f16")) return;
  const g = new Graph(), x = resident("input", "x", [7]);
  const half = g.output("half", cast(g, x, "f16"));
  g.output("back", cast(g, half, "f32"));
  const exact = Float32Array.of(1, -0.5, 0.25, 2048, -3, 0, 7);
  const results = await runGraph(gpu, g, new Map([[x, exact]]));
  assert.deepEqual(results.get("half"), exact);
  assert.deepEqual(results.get("back"), exact);
});

engineTest("a grid beyond WebGPU's limit is an error before anything is launched", async (gpu) => {
  const wide = defineOp({
    name: "testWide",
    inputs: { x: "*R" },
    outputs: ({ inputs }) => ({ out: { shape: inputs.x.shape } }),
    dispatches: ({ inputs, outputs }) => [{
      label: "testWide.forward",
      source: `struct Params {
  n: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(1) fn main() { y[0] = x[0] + f32(params.n); }
`,
      tensors: [inputs.x, outputs.out],
      params: { n: 1 },
      grid: [65536, 1, 1],
    }],
    gradient: "none",
    reference: ({ x }) => ({ out: x }),
  });
  const g = new Graph();
  g.output("y", g.record(wide, { x: resident("input", "x", [4]) }).out);
  await assert.rejects(
    () => withProgram(gpu, planGraph(g, { limits: gpu }), () => Promise.resolve()),
    /Cannot launch testWide\.forward: a grid must be 1 to 65535 in every dimension, current grid is \[65536,1,1\]/,
  );
});

engineTest("the ledger frees only its own buffers, and each once", (gpu) => {
  const buffer = gpu.memory.create("mine", 256, 0x80);
  assert.equal(gpu.memory.allocatedBytes, 256);
  gpu.memory.destroy(buffer);
  assert.equal(gpu.memory.allocatedBytes, 0);
  assert.throws(
    () => gpu.memory.destroy(buffer),
    /Cannot free buffer "mine": it must be alive and made by this ledger/,
  );
  return Promise.resolve();
});
