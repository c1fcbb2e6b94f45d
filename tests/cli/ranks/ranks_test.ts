/** A real job of two and three ranks: what they compute is what one process computes. Skipped where MPICH is missing, but not in CI. */
import assert from "node:assert/strict";
import { losses, MPICH, rankTest, requireDone } from "../../_util/ranks.ts";
import { TinyFolder } from "../_tiny.ts";

// Batches of 5, 5, 5 and 1: the ranks' shares differ, and of the last batch the second rank has no clip.
const BATCHES = ["data.batch_size=5", "solver.epochs=2"];

rankTest(
  MPICH,
  "two ranks train as one process in parts does, to the bit; one process goes on; three ranks evaluate",
  async () => {
    await using folder = await TinyFolder.create();
    requireDone(
      await folder.sidenet(["train", "tiny.yaml", "name=one", ...BATCHES, "data.micro_batch_size=3"]),
    );
    const two = await folder.sidenet(["train", "tiny.yaml", "name=two", ...BATCHES, "solver.max_steps=6"], {
      ranks: { launcher: MPICH!, count: 2 },
    });
    requireDone(two);
    assert.match(two.stderr, /^2 ranks of MPICH/m);
    assert.match(two.stderr, /ranks 0, 1 share one card/);
    const alone = await losses(folder, "one");
    assert.equal(alone.length, 8);
    // Ranks sum gradients in their order, as parts are summed in one process.
    assert.deepEqual(await losses(folder, "two"), alone.slice(0, 6));
    requireDone(
      await folder.sidenet([
        "train",
        "--resume",
        "runs/two",
        "solver.max_steps=null",
        "data.micro_batch_size=3",
      ]),
    );
    assert.deepEqual(await losses(folder, "two"), alone);
    requireDone(await folder.sidenet(["eval", "runs/two", "--out", "alone"]));
    requireDone(
      await folder.sidenet(["eval", "runs/two", "--out", "three"], { ranks: { launcher: MPICH!, count: 3 } }),
    );
    const predictions = (name: string) => Deno.readTextFile(folder.file(name, "predictions.csv"));
    assert.equal(await predictions("three"), await predictions("alone"));
  },
);
