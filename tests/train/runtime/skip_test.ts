/** Updates that are skipped because something is not finite, and the look at whether all that would be written is. */

import assert from "node:assert/strict";
import { engineTest } from "../../_util/engine.ts";
import { assertSameBits } from "../../_util/same_bits.ts";
import { sameRates, tinyBatch } from "../../_util/tiny_model.ts";
import { statisticNames, type TinySession, trainedNames, withSession } from "../../_util/tiny_session.ts";
import type { Side4Video } from "../../../models/side4video.ts";
import { contrastBatch, withContrast } from "../../_util/tiny_encoder.ts";

const RATES = sameRates(1e-2);

/** A step on a seeded batch; of one with NaN, every value that follows from its pictures is NaN. */
async function step(session: TinySession, model: Side4Video, seed: number, options: { nan?: boolean } = {}) {
  const { frames, labels } = tinyBatch(model, 2, seed);
  if (options.nan) frames[7] = NaN;
  await session.stepOnFrames(frames, labels, RATES);
}

/** Everything that an update changes. */
async function held({ inner }: TinySession, model: Side4Video): Promise<Map<string, Float32Array>> {
  const trained = trainedNames(model),
    all = new Map(await inner.read([...trained, ...statisticNames(model)]));
  for (const moment of inner.moments) {
    for (const [name, values] of await inner.read(trained, moment)) all.set(`${moment}.${name}`, values);
  }
  return all;
}

engineTest(
  "a look finds NaN and infinities in weights, statistics and moments, and nothing in finite ones",
  async (gpu) => {
    await withSession(gpu, {}, async (session, model) => {
      await step(session, model, 1);
      const nonFinite = async () => (await session.inner.look({ check: true })).nonFinite;
      assert.deepEqual(await nonFinite(), []);
      const [weight, statistic] = [trainedNames(model)[3], statisticNames(model)[1]];
      for (
        const [name, part, value, told] of [
          [weight, "value", NaN, "value"],
          [statistic, "value", Infinity, "statistics"],
          [weight, "exp_avg", -Infinity, "exp_avg"],
          [weight, "exp_avg_sq", NaN, "exp_avg_sq"],
        ] as const
      ) {
        const values = (await session.read([name], part)).get(name)!, spoilt = values.slice();
        spoilt[spoilt.length - 1] = value;
        await session.write(name, spoilt, part);
        assert.deepEqual(await nonFinite(), [told]);
        assert.deepEqual((await session.inner.look()).nonFinite, [], "only when it is asked");
        await session.write(name, values.slice(), part);
      }
      assert.deepEqual(await nonFinite(), []);
      // Without the option the first bad batch spoils everything, and the look says so.
      await step(session, model, 2, { nan: true });
      const { losses, nonFinite: parts, skipped } = await session.inner.look({ check: true });
      assert.ok(Number.isNaN(losses.at(-1)));
      assert.deepEqual(parts, ["value", "statistics", "exp_avg", "exp_avg_sq"]);
      assert.equal(skipped.total, 0);
    });
  },
);

engineTest(
  "a skipped update leaves weights, moments and statistics to the bit, and the next is as if it had not been",
  async (gpu) => {
    const run = (skipNonFinite: number | null, seeds: (number | "bad")[]) =>
      withSession(gpu, { skipNonFinite }, async (session, model) => {
        for (const seed of seeds) {
          await step(session, model, seed === "bad" ? 9 : seed, { nan: seed === "bad" });
        }
        return { values: await held(session, model), standing: await session.inner.look({ check: true }) };
      });
    const plain = await run(null, [1, 2, 3]), skipping = await run(5, [1, "bad", 2, "bad", "bad", 3]);
    assertSameBits(skipping.values, plain.values, "after three good batches");
    const { losses, skipped, nonFinite } = skipping.standing;
    assert.deepEqual(losses.map(Number.isFinite), [true, false, true, false, false, true]);
    assert.deepEqual(losses.filter(Number.isFinite), plain.standing.losses);
    assert.deepEqual([skipped, nonFinite], [{ total: 3, inARow: 0, underWay: false }, []]);
  },
);

