/** The update of a session: accumulation, clipping, and AdamW by groups. */

import assert from "node:assert/strict";
import { engineTest } from "../../_util/engine.ts";
import { assertSameBits } from "../../_util/same_bits.ts";
import { sameRates, TINY_GROUPS, tinyBatch } from "../../_util/tiny_model.ts";
import { assertAllClose, maxOf, trainedNames, withSession } from "../../_util/tiny_session.ts";
import { ADAMW, BERT_ADAM, type GroupRates } from "../../../train/runtime/update_rules.ts";

engineTest("accumulating one batch twice gives the gradients and weights of one step on it", async (gpu) => {
  const run = (accumulation: number) =>
    withSession(gpu, { accumulation }, async (session, model) => {
      const { frames, labels } = tinyBatch(model, 2);
      const stepped: boolean[] = [];
      // Two groups: the second shows that the gradients start anew.
      for (let i = 0; i < 2 * accumulation; i++) {
        stepped.push(await session.stepOnFrames(frames, labels, sameRates(1e-3)));
      }
      assert.equal(session.steps, 2);
      const names = trainedNames(model);
      return {
        stepped,
        gradients: await session.read(names, "gradient"),
        weights: await session.read(names),
      };
    });
  const one = await run(1), two = await run(2);
  assert.deepEqual(one.stepped, [true, true]);
  assert.deepEqual(two.stepped, [false, true, false, true]);
  // Halving and adding two equal halves is exact in floating point.
  assertSameBits(two.gradients, one.gradients);
  assertSameBits(two.weights, one.weights);
});

engineTest("accumulation averages the gradients of different batches", async (gpu) => {
  const still = sameRates(0);
  const [a, b] = await withSession(gpu, {}, async (session, model) => {
    const gradients: Map<string, Float32Array>[] = [];
    for (const seed of [1, 2]) {
      const { frames, labels } = tinyBatch(model, 2, seed);
      await session.stepOnFrames(frames, labels, still);
      gradients.push(await session.read(trainedNames(model), "gradient"));
    }
    return gradients;
  });
  await withSession(gpu, { accumulation: 2 }, async (session, model) => {
    for (const seed of [1, 2]) {
      const { frames, labels } = tinyBatch(model, 2, seed);
      await session.stepOnFrames(frames, labels, still);
    }
    const both = await session.read(trainedNames(model), "gradient");
    assertAllClose(both, (name, i) => (a.get(name)![i] + b.get(name)![i]) / 2, 1e-6);
    assert.notDeepEqual(a, b);
  });
});

/** The square root of the sum of squares over all tensors. */
function globalNorm(gradients: ReadonlyMap<string, Float32Array>): number {
  return Math.sqrt(
    [...gradients.values()].reduce((sum, values) => sum + values.reduce((s, x) => s + x * x, 0), 0),
  );
}

engineTest(
  "clip_grad_norm scales what the optimiser takes in by limit over norm, and only above the limit",
  async (gpu) => {
    for (const share of [0.25, 4]) {
      let limit = 1;
      const step = (clipGradNorm: number | null) =>
        withSession(gpu, { clipGradNorm }, async (session, model) => {
          const { frames, labels } = tinyBatch(model, 2);
          await session.stepOnFrames(frames, labels, sameRates(1e-3));
          const names = trainedNames(model);
          return {
            gradients: await session.read(names, "gradient"),
            first: await session.read(names, "exp_avg"),
            second: await session.read(names, "exp_avg_sq"),
          };
        });
      const { gradients } = await step(null);
      const norm = globalNorm(gradients);
      limit = share * norm;
      const clipped = await step(limit);
      const factor = Math.min(1, limit / (norm + 1e-6));
      assertSameBits(clipped.gradients, gradients, "the gradients themselves");
      assertAllClose(clipped.first, (name, i) => 0.1 * factor * gradients.get(name)![i], 1e-5);
      assertAllClose(clipped.second, (name, i) => 0.001 * (factor * gradients.get(name)![i]) ** 2, 1e-4);
    }
  },
);

