/** Tests on the engine's own device object. */

import { Gpu } from "../../gpu/device.ts";
import { gpuTest, testDevice } from "./gpu.ts";

/** A test that is given an engine device with nothing allocated. */
export function engineTest(name: string, fn: (gpu: Gpu) => Promise<void>): void {
  gpuTest(name, async (device, info) => {
    await fn(new Gpu(device, info, (await testDevice())!.features));
  });
}
