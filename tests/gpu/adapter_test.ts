/** Names of adapters from what implementations state; and the trials of kernels. */
import assert from "node:assert/strict";
import { adapterName, adapterVendor, isSoftwareAdapter } from "../../gpu/adapter.ts";
import { tryKernels } from "../../gpu/cases/trial.ts";
import { openGpu } from "../../gpu/device.ts";
import { gpuTest } from "../_util/gpu.ts";

const info = { vendor: "", architecture: "", device: "", description: "" };

Deno.test("adapterName() prefers the product's name, and takes no number for one", () => {
  const cases: [Partial<typeof info>, string][] = [
    [
      { vendor: "6880", device: "49374", description: "SwiftShader Device (Subzero)" },
      "SwiftShader Device (Subzero)",
    ],
    [{ vendor: "4318", device: "9008", description: "NVIDIA H100 80GB HBM3" }, "NVIDIA H100 80GB HBM3"],
    [{ device: "0", description: "llvmpipe (LLVM 15.0.6, 256 bits)" }, "llvmpipe (LLVM 15.0.6, 256 bits)"],
    [{ device: "Apple M2" }, "Apple M2"],
    [{ vendor: "4318", device: "0x2330" }, "NVIDIA"],
    [{ vendor: "nvidia", architecture: "ampere" }, "nvidia ampere"],
    [{ vendor: "12345" }, "12345"],
    [{}, "unknown adapter"],
  ];
  for (const [given, name] of cases) assert.equal(adapterName({ ...info, ...given }), name);
});

Deno.test("adapterVendor() and isSoftwareAdapter() read numbers and names alike", () => {
  assert.deepEqual(["4318", "0x10de", "nvidia", "65541", ""].map((vendor) => adapterVendor({ vendor })), [
    "NVIDIA",
    "NVIDIA",
    "nvidia",
    "Mesa",
    "",
  ]);
  assert.equal(isSoftwareAdapter({ ...info, description: "SwiftShader Device (Subzero)" }), true);
  assert.equal(isSoftwareAdapter({ ...info, description: "NVIDIA H100 80GB HBM3" }), false);
});

gpuTest("tryKernels() finds this adapter right, and one that computes something else wrong", async () => {
  {
    using gpu = await openGpu();
    const trials = await tryKernels(gpu);
    assert.deepEqual(trials.filter(({ error }) => error !== null), []);
    assert.ok(trials.some(({ needs }) => needs === null));
    assert.equal(gpu.memory.allocatedBytes, 0);
  }
  // A driver that adds wrongly, as far as anybody can tell from outside.
  using gpu = await openGpu();
  const { device } = gpu, make = device.createShaderModule.bind(device);
  device.createShaderModule = (descriptor) =>
    make({ ...descriptor, code: descriptor.code.replaceAll("+ bias", "- bias") });
  const wrong = (await tryKernels(gpu)).filter(({ error }) => error !== null);
  assert.ok(wrong.some(({ error }) => / where .* is right/.test(error!)), JSON.stringify(wrong));
  assert.equal(gpu.memory.allocatedBytes, 0);
});
