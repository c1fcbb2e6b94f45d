/** The best weights of a resumed run are those of the evaluation that its state and summary call the best. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { savedState } from "../../../train/files/checkpoint.ts";
import { metricOf, RUN_FILES } from "../../../train/files/run_folder.ts";
import { evaluateModel } from "../../../train/evaluation/evaluate_model.ts";
import { engineTest } from "../../_util/engine.ts";
import { copyOfRun, ReportRuns, tensorsOf } from "../../_util/report_runs.ts";
import { assertSameBits } from "../../_util/same_bits.ts";

const runs = new ReportRuns();
/** Evaluations at steps 4 and 8, of which the later is the better one. */
const KEYS = ["solver.epochs=2", "solver.lr=1e-2", "solver.lr_warmup_step=0"];
const config = (...keys: string[]) => runs.config(...KEYS, ...keys);

/** The best file is of the evaluation that the state names, and gives what the summary says. */
async function assertBestAgrees(path: string, best: Readonly<Record<string, unknown>>): Promise<void> {
  assert.deepEqual((await savedState(join(path, RUN_FILES.state))).best, best);
  assert.deepEqual((await savedState(join(path, RUN_FILES.best))).best, best);
  const { evaluation } = await evaluateModel(path);
  assert.ok(Math.abs(metricOf(evaluation.metrics, "loss") - metricOf(best, "loss")) < 1e-5);
}

engineTest(
  "best weights of another evaluation than the state's, or none, are told and put right",
  async () => {
    const begun = await runs.train(await config("name=st", "solver.max_steps=4"));
    const first = begun.summary.best!, state = join(begun.path, RUN_FILES.state);
    const old = await Deno.readFile(state), oldBest = await tensorsOf(begun.path, "best");
    const longer = await runs.resume(await config("solver.max_steps=8"), begun.path);
    assert.equal(longer.summary.best!.step, 8, "the later evaluation must be the better one");
    const whole = await savedState(state);

    // The state is older than the best weights, as a kill between the two leaves them.
    await Deno.writeFile(state, old);
    const missing = await copyOfRun(begun.path, "missing");
    await Deno.remove(join(missing, RUN_FILES.best));
    runs.notes.length = 0;
    const still = await runs.resume(await config("solver.max_steps=4"), begun.path);
    assert.deepEqual(still.summary.best, first);
    assert.deepEqual(runs.notes, [
      "best.safetensors is of step 8, and the best evaluation that the state knows is that of step 4: it is written from the state",
    ]);
    assertSameBits(await tensorsOf(begun.path, "best"), oldBest, "best");
    await assertBestAgrees(begun.path, first);

    runs.notes.length = 0;
    const again = await runs.resume(await config("solver.max_steps=8"), missing);
    assert.match(
      runs.notes.join("\n"),
      /^there is no best\.safetensors that can be read, .* written from the state$/,
    );
    await assertBestAgrees(missing, again.summary.best!);
    const { seconds: _, ...expected } = whole,
      { seconds: _s, ...actual } = await savedState(join(missing, RUN_FILES.state));
    assert.deepEqual(actual, expected, "it ends as if nothing had happened");

    // A state that is not at its best evaluation: the best begins anew, also where nothing is left to train.
    const stopped = await runs.stopAt(await config("name=later", "logging.print_freq=1"), 9);
    const later = await savedState(join(stopped, RUN_FILES.state));
    assert.equal(later.best!.step, 8);
    await Deno.remove(join(stopped, RUN_FILES.best));
    runs.notes.length = 0;
    const ended = await runs.resume(await config(`solver.max_steps=${later.step}`), stopped);
    assert.match(runs.notes.join("\n"), /of step 8: the best starts anew with the evaluations to come$/);
    assert.equal(ended.summary.best!.step, later.step);
    await assertBestAgrees(stopped, ended.summary.best!);
  },
);
