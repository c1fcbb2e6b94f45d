/** Loops of several epochs: `solver.folds` passes, each in an order of its own, between two evaluations. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { initialState, type RunState } from "../../../train/files/run_state.ts";
import { readMetrics, RUN_FILES } from "../../../train/files/run_folder.ts";
import { savedState } from "../../../train/files/checkpoint.ts";
import { loopBatches, readTrainingSet } from "../../../train/feed/training_set.ts";
import { parseConfig } from "../../../train/recipe/config.ts";
import {
  currentEpoch,
  isEvaluationDue,
  requirePlace,
  resumeRemarks,
  totalSteps,
} from "../../../train/run/position.ts";
import { rateOf } from "../../../train/run/schedule.ts";
import { engineTest } from "../../_util/engine.ts";
import { countsOf, ReportRuns, tensorsOf } from "../../_util/report_runs.ts";
import { assertSameBits } from "../../_util/same_bits.ts";

const runs = new ReportRuns();
/** 64 clips in batches of 24: two epochs are 128 clips, five batches and 8 clips that are left. */
const KEYS = ["data.batch_size=24", "data.drop_last=true", "solver.epochs=4", "solver.folds=2"];
const LOOP = 5 * 24;

Deno.test("a loop is its epochs' orders one behind the other, and what is left of a batch is left out once", async () => {
  const config = await runs.config(...KEYS), set = await readTrainingSet(config);
  assert.equal(set.loopClips, LOOP);
  assert.deepEqual(loopBatches(config, set), { batches: 5, lastBatch: 0 });
  const order = set.order(2, 0);
  const single = await readTrainingSet(await runs.config("data.drop_last=false"));
  assert.deepEqual(order, [...single.order(2, 0), ...single.order(3, 0)].slice(0, LOOP));
  assert.equal(new Set(order.slice(0, 64).map(({ clip }) => clip)).size, 64, "every clip in each pass");
  assert.deepEqual(order.map(({ epoch }) => epoch), [
    ...new Array(64).fill(2),
    ...new Array(LOOP - 64).fill(3),
  ]);
  assert.deepEqual(set.order(2, 70), order.slice(70), "a loop that goes on");
  const whole = await readTrainingSet(await runs.config(...KEYS, "data.drop_last=false"));
  assert.deepEqual(loopBatches(config, whole), { batches: 6, lastBatch: 8 });
  assert.notEqual(set.id, single.id);
});

engineTest(
  "a run in loops evaluates once a loop, tells its epochs, and goes on to the same bits",
  async () => {
    const keys = [...KEYS, "solver.type=running_cosine", "logging.print_freq=1"];
    for (const more of [[], ["solver.grad_accumulation_steps=3"]]) {
      const name = `loops-${more.length}`, group = more.length > 0 ? 3 : 1;
      const whole = await runs.train(await runs.config(`name=${name}`, ...keys, ...more));
      const steps = Math.floor(10 / group), clips = steps * group * 24;
      assert.deepEqual(await countsOf(whole), { steps, clips, evals: [1, 3] });
      assert.deepEqual([whole.summary.epochs, whole.summary.epoch_clips], [4, 60]);
      if (group === 1) {
        const { steps: records } = await readMetrics(whole.path);
        assert.deepEqual(records.map(({ epoch }) => epoch), [0, 0, 1, 1, 1, 2, 2, 3, 3, 3]);
      }
      const config = await runs.config(`name=${name}-stopped`, ...keys, ...more);
      const stopped = await runs.stopAt(config, group > 1 ? 1 : 2);
      const { epoch, clipsInEpoch, step, accumulated } = await savedState(join(stopped, RUN_FILES.state));
      assert.equal(epoch * 60 + clipsInEpoch, (step * group + accumulated) * 24);
      assert.ok(step < steps && clipsInEpoch > 0, "within a loop");
      const resumed = await runs.resume(await runs.config(`name=${name}-stopped`, ...keys, ...more), stopped);
      assert.deepEqual(await countsOf(resumed), { steps, clips, evals: [1, 3] });
      for (const file of ["last", "best", "state"] as const) {
        assertSameBits(
          await tensorsOf(resumed.path, file),
          await tensorsOf(whole.path, file),
          `${name} ${file}`,
        );
      }
    }
  },
);

engineTest("a loop that max_steps cut short is finished when the run goes on without it", async () => {
  const whole = await runs.train(await runs.config("name=uncut", ...KEYS));
  const cut = await runs.train(await runs.config("name=cut", ...KEYS, "solver.max_steps=3"));
  assert.deepEqual(await countsOf(cut), { steps: 3, clips: 72, evals: [1] }, "within the second epoch");
  const resumed = await runs.resume(await runs.config("name=cut", ...KEYS), cut.path);
  assert.deepEqual(await countsOf(resumed), { steps: 10, clips: 2 * LOOP, evals: [1, 1, 3] });
  assertSameBits(await tensorsOf(resumed.path, "last"), await tensorsOf(whole.path, "last"), "last");
});

const set = { loopClips: LOOP, id: "a" };
const at = (place: Partial<RunState>, folds = 2) => ({
  state: { ...initialState(0), set: "a", ...place },
  recipe: {
    data: { batch_size: 24, num_sample: 1 },
    solver: { grad_accumulation_steps: 1, start_epoch: 0, folds },
  },
});

