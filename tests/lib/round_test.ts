import assert from "node:assert/strict";
import { roundHalfToEven } from "../../lib/round.ts";

Deno.test("roundHalfToEven() rounds ties to even", () => {
  assert.deepEqual([0.5, 1.5, 2.5, 2.4999, -0.5, -1.5, 3].map(roundHalfToEven), [0, 2, 2, 2, 0, -2, 3]);
});
