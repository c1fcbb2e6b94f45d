import assert from "node:assert/strict";
import * as plan from "../../cli/plan.ts";
import { ConfigError } from "../../lib/errors.ts";
import { runVerb } from "../_util/run_verb.ts";

const RECIPE = "configs/side4video/ssv1_vitl14_f16.yaml";

Deno.test("plan names the bytes of a recipe, and null for a variant that no GPU can address", async () => {
  const { code, stdout, stderr } = await runVerb(plan, [RECIPE, "--json"]);
  assert.equal(code, 0);
  const { gpu_bytes: bytes, gpu_bytes_by_use: byUse, gpu_bytes_otherwise: otherwise } = JSON.parse(stdout);
  assert.equal(bytes, Object.values(byUse as Record<string, number>).reduce((a, b) => a + b, 0));
  assert.equal(otherwise.f16_recompute, bytes);
  assert.ok(otherwise.f16_keep > bytes && otherwise.stream < bytes);
  assert.deepEqual([otherwise.f32_recompute, otherwise.f32_keep], [null, null]);
  assert.match(stderr, /precision f32, memory keep +not possible: it has a tensor beyond 2\.00 GiB/);
});

Deno.test("a recipe that no GPU can address is refused with what to do", async () => {
  await assert.rejects(runVerb(plan, [RECIPE, "precision=f32"]), (error) => {
    assert.ok(error instanceof ConfigError);
    assert.match(error.message, /^Cannot plan: .*; lower data\.batch_size or use precision=f16$/);
    return true;
  });
});
