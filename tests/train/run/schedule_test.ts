import assert from "node:assert/strict";
import {
  bertFactor,
  type BertSchedule,
  createSchedule,
  foldedEpoch,
  idleRateRemarks,
  learningRateAt,
  rateOf,
  type ScheduleOptions,
  warmupOntoCosineAt,
} from "../../../train/run/schedule.ts";
import { parseConfig } from "../../../train/recipe/config.ts";
import recorded from "../../fixtures/schedules.json" with { type: "json" };

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
      batchesPerLoop: curve.iterations_per_epoch,
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

/** Equal but for the rounding of a few operations in double precision. */
function assertRate(rate: number, expected: number, where: string): void {
  assert.ok(Math.abs(rate - expected) <= 1e-18 + 4e-15 * expected, `${where}: ${rate}, expected ${expected}`);
}

for (const { name, type, t_total: totalSteps, warmup, base_lr, coef_lr, rates } of recorded.bert) {
  Deno.test(`BertAdam's factors give the recorded rates of ${name}`, () => {
    assert.ok(rates.length > totalSteps, "steps after the last planned one are among them");
    rates.forEach(([slow, other], step) => {
      const factor = bertFactor(step, { schedule: type as BertSchedule, totalSteps, warmup });
      assertRate(base_lr * factor, other, `step ${step}`);
      assertRate(base_lr * coef_lr * factor, slow, `slow group, step ${step}`);
    });
  });
}

for (const curve of recorded.dist) {
  const { iterations_per_round: batchesPerLoop, num_folds: folds, new_net_lrmult: factor, rates } = curve;
  Deno.test(`DiST's schedule gives the recorded rates of ${curve.name}`, () => {
    assert.equal(rates.length, curve.max_epoch / folds * batchesPerLoop);
    rates.forEach(([plain, fast], i) => {
      const epoch = foldedEpoch(folds * Math.floor(i / batchesPerLoop), i % batchesPerLoop, {
        folds,
        batchesPerLoop,
      });
      const rate = warmupOntoCosineAt(epoch, {
        baseLr: curve.base_lr,
        maxEpoch: curve.max_epoch,
        warmupEpochs: curve.warmup_epochs,
        warmupStartLr: curve.warmup_start_lr,
      });
      assertRate(rate, plain, `iteration ${i}`);
      assertRate(rate * factor, fast, `new layers, iteration ${i}`);
    });
  });
}

Deno.test("the factors and rates of the specifications' examples hold", () => {
  const factors = [[0, 0], [1, 0.5], [2, 0.975528], [3, 0.945503], [10, 0.5], [19, 0.006156]];
  for (const [step, factor] of factors) {
    const got = bertFactor(step, { schedule: "warmup_cosine", totalSteps: 20, warmup: 0.1 });
    assert.ok(Math.abs(got - factor) < 5e-7, `step ${step}: ${got}`);
  }
  assert.equal(bertFactor(7, { schedule: "warmup_cosine", totalSteps: -1, warmup: 0.1 }), 1);
  const published = { baseLr: 3.2e-5, maxEpoch: 36, warmupEpochs: 6, warmupStartLr: 8e-8 };
  const rates = [[0, 8e-7], [1, 5.0427e-5], [3, 1.49682e-4], [6, 2.98564e-4], [12, 2.4e-4], [24, 8e-5]];
  for (const [epoch, rate] of rates) {
    const got = 10 * warmupOntoCosineAt(epoch, published);
    assert.ok(Math.abs(got - rate) < 1e-9, `epoch ${epoch}: ${got}`);
  }
});

Deno.test("a recipe's warmup_cosine goes by its own updates, whatever batches one takes", () => {
  const factors = [[0, 0], [1, 0.5], [2, 0.975528], [3, 0.945503], [10, 0.5], [19, 0.006156]];
  for (const group of [1, 2]) {
    const { config } = parseConfig(
      `data: { num_classes: 2 }\nsolver: { type: warmup_cosine, warmup_proportion: 0.1, lr: 1e-3, epochs: 4, grad_accumulation_steps: ${group} }`,
      { overrides: [] },
    );
    const batchesPerLoop = 5 * group, rate = rateOf(config, { batchesPerLoop });
    for (const [update, factor] of factors) {
      for (let batch = update * group; batch < (update + 1) * group; batch++) {
        const got = rate(Math.floor(batch / batchesPerLoop), batch % batchesPerLoop);
        assert.ok(Math.abs(got - 1e-3 * factor) < 5e-10, `groups of ${group}, batch ${batch}: ${got}`);
      }
    }
  }
});

const EXAMPLE: ScheduleOptions = {
  type: "cosine",
  baseLr: 1e-3,
  epochs: 40,
  warmupEpochs: 4,
  batchesPerLoop: 100,
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

Deno.test("a run whose every update falls on the first rate of the warm-up is told that it trains nothing", () => {
  const remarks = (overrides: string[], batchesPerLoop: number) => {
    const { config } = parseConfig("data: { num_classes: 2 }\nsolver: { epochs: 1, lr_warmup_step: 0.5 }", {
      overrides,
    });
    return idleRateRemarks(config, { batchesPerLoop });
  };
  assert.match(
    remarks([], 1).join(),
    /^the only update of the run has learning rate 0, .*: nothing is trained; /,
  );
  assert.match(remarks(["solver.max_steps=1"], 8).join(), /^the only update /);
  assert.match(remarks(["solver.lr_refresh=published"], 5).join(), /^each of the 5 updates of the run has /);
  for (
    const overrides of [["solver.lr_warmup_step=0"], ["solver.epochs=2"], ["solver.lr=0"], [
      "solver.evaluate=true",
    ]]
  ) {
    assert.deepEqual(remarks(overrides, 1), [], overrides[0]);
  }
  assert.deepEqual(remarks(["solver.lr_refresh=published"], 12), []);
});
