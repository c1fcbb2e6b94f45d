/** NaN and infinities never take the place of what was right: not in a run's files, not as a result, not as weights to begin from. */

import assert from "node:assert/strict";
import { join } from "node:path";
import * as convert from "../../../cli/convert.ts";
import { encodeSafetensors, type TensorToWrite } from "../../../data/checkpoint/safetensors.ts";
import { createPrng } from "../../../lib/random.ts";
import { sizeOf } from "../../../gpu/graph.ts";
import { createModel } from "../../../models/mod.ts";
import { evaluateModel, predictClips } from "../../../train/evaluation/evaluate_model.ts";
import { savedState } from "../../../train/files/checkpoint.ts";
import { readMetrics, RUN_FILES } from "../../../train/files/run_folder.ts";
import { modelSpec } from "../../../train/recipe/model.ts";
import type { TrainEvents } from "../../../train/run/trainer.ts";
import { engineTest } from "../../_util/engine.ts";
import { changeTensors, copyOfRun, ReportRuns, tensorsOf } from "../../_util/report_runs.ts";
import { runVerb } from "../../_util/run_verb.ts";

const runs = new ReportRuns();
/** A rate at which the first update makes weights of which nothing finite follows. */
const TOO_FAST = ["solver.lr=1e30", "solver.lr_warmup_step=0"];

/** What a run that cannot go on says, without the folder's place, and which files it leaves. */
async function failed(name: string, ...keys: string[]) {
  const config = await runs.config(`name=${name}`, ...keys);
  const error = await runs.train(config).then(() => assert.fail("it must fail"), (error) => error);
  const path = join(config.run_root, name);
  const files = (await Array.fromAsync(Deno.readDir(path))).map((entry) => entry.name).sort();
  assert.deepEqual([error.name, error.exitCode], ["NonFiniteError", 1], error.stack);
  assert.doesNotMatch(error.message, /\n/);
  return { path, files, message: error.message.replaceAll(path, "RUN") as string };
}

/** Stops a run within its first step. */
function stoppedInStep(): { signal: AbortSignal; events: TrainEvents } {
  const controller = new AbortController();
  return { signal: controller.signal, events: { moved: () => controller.abort() } };
}

function assertFinite(tensors: ReadonlyMap<string, Float32Array>): void {
  for (const [name, values] of tensors) assert.ok(values.every(Number.isFinite), name);
}

engineTest(
  "a state is written only of what is finite, and the message names the step of the one that is there",
  async () => {
    const { path, message } = await failed("state", ...TOO_FAST, "logging.checkpoint_every=1");
    assert.equal(
      message,
      "Cannot go on: the loss must be finite, current value is NaN at step 2; the state of step 1 is kept: go on from it with a lower solver.lr or with solver.clip_grad_norm (--resume RUN), or begin again where the loss is not finite there either",
    );
    assert.equal((await savedState(join(path, RUN_FILES.state))).step, 1);
    for (const file of ["state", "last"] as const) assertFinite(await tensorsOf(path, file));
  },
);

engineTest(
  "without a state, the message says that there is none; a stop by the user makes none of NaN",
  async () => {
    const keys = [...TOO_FAST, "logging.checkpoint_minutes=0", "solver.grad_accumulation_steps=4"];
    const { files, message } = await failed("none", ...keys);
    assert.equal(
      message,
      "Cannot go on: the loss must be finite, current value is NaN at step 2; no state has been saved yet: begin again with a lower solver.lr or with solver.clip_grad_norm",
    );
    assert.deepEqual(files, [RUN_FILES.config]);
    // Stopped at the first step, whose update has made weights that are finite but of no use: that is what is saved.
    const config = await runs.config("name=stopped", ...TOO_FAST, "logging.checkpoint_minutes=0");
    await assert.rejects(runs.train(config, stoppedInStep()), { name: "InterruptedError" });
    const path = join(config.run_root, "stopped");
    assertFinite(await tensorsOf(path, "state"));
    // Going on, the next loss is NaN: the stop that comes with it does not write it.
    await assert.rejects(runs.resume(config, path, stoppedInStep()), {
      name: "NonFiniteError",
      message: /at step 2; the state of step 1 is kept: /,
    });
    assertFinite(await tensorsOf(path, "state"));
  },
);

engineTest("an evaluation that is not finite is an error and never the best", async () => {
  const { path, files, message } = await failed("evaluation", ...TOO_FAST, "solver.max_steps=1");
  assert.equal(
    message,
    'Cannot score "val/00001": what the network says of it ("logits") must be finite, current value is NaN; no state has been saved yet: begin again with a lower solver.lr or with solver.clip_grad_norm',
  );
  assert.deepEqual(files, [RUN_FILES.config, RUN_FILES.metrics]);
  assert.deepEqual((await readMetrics(path)).evals, []);
});

