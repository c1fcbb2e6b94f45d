/** What a recipe takes: on a GPU of today, on a smaller one, and with other keys. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { ConfigError } from "../../../lib/errors.ts";
import { loadConfig } from "../../../train/recipe/config.ts";
import { planRecipe, planVariant } from "../../../train/planning/plan_recipe.ts";
import { PLAIN_GPU } from "../../../gpu/tuning/family.ts";

const DEMO = fileURLToPath(new URL("../../../configs/demo.yaml", import.meta.url));
const { config } = await loadConfig(DEMO);

/** The assumed GPU, but for the largest tensor it can address. */
function adapterOf(maxBindingBytes: number) {
  return {
    limits: { maxBindingBytes, maxBufferBytes: 2 ** 31 },
    environment: {
      ...PLAIN_GPU,
    },
    freeBytes: null,
  };
}

Deno.test("planRecipe() adds up, and planVariant() of a recipe's own keys says the same", () => {
  const plan = planRecipe(config), { gpuBytes, gpuBytesByUse, clips, parts } = plan;
  assert.equal(Object.values(gpuBytesByUse).reduce((sum, bytes) => sum + bytes, 0), gpuBytes);
  assert.deepEqual([clips, parts, plan.against], [16, [16], null]);
  assert.ok(plan.hostBytes >= plan.readingBytes && plan.flopsPerStep > plan.flopsPerView);
  const own = planVariant(config, config);
  assert.deepEqual([own.gpuBytes, own.clipsAtOnce, own.isWhole], [gpuBytes, 16, true]);
  const spared = planVariant(config, { ...config, memory: "recompute" });
  assert.ok(spared.gpuBytes! < gpuBytes);
});

Deno.test("planRecipe() plans for an adapter that is given: in parts, or not at all", () => {
  const plan = planRecipe(config, { adapter: adapterOf(2 ** 20) });
  assert.ok(plan.parts.length > 1 && plan.against !== null);
  assert.equal(plan.parts.reduce((sum, clips) => sum + clips, 0), 16);
  const least = { adapter: adapterOf(2 ** 12) };
  assert.throws(() => planRecipe(config, least), (error) => {
    assert.ok(error instanceof ConfigError);
    assert.match(
      error.message,
      /^Cannot plan: .*\(4096 bytes\), not even one clip at a time; use precision=f16/,
    );
    return true;
  });
  assert.equal(planVariant(config, config, least).gpuBytes, null);
});
