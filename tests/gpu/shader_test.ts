/** From WGSL text and named constants to pipelines: replaced lines, uniforms by field name, readable compile errors. */

import assert from "node:assert/strict";
import { Layout } from "../../gpu/layout.ts";
import { lowerPlan } from "../../gpu/lower.ts";
import { Runtime } from "../../gpu/runtime.ts";
import { Graph, resident } from "../../gpu/graph.ts";
import { defineOp } from "../../gpu/op.ts";
import { planGraph } from "../../gpu/plan.ts";
import { mergeBindings, numbered, packParams, PipelineCache, specialise } from "../../gpu/shader.ts";
import { engineTest } from "../_util/engine.ts";

const SOURCE = `const WG_SIZE: u32 = 64u; // tunable
alias elem = f32;
struct Params {
  rows: u32,
  eps: f32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<elem>;
@compute @workgroup_size(WG_SIZE) fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < params.rows) { x[id.x] = elem(params.eps); }
}
`;

Deno.test("two bindings of one place become one", () => {
  const declarations = ["x", "out", "dout"].map((name, i) =>
    `@group(0) @binding(${i + 1}) var<storage, read_write> ${name}: array<${name}_t>; // [count]\n`
  );
  const code = declarations.join("") + "out[i] = out_t(f32(dout[i]) * x[i]); // dout\n";
  assert.equal(
    mergeBindings(code, { label: "test", from: 3, into: 2 }),
    declarations.slice(0, 2).join("") + "out[i] = out_t(f32(out[i]) * x[i]); // dout\n",
  );
  assert.throws(() => mergeBindings(code, { label: "test", from: 4, into: 2 }), /4 must be a storage array/);
});

Deno.test("constants and storage types are set where the source declares them, and nowhere else", () => {
  const code = specialise({
    label: "test",
    source: SOURCE,
    constants: { WG_SIZE: 8 },
    aliases: { elem: "f16" },
  });
  assert.equal(
    code,
    "enable f16;\n" +
      SOURCE.replace("const WG_SIZE: u32 = 64u;", "const WG_SIZE: u32 = 8u;").replace("= f32;", "= f16;"),
  );
  assert.equal(specialise({ label: "test", source: SOURCE, aliases: { elem: "f32" } }), SOURCE);
  const enabled = specialise({ label: "test", source: `enable f16;\n${SOURCE}`, aliases: { elem: "f16" } });
  assert.equal(enabled.split("enable f16;").length, 2, "enabled once");
});

Deno.test("setting a constant or a type that the source does not declare is an error with both names", () => {
  for (const options of [{ constants: { TILE: 8 } }, { aliases: { TILE: "f16" as const } }]) {
    assert.throws(
      () => specialise({ label: "layerNorm.forward", source: SOURCE, ...options }),
      /^Error: Cannot specialise shader "layerNorm.forward": it has no line to set "TILE"$/,
    );
  }
});

Deno.test("uniforms are set by field name at the offsets of WGSL", () => {
  const bytes = packParams("test", SOURCE, { eps: 0.5, rows: 7 });
  assert.equal(bytes.byteLength, 8);
  const view = new DataView(bytes);
  assert.equal(view.getUint32(0, true), 7);
  assert.equal(view.getFloat32(4, true), 0.5);
  const ready = new ArrayBuffer(16);
  assert.equal(packParams("test", SOURCE, ready), ready);
});

Deno.test("an unknown and a missing uniform field are errors by name", () => {
  assert.throws(
    () => packParams("norm", SOURCE, { rows: 1 }),
    /uniforms of shader "norm": field "eps" must be given/,
  );
  assert.throws(
    () => packParams("norm", SOURCE, { rows: 1, eps: 1, scale: 2 }),
    /uniforms of shader "norm": there is no field "scale"/,
  );
  const bare = SOURCE.replace(/@group\(0\) @binding\(0\).*\n/, "");
  assert.throws(() => packParams("norm", bare, { rows: 1 }), /it has no uniform "params"/);
});

Deno.test("numbered() puts the line number before every line", () => {
  assert.equal(numbered("a\nb"), "   1 | a\n   2 | b");
});

engineTest("a pipeline is made once for one source and entry point", (gpu) => {
  const cache = new PipelineCache(gpu.device);
  const first = cache.get("a", SOURCE);
  assert.equal(cache.get("b", SOURCE), first);
  assert.equal(cache.size, 1);
  assert.notEqual(cache.get("c", SOURCE.replace("64u", "32u")), first);
  assert.equal(cache.size, 2);
  return Promise.resolve();
});

engineTest(
  "a shader that does not compile is an error with its label, the reason and the numbered source",
  async (gpu) => {
    const broken = defineOp({
      name: "testBroken",
      inputs: { x: "*R" },
      outputs: ({ inputs }) => ({ out: { shape: inputs.x.shape } }),
      dispatches: ({ inputs }) => [{
        label: "testBroken.forward",
        source: SOURCE.replace("elem(params.eps)", "undeclared"),
        tensors: [inputs.x],
        params: { rows: 1, eps: 1 },
        grid: [1, 1, 1],
      }],
      gradient: "none",
      reference: ({ x }) => ({ out: x }),
    });
    const g = new Graph(), x = resident("input", "x", [4]);
    g.output("y", g.record(broken, { x }).out);
    const plan = planGraph(g, { limits: gpu });
    const layout = new Layout(gpu);
    layout.allocate("inputs", [x]);
    layout.allocateArena([plan]);
    const programs = { broken: lowerPlan(plan, layout, gpu.environment) };
    const setup = {
      buffers: layout.buffers,
      stream: null,
      programs,
      readbackBytes: 0,
      frames: null,
      mix: null,
    };
    try {
      await assert.rejects(
        () => new Runtime(gpu).load(setup),
        (error: Error) => {
          assert.match(error.message, /^Cannot prepare testBroken\.forward: /);
          assert.match(error.message, /undeclared/);
          assert.match(error.message, /^ {3}1 \| const WG_SIZE/m);
          return true;
        },
      );
    } finally {
      gpu.memory[Symbol.dispose]();
    }
  },
);