engineTest(
  "with solver.skip_nonfinite bad updates are counted and told, and so many in a row stop the run",
  async () => {
    runs.notes.length = 0;
    const keys = ["solver.skip_nonfinite=3", "solver.max_steps=6", "logging.print_freq=1"];
    const { path, message } = await failed("skipping", ...TOO_FAST, ...keys);
    assert.equal(
      message,
      "Cannot go on: fewer than 3 updates in a row must be skipped (solver.skip_nonfinite), current count is 3 at step 4; the state of step 2 is kept: go on from it with a lower solver.lr or with solver.clip_grad_norm (--resume RUN), or begin again where the loss is not finite there either",
    );
    assert.deepEqual(
      runs.notes,
      [2, 3, 4].map((step) =>
        `1 update was skipped up to step ${step}, because a gradient or the loss was not finite (${
          step - 1
        } of ${step} in all)`
      ),
    );
    const state = await savedState(join(path, RUN_FILES.state));
    assert.deepEqual([state.step, state.skipped], [2, { total: 1, inARow: 1, underWay: false }]);
    assertFinite(await tensorsOf(path, "state"));
    const { steps } = await readMetrics(path);
    assert.deepEqual(steps.map(({ step, skipped_updates: skipped }) => [step, skipped]), [[1, 0]]);
    // The state counts on: one more in a row than before the stop, and the run is at its limit earlier.
    const config = await runs.config("name=skipping", ...TOO_FAST, ...keys);
    await assert.rejects(runs.resume(config, path), { message: /current count is 3 at step 4; / });
  },
);

engineTest(
  "weights with NaN are no model: evaluation, prediction, export and going on name the first bad tensor",
  async () => {
    const config = await runs.config("name=good", "solver.max_steps=2");
    const { path } = await runs.train(config);
    const bad = await copyOfRun(path, "bad"), best = join(bad, RUN_FILES.best);
    const spoil = (name: string, values: Float32Array) => {
      if (/fc\.weight$/.test(name)) values[3] = NaN;
    };
    for (const file of [best, join(bad, RUN_FILES.state)]) await changeTensors(file, spoil);
    const clip = join(config.data.root!, "val/00001");
    const refusals: [what: string, () => Promise<unknown>, file: string, tensor: string][] = [
      ["eval", () => evaluateModel(bad), best, "fc.weight"],
      ["predict", () => Array.fromAsync(predictClips(bad, [clip])), best, "fc.weight"],
      ["convert", () => runVerb(convert, [best, join(bad, "out.pt")]), best, "fc.weight"],
      [
        "pretrain",
        async () => await runs.train(await runs.config("name=on", `pretrain=${best}`)),
        best,
        "fc.weight",
      ],
      ["resume", () => runs.resume(config, bad), join(bad, RUN_FILES.state), "value.fc.weight"],
    ];
    for (const [what, attempt, file, tensor] of refusals) {
      await assert.rejects(attempt(), (error: Error & { exitCode: number }) => {
        assert.equal(error.exitCode, 1, `${what}: ${error.stack}`);
        const begin = `Cannot ${
          what === "convert" ? "convert" : "use"
        } "${file}": tensor "${tensor}" must be finite, current value is NaN at element 3 `;
        assert.ok(error.message.startsWith(begin), `${what}: ${error.message}`);
        if (what === "resume") assert.match(error.message, /; begin again, or .* with pretrain=FILE/);
        return true;
      });
    }
    await assert.rejects(Deno.stat(join(bad, "out.pt")), Deno.errors.NotFound);
    await runVerb(convert, [best, join(bad, "out.pt"), "--all"]);
  },
);

engineTest("a backbone with NaN, or with what f16 cannot hold, is refused by the tensor's name", async () => {
  const weights = createModel(modelSpec(await runs.config())).weights.of("frozen");
  const write = async (name: string, change: (name: string, values: Float32Array) => void) => {
    const tensors = weights.map(({ name, shape, init, place }): TensorToWrite => {
      const data = init(sizeOf(shape), createPrng(1, place));
      change(name, data);
      return { name, dtype: "F32", shape, data };
    });
    const path = join(runs.root, name);
    await Deno.writeFile(path, ReadableStream.from(encodeSafetensors(tensors, {})));
    return path;
  };
  const attempt = async (file: string, ...keys: string[]) =>
    await runs.train(
      await runs.config(`name=${file.replace(/.*\//, "")}`, `network.weights=${file}`, ...keys),
    );
  const nan = await write("nan.safetensors", (name, values) => {
    if (name === "visual.conv1.weight") values[5] = NaN;
  });
  await assert.rejects(attempt(nan), {
    name: "DataError",
    message:
      `Cannot use "${nan}": tensor "visual.conv1.weight" must be finite, current value is NaN at element 5 (1 of ${
        32 * 3 * 64
      } is not finite)`,
  });
  const large = await write("large.safetensors", (name, values) => {
    if (name === "visual.conv1.weight") values[2] = -7e4;
  });
  await assert.rejects(attempt(large, "precision=f16"), {
    name: "DataError",
    message:
      `Cannot use "${large}": tensor "visual.conv1.weight" must be below 65520 to be stored in f16, current value is -70000; use precision=f32`,
  });
});
