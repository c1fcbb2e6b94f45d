/** Stopping early: when, why, and that an interruption changes nothing of it. */

import assert from "node:assert/strict";
import { readMetrics } from "../../../train/files/run_folder.ts";
import { isOutOfPatience, waitedAfter, whyStopped } from "../../../train/run/patience.ts";
import type { Config } from "../../../train/recipe/config.ts";
import { CLASSIFICATION } from "../../../train/tasks/classification.ts";
import { taskOf } from "../../../train/tasks/registry.ts";
import { bestColumn } from "../../../train/tasks/task.ts";
import { engineTest } from "../../_util/engine.ts";
import { resumedRun, smallConfig, smallRun, stateOfRun, stoppedRun } from "./_small.ts";

const limits = (early_stop: number | null, early_stop_delta = 0) =>
  ({ solver: { early_stop, early_stop_delta } }) as unknown as Config;

Deno.test("patience counts evaluations since one that was better by more than the delta", () => {
  const config = limits(2, 0.01);
  const waits = [0.5, 0.505, 0.52, 0.525, 0.515].reduce<ReturnType<typeof waitedAfter>[]>(
    (all, top1, epoch) => [
      ...all,
      waitedAfter(config, { task: CLASSIFICATION, metrics: { top1 }, epoch }, all.at(-1)),
    ],
    [],
  );
  assert.deepEqual(waits.map(({ best, waited }) => [best, waited]), [
    [0.5, 0],
    [0.5, 1],
    [0.52, 0],
    [0.52, 1],
    [
      0.52,
      2,
    ],
  ]);
  assert.deepEqual(waits.map((patience) => isOutOfPatience(config, { patience })), [
    false,
    false,
    false,
    false,
    true,
  ]);
  assert.equal(isOutOfPatience(limits(null), { patience: waits[4] }), false);
  assert.equal(
    whyStopped(config, CLASSIFICATION, waits[4]),
    "stopped early: top-1 52.0 % of epoch 3 has not been bettered by more than 0.01 in 2 evaluations, where an equal one does not count",
  );
});

Deno.test("a metric of which less is better is waited for downwards, and what is not a number is no gain", () => {
  const task = { ...CLASSIFICATION, best: "loss" };
  assert.equal(bestColumn(task).better, "less");
  const first = waitedAfter(limits(1), { task, metrics: { loss: 2 }, epoch: 0 }, undefined);
  const wait = (loss: number) => waitedAfter(limits(1), { task, metrics: { loss }, epoch: 1 }, first).waited;
  assert.deepEqual([wait(1.9), wait(2), wait(2.1), wait(NaN)], [0, 1, 1, 1]);
  assert.ok(taskOf(CLASSIFICATION.id));
});

engineTest(
  "a run that does not get better stops, says why, and stays stopped until it is told otherwise",
  async () => {
    // No accuracy can rise by more than 1: the first evaluation stays the one to be bettered.
    const config = await smallConfig([
      "solver.epochs=9",
      "solver.early_stop=2",
      "solver.early_stop_delta=1",
      "logging.print_freq=1",
    ]);
    const { summary, infos, path } = await smallRun(config), { evals } = await readMetrics(path);
    assert.deepEqual(evals.map(({ epoch }) => epoch), [0, 1, 2]);
    assert.deepEqual([summary.steps, summary.epochs], [18, 3]);
    const reason = infos.find((text) => text.startsWith("stopped early"))!;
    assert.match(
      reason,
      /^stopped early: top-1 [\d.]+ % of epoch 1 has not been bettered by more than 1 in 2 evaluations, where/,
    );
    assert.deepEqual(summary.early_stop, {
      stopped: true,
      reason,
      metric: "top1",
      patience: 2,
      min_delta: 1,
      waited: 2,
    });
    const state = await stateOfRun(path);
    const stopped = await stoppedRun(config, 15), resumed = await resumedRun(config, stopped);
    assert.deepEqual(await stateOfRun(stopped), state);
    assert.deepEqual(resumed.summary.early_stop, summary.early_stop);
    const again = await resumedRun(config, path);
    assert.ok(again.infos.includes(`${reason}; solver.early_stop=null takes the run further`));
    assert.deepEqual([again.summary.steps, await stateOfRun(path)], [18, state]);
    // At the end of its epochs a run has ended, whatever it has waited.
    const shorter = await smallRun({ ...config, solver: { ...config.solver, epochs: 3 } });
    assert.ok(!shorter.infos.some((text) => text.startsWith("stopped early")));
    const { stopped: early, waited } = shorter.summary.early_stop as { stopped: boolean; waited: number };
    assert.deepEqual([early, waited], [false, 2]);
    const longer = { ...config, solver: { ...config.solver, early_stop: null, max_steps: 20 } };
    assert.equal((await resumedRun(longer, path)).summary.steps, 20);
  },
);
