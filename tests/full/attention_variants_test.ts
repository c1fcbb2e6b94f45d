/** Every attention kernel for hardware on every case: minutes of a driver's compilation. */

import assert from "node:assert/strict";
import { ATTENTION, type AttentionPass } from "../../gpu/ops/attention_kernel.ts";
import { engineTest } from "../_util/engine.ts";
import { CASES, checkForced, variantNames } from "../_util/forced_attention.ts";

for (const pass of ["forward", "backwardQuery", "backwardKey"] as const satisfies readonly AttentionPass[]) {
  engineTest(`every kernel of ${ATTENTION[pass].name} matches its reference on all cases`, async (gpu) => {
    for (const name of variantNames(pass, gpu.environment)) {
      let runs = 0;
      for (const each of CASES[pass]) if (await checkForced(gpu, { pass, name, each })) runs++;
      assert.ok(runs > 0, `${name} must run on a case`);
    }
  });
}
