/** The sweep of the learning rate: which rate a curve suggests, and that a sweep of a real network leaves nothing. */

import assert from "node:assert/strict";
import { renderRatePage } from "../../../pages/rate_page.ts";
import { findRate, type RateSweep, Sweep, sweptRate } from "../../../train/run/find_rate.ts";
import { engineTest } from "../../_util/engine.ts";
import { smallConfig } from "./_small.ts";

/** A sweep of a made-up loss by rate. */
function sweepOf(loss: (rate: number) => number, steps = 100): RateSweep {
  const sweep = new Sweep(steps);
  while (!sweep.isOver) sweep.add([loss(sweep.rate) - 0.01, loss(sweep.rate) + 0.01]);
  return sweep.result();
}

Deno.test("the rates of a sweep are a factor apart, from 1e-6 to 1", () => {
  assert.deepEqual([sweptRate(0, 100), sweptRate(99, 100), sweptRate(0, 1)], [1e-6, 1, 1e-6]);
  assert.ok(Math.abs(sweptRate(50, 101) - 1e-3) < 1e-12);
});

Deno.test("the suggestion lies where the loss falls fastest, behind which it may run away", () => {
  // Falls from 2 to 1 about 1e-3, and rises without bound about 1e-1.
  const found = sweepOf((rate) => 2 - 1 / (1 + (1e-3 / rate) ** 2) + (rate / 0.1) ** 2);
  assert.ok(found.suggested! > 3e-4 && found.suggested! < 5e-3, `suggested ${found.suggested}`);
  assert.ok(found.lowest > found.suggested! && found.lowest < 0.1, `lowest ${found.lowest}`);
  assert.ok(found.ranAway && found.steps.length < 100);
  assert.ok(found.steps.every(({ rate, loss }) => rate < 1 && Number.isFinite(loss)));
});

Deno.test("a loss that does not fall suggests nothing, and one that is not finite ends the sweep", () => {
  const level = sweepOf((rate) => 2 + rate);
  assert.deepEqual([level.suggested, level.ranAway, level.steps.length], [null, false, 100]);
  const broken = sweepOf((rate) => rate < 1e-2 ? 2 : NaN);
  assert.equal(broken.ranAway, true);
  assert.ok(broken.steps.at(-1)!.rate < 1e-2);
});

Deno.test("the page shows the suggestion beside the recipe's own rate, also where there is none", () => {
  const config = { name: "a <b>", solver: { lr: 0.002 } } as Parameters<typeof renderRatePage>[1];
  const page = renderRatePage(sweepOf((rate) => 2 - 1 / (1 + (1e-3 / rate) ** 2)), config);
  assert.match(page, /suggested: solver\.lr=\d\.\de-[34]/);
  assert.match(page, /solver\.lr now, 2\.0e-3/);
  assert.match(page, /<svg[^>]*role="img"/);
  assert.ok(page.includes("a &lt;b&gt;") && !page.includes("a <b>"));
  assert.match(
    renderRatePage(sweepOf(() => 2), config),
    /no rate is suggested: in 100 steps the loss has not fallen/,
  );
});

engineTest("a sweep goes through epochs and accumulation, and begins like the run itself", async () => {
  const config = await smallConfig([
    "solver.grad_accumulation_steps=2",
    "solver.ema=0.9",
    "solver.skip_nonfinite=3",
  ]);
  const seen: number[] = [],
    sweep = await findRate(config, { steps: 7, onStep: (_, done) => void seen.push(done) });
  assert.deepEqual(seen, sweep.steps.map((_, i) => i + 1));
  assert.ok(sweep.steps.length === 7 || sweep.ranAway);
  // Two classes and small initial weights: ln 2, smoothed labels or not.
  assert.ok(Math.abs(sweep.steps[0].loss - Math.LN2) < 0.35, `first loss ${sweep.steps[0].loss}`);
  const again = await findRate(config, { steps: 7 });
  assert.deepEqual(again, sweep, "the same bits");
  const controller = new AbortController();
  const stopped = findRate(config, { steps: 7, signal: controller.signal, onStep: () => controller.abort() });
  await assert.rejects(stopped, /abort/i);
  assert.ok(!await Deno.stat(config.run_root).then(() => true, () => false), "no run folder");
});
