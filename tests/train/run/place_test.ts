/** A run keeps its place in its epochs, whatever is different when it goes on. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { initialState, type RunState } from "../../../train/files/run_state.ts";
import { savedState } from "../../../train/files/checkpoint.ts";
import { RUN_FILES } from "../../../train/files/run_folder.ts";
import {
  batchesDone,
  isSteady,
  requirePlace,
  resumeRemarks,
  totalSteps,
} from "../../../train/run/position.ts";
import { rateOf } from "../../../train/run/schedule.ts";
import { engineTest } from "../../_util/engine.ts";
import { copyOfRun, countsOf, ReportRuns, tensorsOf } from "../../_util/report_runs.ts";
import { assertSameBits } from "../../_util/same_bits.ts";

const runs = new ReportRuns();
const KEYS = ["solver.epochs=2", "logging.print_freq=1"];

engineTest(
  "an epoch that max_steps cut short is finished when the run goes on without it, to the same bits",
  async () => {
    const uninterrupted = await runs.train(await runs.config("name=whole", ...KEYS));
    assert.deepEqual(await countsOf(uninterrupted), { steps: 16, clips: 128, evals: [0, 1] });
    const cut = await runs.train(await runs.config("name=cut", ...KEYS, "solver.max_steps=4"));
    assert.deepEqual(await countsOf(cut), { steps: 4, clips: 32, evals: [0] });
    // Once more with the limit, there is nothing to do.
    const still = await runs.resume(await runs.config("name=cut", ...KEYS, "solver.max_steps=4"), cut.path);
    assert.deepEqual(await countsOf(still), { steps: 4, clips: 32, evals: [0] });
    const resumed = await runs.resume(await runs.config("name=cut", ...KEYS), cut.path);
    // The evaluation at the limit stays among the others.
    assert.deepEqual(await countsOf(resumed), { steps: 16, clips: 128, evals: [0, 0, 1] });
    for (const file of ["last", "state"] as const) {
      assertSameBits(await tensorsOf(resumed.path, file), await tensorsOf(uninterrupted.path, file), file);
    }
  },
);

engineTest(
  "another batch size goes on after the clips that are done: every clip of every epoch once, both evaluations",
  async () => {
    const stopped = await runs.stopAt(await runs.config("name=stopped", ...KEYS), 5);
    const { step, clipsInEpoch } = await savedState(join(stopped, RUN_FILES.state));
    assert.equal(clipsInEpoch, 8 * step);
    const left = 64 - clipsInEpoch;
    for (const batch of [4, 16]) {
      const path = await copyOfRun(stopped, `batch-${batch}`);
      runs.notes.length = 0;
      const resumed = await runs.resume(await runs.config(...KEYS, `data.batch_size=${batch}`), path);
      const steps = step + Math.ceil(left / batch) + 64 / batch;
      assert.deepEqual(await countsOf(resumed), { steps, clips: 128, evals: [0, 1] });
      assert.deepEqual(runs.notes, [
        `data.batch_size is ${batch}, it was 8: epoch 1 goes on after ${clipsInEpoch} of its 64 clips; ${
          steps - step
        } steps are left, and the learning rate follows the share of the epoch that is done`,
      ]);
    }
  },
);

/** A state of a run with batches of 8, at a place. */
function stateAt(
  place: Partial<RunState>,
): { state: RunState; recipe: Parameters<typeof resumeRemarks>[2]["recipe"] } {
  const recipe = {
    data: { batch_size: 8, num_sample: 1 },
    solver: { grad_accumulation_steps: 1, start_epoch: 0, folds: 1 },
  };
  return { state: { ...initialState(0), set: "a", ...place }, recipe };
}

Deno.test("the steps of a run are those done and those that its place leaves, whatever a batch is", async () => {
  const set = { loopClips: 64 };
  const total = async (place: Partial<RunState>, ...keys: string[]) =>
    totalSteps(await runs.config("solver.epochs=3", ...keys), set, { ...initialState(0), ...place });
  assert.equal(await total({}), 24);
  assert.equal(await total({ epoch: 1, step: 8 }), 24);
  assert.equal(await total({ clipsInEpoch: 40, step: 5 }), 24);
  assert.equal(await total({ clipsInEpoch: 40, step: 5 }, "data.batch_size=16"), 5 + 2 + 8);
  assert.equal(await total({ clipsInEpoch: 40, step: 5 }, "data.batch_size=16", "solver.max_steps=6"), 6);
  assert.equal(
    await total({ epoch: 1, clipsInEpoch: 0, step: 2, accumulated: 2 }, "solver.grad_accumulation_steps=3"),
    2 + 6,
  );
  assert.equal(await total({ epoch: 3, step: 24 }), 24);
  assert.equal(
    await total({ epoch: 5, clipsInEpoch: 8, step: 41 }),
    41,
    "an end that lies before is no step back",
  );
});

