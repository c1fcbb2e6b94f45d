import assert from "node:assert/strict";
import { createSchedule, learningRateAt, type ScheduleOptions } from "../../train/schedule.ts";
import recorded from "../fixtures/schedules.json" with { type: "json" };

interface Curve {
  name: string;
  type: string;
  epochs: number;
  warmup_epochs: number;
  base_lr: number;
  clip_ratio: number;
  iterations_per_epoch: number;
  lr_decay_step: number | number[] | null;
  runs: number[][];
}

for (const curve of recorded.curves as Curve[]) {
  Deno.test(`published refresh rule gives the recorded rates of ${curve.name}`, () => {
    const schedule = createSchedule({
      type: curve.type as ScheduleOptions["type"],
      baseLr: curve.base_lr,
      epochs: curve.epochs,
      warmupEpochs: curve.warmup_epochs,
      batchesPerEpoch: curve.iterations_per_epoch,
      refresh: "published",
      decayEpochs: curve.lr_decay_step,
    });
    const rates = curve.runs.flatMap(([count, ...row]) => Array.from({ length: count }, () => row));
    assert.equal(rates.length, curve.epochs * curve.iterations_per_epoch);
    rates.forEach(([imageTower, other, sideNorm], i) => {
      const rate = schedule(Math.floor(i / curve.iterations_per_epoch), i % curve.iterations_per_epoch);
      for (
        const [expected, got] of [[imageTower, rate * curve.clip_ratio], [other, rate], [sideNorm, rate]]
      ) {
        assert.ok(
          Math.abs(got - expected) <= 1e-15 * curve.base_lr + 1e-12 * expected,
          `iteration ${i}: ${got}`,
        );
      }
    });
  });
}

const EXAMPLE: ScheduleOptions = {
  type: "cosine",
  baseLr: 1e-3,
  epochs: 40,
  warmupEpochs: 4,
  batchesPerEpoch: 100,
  refresh: "every_step",
};

Deno.test("the cosine passes through the worked example of the specification", () => {
  for (const [epoch, rate] of [[2, 5e-4], [4, 1e-3], [22, 5e-4], [31, 1.46447e-4], [40, 0], [50, 0]]) {
    assert.ok(Math.abs(learningRateAt(epoch, EXAMPLE) - rate) < 1e-9, `epoch ${epoch}`);
  }
});

Deno.test("every_step moves the rate at each batch, published holds it between refreshes", () => {
  const everyStep = createSchedule(EXAMPLE);
  const published = createSchedule({ ...EXAMPLE, refresh: "published" });
  assert.equal(everyStep(0, 5), 1e-3 * 0.05 / 4);
  assert.equal(published(0, 8), 0);
  assert.equal(published(0, 9), everyStep(0, 9));
  assert.equal(published(0, 18), everyStep(0, 9));
  assert.equal(published(1, 0), everyStep(1, 0));
});

Deno.test("a warm-up as long as the run does not divide by zero", () => {
  assert.equal(learningRateAt(4, { ...EXAMPLE, epochs: 4 }), 0);
  assert.equal(learningRateAt(2, { ...EXAMPLE, epochs: 4 }), 5e-4);
});

Deno.test("multistep without a milestone after the warm-up is refused", () => {
  for (const decayEpochs of [null, [], 4, [3, 6]]) {
    assert.throws(
      () => createSchedule({ ...EXAMPLE, type: "multistep", decayEpochs }),
      /^ConfigError: Cannot create the schedule: the first entry of solver\.lr_decay_step/,
    );
  }
});
