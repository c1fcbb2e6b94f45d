/** The choice of kernels on the launches of real steps. */

import assert from "node:assert/strict";
import { plansOf } from "../../bench/tune.ts";
import { chooseKernel } from "../../gpu/tuning/choose.ts";
import { ATTENTION } from "../../gpu/ops/attention_kernel.ts";
import type { MatmulSpec } from "../../gpu/ops/matmul_kernel.ts";
import { tunablesOf } from "../../gpu/tuning/tunables.ts";
import { parseConfig } from "../../train/recipe/config.ts";
import { engineTest } from "../_util/engine.ts";

const SMALL = [
  "data.batch_size=1",
  "network.backbone={image_size: 32, patch_size: 16, width: 64, layers: 2, heads: 2}",
];

engineTest("every launch of the demo's step can be tried, joined products among them", async (gpu) => {
  const text = await Deno.readTextFile(new URL("../../configs/demo.yaml", import.meta.url));
  const { config } = parseConfig(text, { source: "demo", overrides: SMALL });
  for (const isSoftware of [gpu.environment.isSoftware, false]) {
    const environment = { ...gpu.environment, isSoftware };
    const launches = tunablesOf(plansOf(gpu, config), environment);
    for (const launch of launches) {
      const chosen = await chooseKernel({ device: gpu.device, environment }, launch, {
        most: 1,
        budgetMs: 1,
      });
      assert.deepEqual([chosen.tried, chosen.wrong], [1, {}], JSON.stringify(launch));
    }
    const families = new Set(launches.map(({ family }) => family));
    assert.deepEqual(families, new Set(["matmul", ...Object.values(ATTENTION).map(({ name }) => name)]));
    assert.ok(launches.some(({ spec }) => (spec as MatmulSpec).sums), "sums of rows are tried");
  }
});
