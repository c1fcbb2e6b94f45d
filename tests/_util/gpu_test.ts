/** The GPU test helper itself: that it lets no WebGPU error pass. */
import assert from "node:assert/strict";
import { gpuTest, parseGpuMode, testDevice, withErrorScopes } from "./gpu.ts";

/** More than any adapter allows in one workgroup. */
const TOO_LARGE = "@compute @workgroup_size(1048576) fn main() {}";

Deno.test("parseGpuMode() takes auto for an unset or empty variable and refuses unknown words", () => {
  assert.equal(parseGpuMode(undefined), "auto");
  assert.equal(parseGpuMode(""), "auto");
  assert.equal(parseGpuMode("off"), "off");
  assert.equal(parseGpuMode("require"), "require");
  assert.throws(() => parseGpuMode("yes"), /must be off, auto or require, current value is "yes"/);
});

gpuTest("testDevice() gives the same device at every call", async (device) => {
  assert.equal((await testDevice())?.device, device);
});

gpuTest("a GPU test fails on a validation error that nobody looks at", async (device) => {
  await assert.rejects(
    withErrorScopes(device, () => {
      const module = device.createShaderModule({ code: TOO_LARGE });
      device.createComputePipeline({ layout: "auto", compute: { module } });
      return Promise.resolve();
    }),
    /Cannot pass: the device reported \w+: /,
  );
});

gpuTest("a GPU test may catch a validation error itself", async (device) => {
  await withErrorScopes(device, async () => {
    device.pushErrorScope("validation");
    device.createBuffer({ size: 16, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.STORAGE });
    assert.notEqual(await device.popErrorScope(), null);
  });
});

gpuTest("an exception in a GPU test goes before the device's errors", async (device) => {
  await assert.rejects(
    withErrorScopes(device, () => {
      device.createBuffer({ size: 16, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.STORAGE });
      return Promise.reject(new RangeError("first"));
    }),
    RangeError,
  );
});
