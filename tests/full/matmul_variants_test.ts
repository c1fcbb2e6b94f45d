/**
 * Every matmul variant for GPUs, forced one by one on this adapter's driver, over transpositions, storage types, epilogues, batches
 * and split sums, between sentinels. Software drivers take seconds to compile each text: about twenty minutes in all.
 * `SIDENET_VARIANTS=8-15` takes those of the given numbers.
 */

import assert from "node:assert/strict";
import { gpuTest, testDevice } from "../_util/gpu.ts";
import {
  check,
  familyDevice,
  hardwareCases,
  hardwareOf,
  hardwareVariants,
  variantTurns,
} from "../_util/matmul.ts";

const device = await testDevice();
const hardware = device && hardwareOf(await familyDevice(device.device), device.info);

const variants = hardware ? hardwareVariants(hardware) : [];
for (const turn of variantTurns(variants.length)) {
  const variant = variants[turn];
  gpuTest(`${variant.name} matches plain loops`, async (base) => {
    const cases = hardwareCases(variant, hardware!, turn);
    const sums = cases.filter((each) => each.sums).length;
    assert.equal(cases.length - sums, 14);
    assert.equal(sums, variant.traits[0] === "full" ? 2 : 0);
    for (const each of cases) await check(await familyDevice(base), variant, each);
  });
}