Deno.test("the learning rate is that of the same share of the epoch, whatever a batch is", async () => {
  const rate = async (clipsInEpoch: number, batch: number) => {
    const config = await runs.config("solver.epochs=2", `data.batch_size=${batch}`);
    return rateOf(config, { batchesPerLoop: 64 / batch })(0, batchesDone(config, { clipsInEpoch }));
  };
  for (const clips of [0, 8, 40]) {
    assert.equal(await rate(clips, 16), await rate(clips, 8));
    assert.equal(await rate(clips, 4), await rate(clips, 8));
  }
  assert.ok(await rate(40, 8) < await rate(20, 8));
});

Deno.test("a gradient sum under way is not divided by another accumulation", async () => {
  const config = await runs.config("solver.grad_accumulation_steps=2"), set = { loopClips: 64, id: "a" };
  const at = stateAt({ step: 1, microBatches: 5, accumulated: 1, clips: 40 });
  at.recipe.solver.grad_accumulation_steps = 4;
  assert.throws(() => resumeRemarks(config, set, at), {
    name: "ConfigError",
    message:
      "Cannot go on: solver.grad_accumulation_steps must be 4, because the state holds the gradients of 1 of so many batches, current value is 2",
  });
  at.state.accumulated = 0;
  assert.match(resumeRemarks(config, set, at).join(), /^solver\.grad_accumulation_steps is 2, it was 4: /);
});

Deno.test("a steady run's state counts what follows from its place; after any change it need not", async () => {
  const set = { loopClips: 60, id: "a" };
  const refusal = (place: Partial<RunState>, id = "a") => {
    try {
      requirePlace({ ...set, id }, stateAt({ steady: true, ...place }), "s");
      return "";
    } catch (error) {
      assert.equal((error as { exitCode?: number }).exitCode, 4);
      return (error as Error).message;
    }
  };
  for (
    const place of [
      { step: 0, clips: 0 },
      { clipsInEpoch: 32, step: 4, clips: 32 },
      { clipsInEpoch: 60, step: 8, clips: 60 }, // the last batch has 4 clips
      { epoch: 2, step: 16, clips: 120 },
    ]
  ) assert.equal(refusal(place), "");
  for (
    const place of [
      { epoch: 99, step: 16, clips: 120 },
      { clipsInEpoch: 100_000, step: 4, clips: 32 },
      { clipsInEpoch: 7, step: 4, clips: 32 },
      { clipsInEpoch: 32, step: 1, clips: 32 },
      { clipsInEpoch: 64, step: 8, clips: 64 },
    ]
  ) {
    assert.match(
      refusal(place),
      /^Cannot resume from "s": sidenet\.state: after [^\n]*; the file has been damaged$/,
    );
    assert.equal(refusal({ ...place, steady: false }), "");
    assert.equal(refusal(place, "b"), "", "an epoch of other clips may have had another length");
  }
  const steady = async (place: Partial<RunState>, ...keys: string[]) =>
    isSteady(await runs.config(...keys), set, stateAt({ steady: true, ...place }));
  assert.equal(await steady({}), true);
  assert.equal(await steady({ set: "b" }), false);
  assert.equal(await steady({ steady: undefined }), false);
  for (const key of ["data.batch_size=4", "data.num_sample=2", "solver.grad_accumulation_steps=2"]) {
    assert.equal(await steady({}, key), false, key);
  }
});

Deno.test("other training clips, or another order of them, are told with what becomes of the epoch", async () => {
  const config = await runs.config("solver.epochs=3");
  const remark = (place: Partial<RunState>, set = { loopClips: 64, id: "b" }) =>
    resumeRemarks(config, set, stateAt(place)).join("\n");
  assert.equal(remark({}, { loopClips: 64, id: "a" }), "");
  assert.equal(remark({ set: null }), "", "a state that does not say");
  const what =
    "the training clips or their order are others than when the state was saved (data.train_list, data.shots, data.balance or seed): ";
  assert.equal(remark({ epoch: 1 }), `${what}epoch 2 begins with it`);
  assert.equal(
    remark({ clipsInEpoch: 40 }),
    `${what}epoch 1 goes on after 40 of its 64 clips, of which some come a second time in it and others not at all`,
  );
  assert.equal(
    remark({ clipsInEpoch: 40 }, { loopClips: 30, id: "b" }),
    `${what}epoch 1 counts as done: 40 clips have been seen, it now has 30`,
  );
});

Deno.test("what decides the order of the clips decides the id of the training set", async () => {
  const { readTrainingSet } = await import("../../../train/feed/training_set.ts");
  const id = async (...keys: string[]) => (await readTrainingSet(await runs.config(...keys))).id;
  const plain = await id();
  assert.equal(await id("data.batch_size=4", "solver.epochs=7"), plain);
  const { data: { train_list: list } } = await runs.config(), other = join(runs.root, "other.txt");
  await Deno.writeTextFile(
    other,
    (await Deno.readTextFile(list!)).split("\n").reverse().join("\n").trimStart() + "\n",
  );
  const others = await Promise.all([
    id("seed=2"),
    id("data.shots=4"),
    id("data.shots=4", "data.shots_repeat=true"),
    id("data.balance=sampler"),
    id(`data.train_list=${other}`),
  ]);
  assert.equal(new Set([plain, ...others]).size, 6);
});
