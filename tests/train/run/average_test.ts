/** Runs with a moving average of their weights: what is evaluated and kept is the average, and an interruption changes no bit of it. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { evaluateModel } from "../../../train/evaluation/evaluate_model.ts";
import { readMetrics } from "../../../train/files/run_folder.ts";
import { parseConfig } from "../../../train/recipe/config.ts";
import { engineTest } from "../../_util/engine.ts";
import { assertSameBits } from "../../_util/same_bits.ts";
import { tensorsOf } from "../../_util/feature_runs.ts";
import { resumedRun, smallConfig, smallRun, stateOfRun, stoppedRun } from "./_small.ts";

/** Both states and weights under the tensors' own names. */
async function filesOf(path: string) {
  return {
    state: await tensorsOf(join(path, "state.safetensors")),
    last: await tensorsOf(join(path, "last.safetensors")),
    best: await tensorsOf(join(path, "best.safetensors")),
  };
}

engineTest(
  "a run evaluates and keeps the average of its weights, and an interrupted one ends with the same bits",
  async () => {
    // Six batches an epoch in groups of four: at step 2 half an update is under way.
    const config = await smallConfig([
      "solver.ema=0.95",
      "solver.grad_accumulation_steps=4",
      "solver.skip_nonfinite=3",
      "logging.print_freq=1",
    ]);
    const whole = await smallRun(config), files = await filesOf(whole.path);
    assert.match(whole.infos.join(), /evaluations, best and last use the moving average .*solver\.ema 0\.95/);
    assert.equal(whole.summary.ema, 0.95);
    assert.equal(whole.summary.gpu_bytes_allocated, whole.summary.gpu_bytes_planned);
    for (const [name, bytes] of files.last) {
      if (name.endsWith("num_batches_tracked")) continue;
      assert.deepEqual(bytes, files.state.get(`average.${name}`), name);
      assert.notDeepEqual(bytes, files.state.get(`value.${name}`), name);
    }
    // What the run says of itself is what anybody finds who evaluates the file.
    const { evaluation } = await evaluateModel(join(whole.path, "last.safetensors"));
    assert.ok(Math.abs(evaluation.metrics.loss - (whole.summary.loss as number)) < 1e-5);
    const stopped = await stoppedRun(config, 2), resumed = await resumedRun(config, stopped);
    assert.deepEqual(resumed.notes, whole.notes);
    const same = await filesOf(stopped);
    for (const file of ["state", "last", "best"] as const) assertSameBits(same[file], files[file], file);
    assert.deepEqual((await readMetrics(stopped)).evals, (await readMetrics(whole.path)).evals);
    // In an evaluation the averages stand where the weights were: what is saved then is not mixed up.
    const evaluating = await stoppedRun(config, "evaluation"),
      atEnd = await tensorsOf(join(evaluating, "state.safetensors"));
    assert.notDeepEqual(atEnd.get("value.fc.weight"), atEnd.get("average.fc.weight"));
    await resumedRun(config, evaluating);
    const after = await filesOf(evaluating);
    for (const file of ["state", "last", "best"] as const) assertSameBits(after[file], files[file], file);
  },
);

engineTest("an average may begin with a state that has none, and be left again", async () => {
  const plain = await smallConfig(["solver.epochs=2", "logging.print_freq=1"]);
  const path = await stoppedRun(plain, 3);
  const averaged = { ...plain, solver: { ...plain.solver, ema: 0.9 } };
  const { notes } = await resumedRun(averaged, path);
  assert.deepEqual(notes, ["the state holds no averages (solver.ema): they begin with its weights"]);
  const { notes: left } = await resumedRun(plain, path);
  assert.deepEqual(left, ["the state's averages are left out, because solver.ema is null"]);
  assert.equal((await stateOfRun(path)).step, 12);
});

Deno.test("solver.ema must be below 1, and 0 is none", () => {
  const parse = (ema: string) =>
    parseConfig("data: { num_classes: 2 }\nsystem: side4video", {
      source: "x.yaml",
      overrides: [`solver.ema=${ema}`],
    });
  assert.equal(parse("0").config.solver.ema, null);
  assert.throws(() => parse("1"), /solver\.ema must be below 1: .*, current value is 1/);
});
