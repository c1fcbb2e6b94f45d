/** The last epochs of a run, kept; and that nothing else is removed. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { keepEpoch, keptFile, runOfKeptState } from "../../../train/files/kept_epochs.ts";
import { findTrainedModel } from "../../../train/evaluation/trained_model.ts";
import { createRunFolder } from "../../../train/files/run_folder.ts";
import { engineTest } from "../../_util/engine.ts";
import { assertSameBits } from "../../_util/same_bits.ts";
import { tensorsOf } from "../../_util/feature_runs.ts";
import { resumedRun, smallConfig, smallRun, stateOfRun } from "../run/_small.ts";

/** What is in a run's folder "kept". */
function keptIn(run: string): Record<string, string> {
  return Object.fromEntries(
    [...Deno.readDirSync(join(run, "kept"))].map(({ name }) => [
      name,
      Deno.readTextFileSync(join(run, "kept", name)),
    ]).sort(),
  );
}

Deno.test("keepEpoch() keeps the last epochs, and leaves what is not its own", async () => {
  const root = await Deno.makeTempDir();
  try {
    using run = await createRunFolder(root, "run");
    for (const epoch of [0, 1, 2, 3]) {
      await run.write("last", `weights ${epoch}`);
      await run.write("state", `state ${epoch}`);
      await keepEpoch(run, epoch, { most: 2 });
      if (epoch === 0) Deno.writeTextFileSync(join(run.path, "kept", "epoch-1.safetensors"), "somebody's");
      if (epoch === 0) Deno.writeTextFileSync(join(run.path, "kept", "notes.txt"), "somebody's");
    }
    const others = { "epoch-1.safetensors": "somebody's", "notes.txt": "somebody's" };
    assert.deepEqual(keptIn(run.path), {
      ...others,
      "epoch-0003.safetensors": "weights 2",
      "epoch-0003.state.safetensors": "state 2",
      "epoch-0004.safetensors": "weights 3",
      "epoch-0004.state.safetensors": "state 3",
    });
    // The same epoch again, as a run does that went on from before its end; then one from further back.
    await run.write("last", "weights 3 again");
    await keepEpoch(run, 3, { most: 2 });
    assert.equal(keptIn(run.path)["epoch-0004.safetensors"], "weights 3 again");
    await keepEpoch(run, 2, { most: 2 });
    assert.deepEqual(Object.keys(keptIn(run.path)).sort(), [
      "epoch-0003.safetensors",
      "epoch-0003.state.safetensors",
      "epoch-1.safetensors",
      "notes.txt",
    ]);
    await run.write("last", "later");
    assert.equal(
      keptIn(run.path)["epoch-0003.safetensors"],
      "weights 3 again",
      "a later file changes no kept one",
    );
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});

Deno.test("runOfKeptState() tells kept states from other files", () => {
  assert.equal(runOfKeptState(keptFile("runs/demo", 2, "state")), "runs/demo");
  assert.equal(runOfKeptState("kept/epoch-0001.state.safetensors"), ".");
  for (const path of [keptFile("runs/demo", 2, "weights"), "runs/demo", "runs/demo/state.safetensors"]) {
    assert.equal(runOfKeptState(path), null);
  }
});

engineTest("what a run keeps of an epoch is what it had then, and it can go on from there", async () => {
  const config = await smallConfig(["logging.keep=2"]);
  const { path } = await smallRun(config);
  assert.deepEqual([...Deno.readDirSync(join(path, "kept"))].map(({ name }) => name).sort(), [
    "epoch-0002.safetensors",
    "epoch-0002.state.safetensors",
    "epoch-0003.safetensors",
    "epoch-0003.state.safetensors",
  ]);
  const last = await tensorsOf(join(path, "last.safetensors")), state = await stateOfRun(path);
  await assert.rejects(
    findTrainedModel(keptFile(path, 2, "state"), { overrides: [] }),
    /this is the state to go on training from; take epoch-0003\.safetensors beside it$/,
  );
  const { weights } = await findTrainedModel(keptFile(path, 2, "weights"), { overrides: [] });
  assert.equal(weights, keptFile(path, 2, "weights"));
  let openedAt: ReturnType<typeof stateOfRun> | undefined;
  assertSameBits(await tensorsOf(keptFile(path, 2, "weights")), last);
  await resumedRun(config, path, {
    state: keptFile(path, 1, "state"),
    opened: () => openedAt = stateOfRun(path),
  });
  assert.equal((await openedAt)!.step, 12, "it is the run's state before anything else is done");
  assertSameBits(await tensorsOf(join(path, "last.safetensors")), last, "gone on with from the second epoch");
  assert.deepEqual((await stateOfRun(path)).step, state.step);
});