engineTest(
  "an accumulated update is skipped whole, wherever in it the bad batch lies, and looks in between change nothing",
  async (gpu) => {
    const run = (skipNonFinite: number | null, seeds: (number | "bad")[], options: { look?: boolean } = {}) =>
      withSession(gpu, { skipNonFinite, accumulation: 2, clipGradNorm: 1 }, async (session, model) => {
        for (const seed of seeds) {
          await step(session, model, seed === "bad" ? 9 : seed, { nan: seed === "bad" });
          if (options.look) {
            const { nonFinite } = await session.inner.look({ check: true });
            assert.deepEqual(nonFinite, [], "nothing that would be written is spoilt at any time");
          }
        }
        return await held(session, model);
      });
    const plain = await run(null, [1, 2, 3, 4]);
    assertSameBits(await run(4, [1, 2, "bad", 5, 6, "bad", 3, 4]), plain, "both halves");
    assertSameBits(await run(4, [1, 2, "bad", 5, 6, "bad", 3, 4], { look: true }), plain, "with looks");
  },
);

engineTest(
  "so many in a row that no more may be skipped end all updates, also of good batches",
  async (gpu) => {
    await withSession(gpu, { skipNonFinite: 2 }, async (session, model) => {
      await step(session, model, 1);
      const before = await held(session, model);
      for (const nan of [true, false]) await step(session, model, 2, { nan });
      assert.deepEqual((await session.inner.look()).skipped, { total: 1, inARow: 0, underWay: false });
      const good = await held(session, model);
      assert.notDeepEqual(good, before);
      for (const nan of [true, true, false, false]) await step(session, model, 3, { nan });
      assert.deepEqual((await session.inner.look()).skipped, { total: 5, inARow: 4, underWay: true });
      assertSameBits(await held(session, model), good, "the last good update");
    });
  },
);

engineTest(
  "a session that goes on within an accumulated update skips it as the first would have",
  async (gpu) => {
    const options = { skipNonFinite: 3, accumulation: 2 };
    const run = async (nan: boolean) => {
      const parts = await withSession(gpu, options, async (session, model) => {
        for (const seed of [1, 2]) await step(session, model, seed);
        await step(session, model, 3, { nan });
        const { skipped } = await session.inner.look({ check: true });
        assert.equal(skipped.underWay, nan);
        return {
          skipped,
          values: await held(session, model),
          before: await session.read(statisticNames(model), "before"),
          gradients: await session.read(trainedNames(model), "gradient"),
        };
      });
      return await withSession(gpu, options, async (session, model) => {
        for (const [name, values] of parts.values) {
          const [, part = "value", weight] = /^(?:(exp_avg|exp_avg_sq)\.)?(.*)$/.exec(name)!;
          await session.write(weight, values.slice(), part);
        }
        for (const [name, values] of parts.before) await session.write(name, values.slice(), "before");
        if (!nan) {
          for (const [name, values] of parts.gradients) {
            await session.write(name, values.slice(), "gradient");
          }
        }
        await session.inner.restore({ steps: 1, accumulated: 1, skipped: parts.skipped });
        await step(session, model, 4);
        for (const seed of [5, 6]) {
          await step(session, model, seed);
        }
        return await held(session, model);
      });
    };
    const whole = (nan: boolean) =>
      withSession(gpu, options, async (session, model) => {
        for (const seed of [1, 2]) await step(session, model, seed);
        await step(session, model, 3, { nan });
        for (const seed of [4, 5, 6]) await step(session, model, seed);
        return await held(session, model);
      });
    for (const nan of [true, false]) assertSameBits(await run(nan), await whole(nan), `nan: ${nan}`);
  },
);

engineTest("a loss over the batch skips its updates too", async (gpu) => {
  const changes = { over: "batch", microClips: 2, encoder: { norm: true } } as const;
  const run = (skipNonFinite: number | null, seeds: (number | "bad")[]) =>
    withContrast(gpu, { ...changes, skipNonFinite }, async (session, model) => {
      const names = [...trainedNames(model), ...statisticNames(model)];
      for (const seed of seeds) {
        const first = (await session.read(["first"])).get("first")!;
        // No picture of bytes is NaN, so that a weight must be.
        if (seed === "bad") await session.write("first", first.with(3, NaN));
        await session.step(contrastBatch(model, 6, seed === "bad" ? 9 : seed), sameRates(1e-2));
        if (seed === "bad") await session.write("first", first);
      }
      return await session.read(names);
    });
  assertSameBits(await run(3, [0, "bad", 1]), await run(null, [0, 1]), "weights and statistics");
});
