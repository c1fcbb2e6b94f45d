/** Moving averages of weights: moved by every update that is made, in the place of the weights while something is evaluated. */

import assert from "node:assert/strict";
import { averageRate } from "../../../train/runtime/update_rules.ts";
import { engineTest } from "../../_util/engine.ts";
import { assertSameBits } from "../../_util/same_bits.ts";
import { sameRates, tinyBatch } from "../../_util/tiny_model.ts";
import { assertAllClose, statisticNames, trainedNames, withSession } from "../../_util/tiny_session.ts";

const RATES = sameRates(1e-2);
const AVERAGE = { decay: 0.9, warmup: true };

Deno.test("averageRate() begins with a fast average and ends with the decay that is asked for", () => {
  assert.equal(averageRate({ decay: 0.9998, warmup: true }, 1), 1 - 2 / 11);
  assert.equal(averageRate({ decay: 0.9998, warmup: true }, 90), 1 - 91 / 100);
  assert.equal(averageRate({ decay: 0.9998, warmup: true }, 1e6), 1 - 0.9998);
  assert.equal(averageRate({ decay: 0.9998, warmup: false }, 1), 1 - 0.9998);
});

engineTest(
  "the average follows weights and statistics once an update, and an update that is skipped does not move it",
  async (gpu) => {
    const options = { average: AVERAGE, accumulation: 2, skipNonFinite: 5 };
    await withSession(gpu, options, async ({ inner }, model) => {
      const names = [...trainedNames(model), ...statisticNames(model)];
      await inner.beginAverages();
      const values = await inner.read(names);
      assertSameBits(await inner.read(names, "average"), values, "at the beginning");
      const expected = new Map([...values].map(([name, all]) => [name, Float64Array.from(all)]));
      let made = 0;
      // Two batches an update; the second update has a NaN in its first batch.
      for (let batch = 0; batch < 12; batch++) {
        const { frames, labels } = tinyBatch(model, 2, batch), isBad = batch === 2;
        if (isBad) frames[7] = NaN;
        const before = await inner.read(names, "average");
        const inputs = { labels: Uint32Array.from(labels) };
        const completed = await inner.stepOnFrames(frames, { clips: 2, inputs }, RATES);
        const after = await inner.read(names, "average");
        if (!completed || batch === 3) {
          assertSameBits(after, before, `batch ${batch} makes no update`);
          continue;
        }
        const rate = averageRate(AVERAGE, ++made);
        for (const [name, now] of await inner.read(names)) {
          const average = expected.get(name)!;
          now.forEach((value, i) => average[i] += rate * (value - average[i]));
        }
      }
      assert.equal(made, 5);
      assertAllClose(await inner.read(names, "average"), (name, i) => expected.get(name)![i], 1e-5);
      const { nonFinite, skipped } = await inner.look({ check: true });
      assert.deepEqual([nonFinite, skipped.total], [[], 1]);
      const spoilt = (await inner.read([names[0]], "average")).get(names[0])!;
      spoilt[0] = Infinity;
      await inner.write(names[0], spoilt, "average");
      assert.deepEqual((await inner.look({ check: true })).nonFinite, ["average"]);
    });
  },
);

engineTest(
  "with averages a session evaluates as one that holds them, and goes on with its weights",
  async (gpu) => {
    const probe: { frames: Float32Array } = { frames: new Float32Array() };
    const held = await withSession(gpu, { average: AVERAGE }, async (session, model) => {
      const { inner } = session, names = [...trainedNames(model), ...statisticNames(model)];
      await inner.beginAverages();
      for (let seed = 1; seed <= 4; seed++) {
        const { frames, labels } = tinyBatch(model, 2, seed);
        await session.stepOnFrames(frames, labels, RATES);
      }
      probe.frames = tinyBatch(model, 2, 9).frames;
      const values = await inner.read(names), averages = await inner.read(names, "average");
      const plain = await session.evaluateFrames(probe.frames, 2);
      const averaged = await inner.withAverages(() => session.evaluateFrames(probe.frames, 2));
      assertSameBits(await inner.read(names), values, "weights afterwards");
      assertSameBits(await inner.read(names, "average"), averages, "averages afterwards");
      assert.notDeepEqual(averaged, plain);
      await assert.rejects(inner.withAverages(() => Promise.reject(new RangeError("stopped"))), RangeError);
      assertSameBits(await inner.read(names), values, "weights after an error");
      assert.deepEqual(inner.averaged.map(({ name }) => name).sort(), names.sort());
      return { averages, averaged };
    });
    await withSession(gpu, {}, async (session) => {
      assert.equal(session.inner.averaged.length, 0);
      for (const [name, values] of held.averages) await session.write(name, values);
      const same = await session.inner.withAverages(() => session.evaluateFrames(probe.frames, 2));
      assert.deepEqual(same, held.averaged);
      await assert.rejects(session.read(["fc.weight"], "average"), /Cannot find the average of "fc.weight"/);
    });
  },
);

engineTest(
  "averages change nothing else that is trained, and their memory is that of what they are of",
  async (gpu) => {
    const train = (average: typeof AVERAGE | null) =>
      withSession(gpu, { average, clipGradNorm: 1 }, async (session, model) => {
        await session.inner.beginAverages();
        for (let seed = 1; seed <= 3; seed++) {
          const { frames, labels } = tinyBatch(model, 2, seed);
          await session.stepOnFrames(frames, labels, RATES);
        }
        assert.equal(session.allocatedBytes, session.memory.total);
        const values = await session.read([...trainedNames(model), ...statisticNames(model)]);
        return { values, byUse: session.memory.byUse };
      });
    const plain = await train(null), averaged = await train(AVERAGE);
    assertSameBits(averaged.values, plain.values);
    assert.equal(plain.byUse.averages, 0);
    assert.equal(averaged.byUse.averages, plain.byUse.gradients + plain.byUse.statistics);
  },
);
