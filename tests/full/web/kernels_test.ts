/** Every kernel of every system as a pipeline in Chromium, those of GPUs among them: machine code of all, which takes a minute or two. */
import assert from "node:assert/strict";
import type { KernelSpec } from "../../../gpu/lower.ts";
import { browserTest } from "../../web/_browser.ts";
import { ADAPTERS, complaintsAbout, kernelsOfCase, SYSTEM_CASES } from "../../web/_kernels.ts";

browserTest(
  "a browser makes a pipeline of every kernel of every system, for GPUs and for CPUs",
  async (browser) => {
    const kernels = new Map<string, KernelSpec>();
    for (const environment of Object.values(ADAPTERS)) {
      for (const name of SYSTEM_CASES) {
        for (const kernel of await kernelsOfCase(name, environment)) {
          kernels.set(`${kernel.entryPoint}\n${kernel.code}`, kernel);
        }
      }
    }
    assert.ok(kernels.size > 150, `${kernels.size} kernels`);
    const page = await browser.newPage();
    // A page of a file, for only those of safe origins have WebGPU.
    await page.goto(import.meta.url);
    assert.deepEqual(await complaintsAbout(page, [...kernels.values()], { pipelines: true }), []);
    const broken = { label: "broken", code: "@compute @workgroup_size(1) fn main() {}", entryPoint: "none" };
    assert.equal((await complaintsAbout(page, [broken], { pipelines: true })).length, 1);
    console.log(`${kernels.size} kernels`);
  },
);
