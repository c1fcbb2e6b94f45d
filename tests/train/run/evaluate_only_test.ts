/** A run that only evaluates (`solver.evaluate`): it needs no training clips. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { readTrainingSet } from "../../../train/feed/training_set.ts";
import { train } from "../../../train/run/trainer.ts";
import { createRunFolder } from "../../../train/files/run_folder.ts";
import { engineTest } from "../../_util/engine.ts";
import { smallConfig, smallRun } from "./_small.ts";

engineTest("a run that only evaluates does without a training list, and measures the same", async () => {
  const whole = await smallConfig(["solver.evaluate=true", "solver.folds=3"]);
  const withList = (train_list: string | null) => ({ ...whole, data: { ...whole.data, train_list } });
  const expected = await smallRun(whole);
  const missing = withList(join(whole.run_root, "absent.txt"));
  const { summary, notes } = await smallRun(missing);
  assert.deepEqual(notes, []);
  const { top1, loss, best, steps, clips, training_clips } = summary;
  assert.deepEqual([top1, loss, best], [expected.summary.top1, expected.summary.loss, expected.summary.best]);
  assert.deepEqual([steps, clips, training_clips], [0, 0, 0]);
  const { clips: read, loopClips, shotList } = await readTrainingSet(withList(null));
  assert.deepEqual([read, loopClips, shotList], [[], 0, null]);

  // To train, there must be one.
  const trains = { ...missing, solver: { ...missing.solver, evaluate: false } };
  using folder = await createRunFolder(trains.run_root, "trains");
  await assert.rejects(train({ config: trains, folder }), /Cannot read ".*absent\.txt": it does not exist/);
});
