import assert from "node:assert/strict";
import * as plan from "../../cli/plan.ts";
import { ConfigError } from "../../lib/errors.ts";
import { runVerb } from "../_util/run_verb.ts";

const RECIPE = "configs/side4video/ssv1_vitl14_f16.yaml";

Deno.test("plan names the bytes of a recipe, and how many clips at once a variant allows", async () => {
  const { code, stdout, stderr } = await runVerb(plan, [RECIPE, "--json"]);
  assert.equal(code, 0);
  const json = JSON.parse(stdout);
  const { gpu_bytes: bytes, gpu_bytes_by_use: byUse, gpu_bytes_otherwise: otherwise } = json;
  assert.equal(json.clips_at_once, 32);
  assert.equal(bytes, Object.values(byUse as Record<string, number>).reduce((a, b) => a + b, 0));
  assert.equal(otherwise.f16_recompute, bytes);
  assert.ok(otherwise.f16_keep > bytes && otherwise.stream < bytes);
  assert.ok(otherwise.f32_keep > otherwise.f32_recompute);
  assert.match(stderr, /precision f32, memory keep +[\d.]+ GiB with 16 clips at once/);
});

Deno.test("a batch beyond what a GPU can address is planned in parts, and says so", async () => {
  const { stdout, stderr } = await runVerb(plan, [RECIPE, "precision=f32", "--json"]);
  assert.equal(JSON.parse(stdout).clips_at_once, 16);
  assert.match(
    stderr,
    /^warning: "[^"]+" \[[\d,]+\] needs [\d.]+ GiB in one piece, the adapter allows 2\.00 GiB: a batch of 32 clips goes through the GPU in 2 parts of up to 16 /m,
  );
});

Deno.test("a recipe that no GPU can address is refused with what to do", async () => {
  const enormous = ["precision=f32", "data.num_segments=4000", "data.batch_size=1"];
  await assert.rejects(runVerb(plan, [RECIPE, ...enormous]), (error) => {
    assert.ok(error instanceof ConfigError);
    assert.match(
      error.message,
      /^Cannot plan: .* not even one clip at a time; use precision=f16, fewer frames \(data\.num_segments\) or a smaller backbone$/,
    );
    return true;
  });
});
