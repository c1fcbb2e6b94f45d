/** Attention's families: every kernel for hardware on a case, what is chosen where, and their trials. */

import assert from "node:assert/strict";
import { Graph, resident } from "../../gpu/graph.ts";
import type { KernelAdapter } from "../../gpu/op.ts";
import { attention } from "../../gpu/ops/attention.ts";
import {
  ATTENTION,
  type AttentionPass,
  type AttentionUse,
  type AttentionVariant,
  triedUse,
} from "../../gpu/ops/attention_kernel.ts";
import { attentionTrial } from "../../gpu/tuning/attention_trial.ts";
import { chooseVariant } from "../../gpu/tuning/choose.ts";
import { PLAIN_GPU, tuneKey } from "../../gpu/tuning/family.ts";
import { engineTest } from "../_util/engine.ts";
import { CASES, checkForced, useOfCase, variantNames } from "../_util/forced_attention.ts";
import { launchesOf } from "../_util/launches.ts";

const PASSES: readonly AttentionPass[] = ["forward", "backwardQuery", "backwardKey"];

/** A GPU with the limits that most have. */
const LARGE: KernelAdapter = {
  ...PLAIN_GPU,
  workgroupBytes: 49152,
  workgroupInvocations: 1024,
  features: new Set(["subgroups", "shader-f16"]),
  subgroupSizes: { min: 32, max: 32 },
};

function use(sizes: Partial<AttentionUse> & { dtype?: "f32" | "f16" } = {}): AttentionUse {
  const { dtype = "f32", ...rest } = sizes;
  const names = ["q", "kv", "result", "dout", "dq", "dkv"];
  const types = Object.fromEntries(names.map((name) => [name, dtype]));
  const base = { batch: 256, queries: 197, skipped: 0, keys: 197, heads: 12, headSize: 64, causal: false };
  return { ...base, types, ...rest };
}

const candidates = (pass: AttentionPass, spec: AttentionUse, adapter: KernelAdapter): AttentionVariant[] =>
  ATTENTION[pass].candidates(spec, adapter);

/** What differs from another one in how many heads it holds alone, or joins two things that others have. */
const ALIKE = /-heads(4|8)(-|$)|-reread-subgroup$/;

for (const pass of PASSES) {
  // A driver takes long over a kernel, and the longer the larger the heads: here each runs a case of small ones, in `tests/full/` all.
  const small = CASES[pass].filter((each) => useOfCase(pass, each).headSize <= 20);
  engineTest(
    `every hardware kernel of ${ATTENTION[pass].name} matches its reference on a case`,
    async (gpu) => {
      const names = variantNames(pass, gpu.environment).filter((name) => !ALIKE.test(name));
      for (const [i, name] of names.entries()) {
        const cases = small.map((_, j, all) => all[(5 * i + j) % all.length]);
        let ran = false;
        for (const each of cases) if ((ran = await checkForced(gpu, { pass, name, each }))) break;
        assert.ok(ran, `${name} must run on a case`);
      }
    },
  );
}

engineTest(
  "a trial passes the kernels there are and names what a wrong one writes",
  async ({ device, environment }) => {
    const halves = environment.features.has("shader-f16");
    for (const pass of PASSES) {
      const spec = use({
        batch: 3,
        queries: 21,
        skipped: 1,
        keys: 19,
        heads: 2,
        headSize: 8,
        causal: pass !== "forward",
        dtype: halves && pass === "forward" ? "f16" : "f32",
      });
      const family = ATTENTION[pass], [right] = candidates(pass, spec, environment);
      const [name] = Object.keys(attentionTrial(pass, spec).outputs);
      const wrong: AttentionVariant = {
        name: "wrong",
        build: (given) => ({ ...right.build(given), workgroups: [1, 2, 2] }),
      };
      const small: AttentionVariant = {
        name: "small",
        build: (given) => right.build({ ...given, causal: !given.causal }),
      };
      const found = await chooseVariant(
        device,
        { family, spec, candidates: [wrong, small, right] },
        { budgetMs: 1 },
      );
      assert.equal(found.variant, right);
      assert.match(String(found.tried.get("wrong")), new RegExp(`^${name}\\[\\d+\\] is NaN$`));
      assert.match(String(found.tried.get("small")), /^\w+\[\d+\] must be /);
    }
  },
);

