/** Transposes of plain arrays. */

import assert from "node:assert/strict";
import { permute } from "../../lib/permute.ts";

Deno.test("permute() moves axes as a transpose does", () => {
  const values = Float32Array.from({ length: 24 }, (_, i) => i);
  const moved = permute(values, [2, 3, 4], [2, 0, 1]); // [4 2 3]
  for (let a = 0; a < 2; a++) {
    for (let b = 0; b < 3; b++) {
      for (let c = 0; c < 4; c++) assert.equal(moved[(c * 2 + a) * 3 + b], values[(a * 3 + b) * 4 + c]);
    }
  }
});
