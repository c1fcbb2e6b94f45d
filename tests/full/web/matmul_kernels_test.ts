/** The compiler of Chromium on every matmul variant for GPUs: limits of an adapter do not matter to it, only features. */
import assert from "node:assert/strict";
import { MATMUL_VARIANTS } from "../../../gpu/ops/matmul_kernel.ts";
import { ENABLES_SUBGROUPS, specialise } from "../../../gpu/shader.ts";
import { PLAIN_GPU } from "../../../gpu/tuning/family.ts";
import { hardwareCases } from "../../_util/matmul.ts";
import { browserTest, callHarness, openHarness } from "../../web/_browser.ts";

browserTest("every matmul variant for GPUs compiles in a browser", async (browser) => {
  const folder = await Deno.makeTempDir({ prefix: "sidenet-" });
  try {
    const page = await openHarness(browser, folder);
    const features = new Set([...await callHarness(page, "features"), ENABLES_SUBGROUPS]);
    const roomy = { ...PLAIN_GPU, features, workgroupBytes: 65536, workgroupInvocations: 1024 };
    const kernels = MATMUL_VARIANTS.flatMap((variant, turn) => {
      if (!variant.needs.every((feature) => features.has(feature))) return [];
      const lanes = Number(/^subgroup(\d+)-/.exec(variant.name)?.[1] ?? 0);
      const adapter = { ...roomy, subgroupSizes: { min: lanes, max: lanes } };
      return hardwareCases(variant, adapter, turn).map((each) => {
        const { label, code } = variant.build(each);
        return { label, code: specialise({ label, source: code }, features), entryPoint: "main" };
      });
    });
    assert.ok(kernels.length > 400, `${kernels.length} kernels`);
    assert.deepEqual(await callHarness(page, "compile", kernels), []);
    console.log(kernels.length, "kernels,", features.has("shader-f16") ? "with" : "without", "f16");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