engineTest(
  "BertAdam limits every weight's gradient where all of them are not limited as much",
  async (gpu) => {
    const rates = sameRates(1e-2),
      optimizer = {
        rule: BERT_ADAM,
        options: { betas: [0.9, 0.98] as const, eps: 1e-6 },
        groups: TINY_GROUPS,
      };
    const step = (clipGradNorm: number | null) =>
      withSession(gpu, { optimizer, clipGradNorm }, async (session, model) => {
        const { frames, labels } = tinyBatch(model, 2), names = trainedNames(model);
        const start = await session.read(names);
        await session.stepOnFrames(frames, labels, rates);
        return {
          start,
          names,
          end: await session.read(names),
          first: await session.read(names, "next_m"),
          gradients: await session.read(names, "gradient"),
          decay: (name: string) =>
            TINY_GROUPS.find((group) => group.name === model.weights.get(name)!.group)!.weightDecay,
        };
      });
    const limited = await step(1); // leaves the gradients as they are
    const norms = new Map(
      [...limited.gradients].map(([name, each]) => [name, globalNorm(new Map([[name, each]]))]),
    );
    assert.ok(Math.max(...norms.values()) > 1, "some weight must have a gradient to limit");
    const norm = globalNorm(limited.gradients);
    assertAllClose(limited.first, (name, i) => 0.1 * limited.gradients.get(name)![i] / norm, 1e-5);
    const { start, end, first, decay } = await step(1e6);
    const clipped = (name: string, i: number) =>
      limited.gradients.get(name)![i] * Math.min(1, 1 / (norms.get(name)! + 1e-6));
    assertAllClose(first, (name, i) => 0.1 * clipped(name, i), 1e-5);
    for (const [name, values] of end) {
      values.forEach((value, i) => {
        const before = start.get(name)![i], gradient = clipped(name, i);
        const move = 0.1 * gradient / (Math.sqrt(0.02 * gradient ** 2) + 1e-6) + decay(name) * before;
        assert.ok(Math.abs(value - (before - 1e-2 * move)) <= 1e-5, `${name}[${i}]`);
      });
    }
  },
);

engineTest(
  "AdamW moves every group by its own rate, with decoupled decay and bias correction",
  async (gpu) => {
    const rates: GroupRates = { side: 1e-2, head: 0, batch_norm: 3e-4 },
      weightDecay = 0.1,
      [beta1, beta2] = [0.9, 0.99];
    const optimizer = {
      rule: ADAMW,
      options: { betas: [beta1, beta2] as const, eps: 1e-8 },
      groups: TINY_GROUPS,
    };
    await withSession(gpu, { optimizer }, async (session, model) => {
      const names = trainedNames(model);
      const start = await session.read(names);
      const expected = new Map([...start].map(([name, values]) => [name, {
        weight: Float64Array.from(values),
        m: new Float64Array(values.length),
        v: new Float64Array(values.length),
      }]));
      for (let t = 1; t <= 3; t++) {
        const { frames, labels } = tinyBatch(model, 2, t);
        await session.stepOnFrames(frames, labels, rates);
        const gradients = await session.read(names, "gradient");
        for (const [name, { weight, m, v }] of expected) {
          const lr = rates[model.weights.get(name)!.group];
          gradients.get(name)!.forEach((g, i) => {
            m[i] = beta1 * m[i] + (1 - beta1) * g;
            v[i] = beta2 * v[i] + (1 - beta2) * g * g;
            weight[i] -= lr * weightDecay * weight[i];
            weight[i] -= lr * (m[i] / (1 - beta1 ** t)) / (Math.sqrt(v[i] / (1 - beta2 ** t)) + 1e-8);
          });
        }
      }
      const end = await session.read(names), first = await session.read(names, "exp_avg");
      for (const [name, values] of end) {
        const { group } = model.weights.get(name)!, lr = rates[group], { weight, m } = expected.get(name)!;
        const moved = maxOf(values.map((x, i) => x - start.get(name)![i]));
        if (group === "head") {
          assert.deepEqual(values, start.get(name), "rate 0 moves nothing, not even by decay");
        } else assert.ok(moved > lr, `${name} moved by ${moved} at rate ${lr}`);
        values.forEach((value, i) => {
          assert.ok(
            Math.abs(value - weight[i]) <= 1e-3 * lr + 3e-7 * Math.abs(weight[i]),
            `${name}[${i}]: ${value} ${weight[i]}`,
          );
        });
        assertAllClose(new Map([[name, first.get(name)!]]), (_, i) => m[i], 1e-5);
      }
      assert.ok(
        maxOf(first.get("fc.weight")!) > 0,
        "the moments of a group at rate 0 still follow its gradient",
      );
    });
  },
);
