/** `plan --ranks` measures here and prints steps on more ranks; `bench mpi` needs ranks. */
import assert from "node:assert/strict";
import * as bench from "../../../cli/bench.ts";
import * as plan from "../../../cli/plan.ts";
import type { ScaledStep, ScalingFacts } from "../../../mpi/scaling.ts";
import { gpuTest } from "../../_util/gpu.ts";
import { runVerb } from "../../_util/run_verb.ts";
import { TinyFolder } from "../_tiny.ts";

gpuTest("plan --ranks prints steps on 1, 2, 4 ranks from what it has measured here", async () => {
  await using folder = await TinyFolder.create();
  const args = [folder.file("tiny.yaml"), "--ranks", "4", "--bandwidth", "1GB/s", "--json"];
  const { code, stdout, stderr } = await runVerb(plan, args);
  assert.equal(code, 0, stderr);
  const { scaling } = JSON.parse(stdout.trim().split("\n").at(-1)!) as {
    scaling: { facts: ScalingFacts; steps: ScaledStep[]; pays_up_to: number };
  };
  const { facts, steps } = scaling;
  assert.deepEqual(steps.map(({ ranks, clips }) => [ranks, clips]), [[1, 4], [2, 2], [4, 1]]);
  assert.ok(facts.fixedSeconds + 4 * facts.clipSeconds > 0 && facts.copySeconds > 0);
  assert.equal(facts.bandwidth, 1e9);
  assert.equal(facts.loadedPerSecond, null, "there are no clips yet");
  assert.ok(steps[0].exchangeSeconds === 0 && steps[2].exchangeSeconds > steps[1].exchangeSeconds);
  assert.match(stderr, /ranks +clips\/rank +compute +exchange .* limit$/m);
  assert.match(stderr, /arithmetic: steps of 1 and 4 clips took .* a clip$/m);
  assert.match(stderr, /of gradients at 1GB\/s, and/, "as it was given");
});

Deno.test("a bandwidth that is none and a measurement of ranks in one process are refused", async () => {
  await using folder = await TinyFolder.create();
  await assert.rejects(
    runVerb(plan, [folder.file("tiny.yaml"), "--ranks", "4", "--bandwidth", "fast"]),
    /--bandwidth must be a rate such as 25GB\/s or 100Gbit\/s, current value is "fast"/,
  );
  for (const idle of [["--bandwidth", "1GB/s"], ["--ranks-per-node", "4"]]) {
    await assert.rejects(
      runVerb(plan, [folder.file("tiny.yaml"), ...idle]),
      new RegExp(`${idle[0]} must come with --ranks N`),
    );
  }
  await assert.rejects(runVerb(bench, ["mpi"]), /started by a launcher, as in mpiexec -n 2/);
});