Deno.test("attentions share a choice whatever the batch, and not with other shapes", () => {
  const g = new Graph();
  const q = resident("input", "q", [40000, 8, 64]), kv = resident("input", "kv", [40000, 8, 128]);
  attention(g, q, kv, { heads: 1 });
  const [launch] = launchesOf(g.nodes), family = ATTENTION.forward, spec = launch.spec as AttentionUse;
  assert.equal(launch.family, family.name);
  assert.equal(triedUse(spec).batch, 4096);
  const keyOf = (given: AttentionUse, adapter = LARGE) =>
    tuneKey(family, given, { adapterKey: "x", candidates: family.candidates(given, adapter) });
  assert.equal(keyOf(triedUse(spec)), keyOf(spec));
  assert.notEqual(keyOf({ ...spec, keys: 32 }), keyOf(spec));
  assert.notEqual(keyOf({ ...spec, headSize: 32, heads: 2 }), keyOf(spec));
});

Deno.test("candidates follow the adapter: memory, invocations, lanes, halves", () => {
  const names = (spec: AttentionUse, adapter: KernelAdapter) =>
    candidates("forward", spec, adapter).map(({ name }) => name);
  const software = { ...PLAIN_GPU, isSoftware: true, description: "llvmpipe (LLVM 15.0.6, 256 bits)" };
  assert.equal(
    names(use(), { ...software, features: new Set(["subgroups"]) })[0],
    "spread-lanes8-step8-rows3",
  );
  assert.equal(names(use(), software)[0], "direct-lanes8-step2-rows3");
  for (const headSize of [32, 64, 80, 88, 96, 128]) {
    assert.match(names(use({ headSize }), PLAIN_GPU)[0], /^tile-/, `${headSize}, 16 KiB`);
  }
  assert.match(names(use({ headSize: 3 }), LARGE)[0], /^shared-/);
  assert.match(names(use({ queries: 8, keys: 8, batch: 6304 }), LARGE)[0], /^tile-8x8-.*-heads/);
  assert.ok(
    !names(use(), PLAIN_GPU).some((name) => /128x|subgroup|halves/.test(name) && !/reread/.test(name)),
  );
  const large = names(use({ dtype: "f16" }), LARGE);
  assert.ok(large.length > names(use(), LARGE).length && large.some((name) => name.endsWith("-halves")));
  // What relies on how invocations form subgroups must be tried first.
  for (
    const spec of [
      use(),
      use({ queries: 1576, keys: 1576, batch: 32 }),
      use({ headSize: 32, keys: 50, queries: 50 }),
    ]
  ) {
    const [first, ...others] = names(spec, LARGE);
    assert.ok(!first.endsWith("-subgroup") && others.some((name) => name.endsWith("-subgroup")));
    const shapes = new Set([first, ...others.slice(0, 3)].map((name) => name.split("-")[1]));
    assert.ok(shapes.size >= 3, "the first four are of several shapes");
  }
  assert.deepEqual(names(use({ headSize: 3, dtype: "f16" }), PLAIN_GPU), []);
});

Deno.test("workgroups never take more memory or invocations than the adapter has, and their grids fit", () => {
  for (const pass of PASSES) {
    for (const adapter of [PLAIN_GPU, { ...LARGE, workgroupBytes: 32768 }, LARGE]) {
      for (
        const spec of [
          use(),
          use({ headSize: 128 }),
          use({ queries: 8, keys: 8, batch: 50432, dtype: "f16" }),
        ]
      ) {
        for (const variant of candidates(pass, spec, adapter)) {
          const { code, workgroups } = variant.build(spec);
          const [, threads] = /@workgroup_size\((\d+)\)/.exec(code)!;
          let bytes = 0;
          for (const [, type, count] of code.matchAll(/var<workgroup> \w+: array<(\w+), (\d+)>/g)) {
            bytes += { vec4f: 16, vec2u: 8, f32: 4 }[type]! * Number(count);
          }
          assert.ok(
            Number(threads) <= adapter.workgroupInvocations,
            `${variant.name}: ${threads} invocations`,
          );
          assert.ok(bytes <= adapter.workgroupBytes, `${pass} ${variant.name}: ${bytes} bytes`);
          assert.ok(workgroups.every((count) => count <= 65535), `${variant.name}: grid ${workgroups}`);
        }
      }
    }
  }
});