Deno.test("a place in a loop tells its epoch and the steps that are left", async () => {
  const config = await runs.config(...KEYS);
  const epoch = (place: Partial<RunState>) => currentEpoch(config, set, at(place).state);
  assert.deepEqual([0, 59, 60, 96, LOOP].map((clipsInEpoch) => epoch({ epoch: 2, clipsInEpoch })), [
    2,
    2,
    3,
    3,
    3,
  ]);
  const total = (place: Partial<RunState>) => totalSteps(config, set, at(place).state);
  assert.equal(total({}), 10);
  assert.equal(total({ clipsInEpoch: 72, step: 3 }), 10);
  assert.equal(total({ epoch: 2, step: 5 }), 10);
  assert.equal(total({ epoch: 4, step: 10 }), 10);
  assert.doesNotThrow(() =>
    requirePlace(set, at({ steady: true, epoch: 2, clipsInEpoch: 24, step: 6, clips: LOOP + 24 }), "s")
  );
  assert.throws(
    () => requirePlace(set, at({ steady: true, epoch: 2, clipsInEpoch: 24, step: 5, clips: LOOP + 24 }), "s"),
    {
      message:
        'Cannot resume from "s": sidenet.state: after 24 of 120 clips of epochs 3 to 4 there must have been 144 clips in 6 batches, ' +
        "the current counts are 144 and 5; the file has been damaged",
    },
  );
  assert.throws(() => requirePlace(set, at({ steady: true, epoch: 1, step: 3, clips: 64 }), "s"), {
    name: "DataError",
  });
});

Deno.test("other folds begin and end with whole loops", async () => {
  const remarks = async (place: Partial<RunState>, ...keys: string[]) =>
    resumeRemarks(await runs.config(...KEYS, ...keys), set, at(place));
  assert.deepEqual(await remarks({ epoch: 2, step: 5, clips: LOOP }, "solver.folds=1", "solver.epochs=3"), [
    "solver.folds is 1, it was 2: epoch 3 begins with it; 5 steps are left, and the learning rate follows the share of the epoch that is done",
  ]);
  await assert.rejects(remarks({ clipsInEpoch: 24 }, "solver.folds=4"), {
    name: "ConfigError",
    message:
      "Cannot go on: solver.folds must be 2, because the state is within epochs 1 to 2, which are one loop, current value is 4",
  });
  await assert.rejects(remarks({ epoch: 2 }, "solver.folds=4"), {
    message:
      "Cannot go on: solver.folds must be 2, because the 2 epochs that are left are no whole number of loops of 4, current value is 4",
  });
});

Deno.test("an evaluation is due after a loop with an epoch that asks for one", async () => {
  const due = async (...keys: string[]) => {
    const config = await runs.config("solver.epochs=12", "solver.folds=4", ...keys);
    return [0, 4, 8].map((epoch) => isEvaluationDue(config, epoch));
  };
  assert.deepEqual(await due(), [true, true, true]);
  assert.deepEqual(await due("logging.eval_freq=3"), [true, true, true]);
  assert.deepEqual(await due("logging.eval_freq=6"), [false, true, true]);
  assert.deepEqual(await due("logging.eval_freq=8", "logging.skip_epoch=[7]"), [false, false, false]);
});

Deno.test("running_cosine warms up to where the cosine is by then, on the share of its loop", () => {
  const { config } = parseConfig(
    "data: { num_classes: 2 }\n" +
      "solver: { type: running_cosine, epochs: 36, folds: 4, lr: 3.2e-5, lr_warmup_step: 6, lr_warmup_start: 8.e-8 }",
  );
  const rate = rateOf(config, { batchesPerLoop: 100 });
  const rates = [[0, 0, 8e-8], [0, 25, 5.0427e-6], [0, 75, 1.49682e-5], [4, 50, 2.98564e-5], [12, 0, 2.4e-5]];
  for (const [epoch, batch, expected] of rates) {
    const got = rate(epoch, batch);
    assert.ok(Math.abs(got - expected) < 1e-10, `${epoch} ${batch}: ${got}`);
  }
});

Deno.test("a plain warm-up may begin above 0; schedules by the share of the run's steps have none of it", () => {
  const recipe = (solver: string) => parseConfig(`data: { num_classes: 2 }\nsolver: { ${solver} }`);
  const keys = "epochs: 10, lr: 1, lr_warmup_step: 4, lr_warmup_start: 0.2";
  const rate = rateOf(recipe(`type: cosine, ${keys}`).config, { batchesPerLoop: 10 });
  assert.deepEqual([rate(0, 0), rate(4, 0)], [0.2, 1]);
  assert.ok(Math.abs(rate(2, 0) - 0.6) < 1e-12);
  assert.deepEqual(recipe(`type: warmup_linear, ${keys}`).warnings, [
    "solver.lr_warmup_start has no effect with solver.type warmup_linear",
  ]);
});

Deno.test("loops divide the epochs of a run", () => {
  const refused = (solver: string) => () => parseConfig(`data: { num_classes: 2 }\nsolver: { ${solver} }`);
  assert.throws(refused("epochs: 30, folds: 4"), {
    message:
      'Cannot use config "config": solver.epochs must be a multiple of solver.folds (4), current value is 30',
  });
  assert.throws(
    refused("epochs: 36, folds: 4, start_epoch: 2"),
    /solver\.start_epoch must be a multiple of solver\.folds \(4\), current value is 2/,
  );
});
