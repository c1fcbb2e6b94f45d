/** The scaling plan's formula on round numbers, and bandwidths as people write them. */
import assert from "node:assert/strict";
import {
  parseBandwidth,
  payingSteps,
  paysUpTo,
  scaledStep,
  type ScalingFacts,
  scalingOf,
  splitStep,
} from "../../mpi/scaling.ts";

const FACTS: ScalingFacts = {
  clips: 64,
  fixedSeconds: 0.1,
  clipSeconds: 0.1,
  gradientBytes: 100e6,
  copySeconds: 0.02,
  bandwidth: 1e9,
  latencySeconds: 0,
  loadedPerSecond: null,
  ranksPerNode: 4,
};

Deno.test("a step on more ranks is compute and a ring's exchange, or the loading where that takes longer", () => {
  const near = (actual: number, wanted: number) =>
    assert.ok(Math.abs(actual - wanted) < 1e-9, `${actual}, not ${wanted}`);
  const one = scaledStep(FACTS, 1), four = scaledStep(FACTS, 4);
  near(one.stepSeconds, 6.5);
  assert.equal(one.exchangeSeconds, 0);
  near(four.computeSeconds, 1.7);
  near(four.exchangeSeconds, 2 * 3 / 4 * 0.1 + 0.02);
  near(four.stepSeconds, 1.87);
  near(four.efficiency, 6.5 / 1.87 / 4);
  near(four.clipsPerSecond, 64 / 1.87);
  // Four ranks of a machine that loads 16 clips a second: 64 clips take it 4 seconds, two machines 2.
  const loading = { ...FACTS, loadedPerSecond: 16 };
  near(scaledStep(loading, 4).stepSeconds, 4);
  near(scaledStep(loading, 8).loadingSeconds, 2);
});

Deno.test("ranks pay as long as twice as many make a step a quarter shorter", () => {
  const some = scalingOf(FACTS, 12).map(({ ranks, clips }) => [ranks, clips]);
  assert.deepEqual(some, [[1, 64], [2, 32], [4, 16], [8, 8], [12, 6]]);
  const steps = scalingOf(FACTS, 64), worth = paysUpTo(steps);
  const at = (ranks: number) => steps.find((step) => step.ranks === ranks)!.stepSeconds;
  assert.ok(worth > 1 && worth < 64, `${worth}`);
  assert.ok(at(worth) <= 0.75 * at(worth / 2) && at(2 * worth) > 0.75 * at(worth));
  const slow = scalingOf({ ...FACTS, loadedPerSecond: 10, ranksPerNode: 64 }, 64);
  assert.equal(paysUpTo(slow), 1, "a loader that does not keep up");
});

Deno.test("what a step waits for is named, and ranks that share a loader may pay on more machines again", () => {
  assert.equal(scaledStep(FACTS, 2).limit, "arithmetic");
  assert.equal(scaledStep({ ...FACTS, bandwidth: 1e8 }, 32).limit, "exchange");
  // One machine loads 40 clips a second, whatever of its 4 ranks asks: 64 clips take 1.6 s on up to 4 ranks, and 0.8 s on 8.
  const facts = { ...FACTS, fixedSeconds: 0, clipSeconds: 0.05, bandwidth: 1e12, copySeconds: 0 };
  const steps = scalingOf({ ...facts, loadedPerSecond: 40 }, 16);
  assert.deepEqual(steps.map(({ ranks, limit }) => [ranks, limit]), [
    [1, "arithmetic"],
    [2, "arithmetic"],
    [4, "loading"],
    [8, "loading"],
    [16, "loading"],
  ]);
  assert.deepEqual(payingSteps(steps).map(({ ranks }) => ranks), [1, 2, 8, 16], "3.2, 1.6, 1.6, 0.8, 0.4 s");
  assert.equal(paysUpTo(steps), 16);
});

Deno.test("a step is split by two sizes, and agrees with the larger one", () => {
  const near = (actual: number, wanted: number) => assert.ok(Math.abs(actual - wanted) < 1e-12, `${actual}`);
  const split = splitStep({ clips: 1, seconds: 0.3 }, { clips: 5, seconds: 0.7 });
  near(split.fixedSeconds, 0.2);
  near(split.clipSeconds, 0.1);
  const steep = splitStep({ clips: 1, seconds: 0.1 }, { clips: 4, seconds: 0.8 });
  assert.deepEqual(steep, { fixedSeconds: 0, clipSeconds: 0.2 });
  const flat = splitStep({ clips: 1, seconds: 0.5 }, { clips: 4, seconds: 0.4 });
  assert.deepEqual(flat, { fixedSeconds: 0.4, clipSeconds: 0 });
});

Deno.test("bandwidths in bytes and bits", () => {
  const cases: [string, number | null][] = [
    ["25GB/s", 25e9],
    ["100Gbit/s", 12.5e9],
    ["200 Gbps", 25e9],
    ["900 MiB/s", 900 * 2 ** 20],
    ["1.5GB/s", 1.5e9],
    ["fast", null],
    ["0GB/s", null],
    ["-1GB/s", null],
  ];
  for (const [text, bytes] of cases) assert.equal(parseBandwidth(text), bytes, text);
});
