import assert from "node:assert/strict";
import { Pace } from "../../../train/run/pace.ts";

Deno.test("the pace is that of all steps measured, and an evaluation is guessed only until one was made", () => {
  const pace = new Pace({ stepsPerEvaluation: 20 });
  assert.deepEqual(pace.left(3), { secondsPerStep: null, evaluationSeconds: 0 });
  pace.addSteps(10, 30);
  assert.deepEqual(pace.left(3), { secondsPerStep: 3, evaluationSeconds: 180 });
  pace.addSteps(30, 30); // the last window alone would say 1
  assert.equal(pace.left(0).secondsPerStep, 1.5);
  pace.addEvaluation(8);
  pace.addEvaluation(4);
  assert.deepEqual(pace.left(2), { secondsPerStep: 1.5, evaluationSeconds: 12 });
});
