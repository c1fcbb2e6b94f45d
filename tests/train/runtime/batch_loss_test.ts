/** A loss in which all clips of a batch see each other, computed micro-batch by micro-batch. */

import assert from "node:assert/strict";
import type { Gpu } from "../../../gpu/device.ts";
import { planSession } from "../../../train/runtime/session_plan.ts";
import { engineTest } from "../../_util/engine.ts";
import { assertSameBits } from "../../_util/same_bits.ts";
import {
  contrastBatch,
  type ContrastChanges,
  contrastOptions,
  tinyEncoder,
  withContrast,
} from "../../_util/tiny_encoder.ts";
import { NO_ADAPTER, sameRates } from "../../_util/tiny_model.ts";
import { assertAllClose, statisticNames, trainedNames } from "../../_util/tiny_session.ts";

const TOLERANCE = 1e-5;

/** Losses of batches of these sizes in turn, with the gradients of the last. */
function train(gpu: Gpu, changes: ContrastChanges, sizes: readonly number[]) {
  return withContrast(gpu, changes, async (session, model) => {
    for (const [i, clips] of sizes.entries()) {
      assert.equal(await session.step(contrastBatch(model, clips, 10 * i), sameRates(1e-3)), true);
    }
    return {
      losses: await session.readLosses(),
      gradients: await session.read(trainedNames(model), "gradient"),
    };
  });
}

function assertSameTraining(
  actual: Awaited<ReturnType<typeof train>>,
  expected: Awaited<ReturnType<typeof train>>,
): void {
  assert.equal(actual.losses.length, expected.losses.length);
  actual.losses.forEach((loss, i) => {
    assert.ok(
      Math.abs(loss - expected.losses[i]) < TOLERANCE,
      `loss ${loss}, expected ${expected.losses[i]}`,
    );
  });
  assertAllClose(actual.gradients, (name, i) => expected.gradients.get(name)![i], TOLERANCE);
}

engineTest(
  "a loss over the batch has one loss and one set of gradients, whatever runs at once",
  async (gpu) => {
    // The yardstick knows no micro-batch: one program takes all clips forward, compares them and goes backward.
    const whole = await train(gpu, { over: "clips" }, [6]);
    for (const [name, gradient] of whole.gradients) assert.ok(gradient.some((x) => x !== 0), name);
    // Four of six leave a rest of two.
    for (const microClips of [1, 2, 4, 6, undefined]) {
      assertSameTraining(await train(gpu, { microClips }, [6]), whole);
    }
  },
);

engineTest("a short batch is compared with itself alone, and recomputing changes nothing", async (gpu) => {
  const sizes = { trainClips: [6, 3] };
  const whole = await train(gpu, { ...sizes, over: "clips" }, [6, 3]);
  for (const microClips of [2, 4, undefined]) {
    assertSameTraining(await train(gpu, { ...sizes, microClips }, [6, 3]), whole);
  }
  const kept = await train(gpu, { ...sizes, microClips: 2 }, [3]);
  const again = await train(gpu, { ...sizes, microClips: 2, recompute: true }, [3]);
  assert.deepEqual(again.losses, kept.losses);
  assertSameBits(again.gradients, kept.gradients, "gradients");
});

engineTest("gradients are averaged over the batches of an accumulation group", async (gpu) => {
  const once = await train(gpu, { microClips: 4 }, [6]);
  await withContrast(gpu, { microClips: 4, accumulation: 2 }, async (session, model) => {
    const batch = contrastBatch(model, 6);
    // The second group begins anew.
    for (let group = 0; group < 2; group++) {
      assert.equal(await session.step(batch, sameRates(0)), false);
      assert.equal(await session.step(batch, sameRates(0)), true);
    }
    assert.equal(session.steps, 2);
    const losses = await session.readLosses();
    assert.deepEqual(losses, new Array(4).fill(once.losses[0]));
    const gradients = await session.read(trainedNames(model), "gradient");
    assertAllClose(gradients, (name, i) => once.gradients.get(name)![i], TOLERANCE);
  });
});

engineTest("running statistics see every clip once, although it runs forward twice", async (gpu) => {
  const encoder = { norm: true };
  const over = (changes: ContrastChanges, parts: readonly [first: number, clips: number][]) =>
    withContrast(gpu, { encoder, ...changes }, async (session, model) => {
      for (const [first, clips] of parts) {
        await session.step(contrastBatch(model, clips, first), sameRates(0));
      }
      return await session.read(statisticNames(model));
    });
  const passes = await over({ over: "clips", trainClips: [2], accumulation: 3 }, [[0, 2], [2, 2], [4, 2]]);
  assertSameBits(await over({ microClips: 2 }, [[0, 6]]), passes, "statistics");
  assert.ok(passes.get("norm.running_mean")!.some((x) => x !== 0));
});

Deno.test("the activations of a loss over the batch do not grow with the batch, but for what it reads", () => {
  const model = tinyEncoder();
  const plan = (clips: number, microClips?: number) =>
    planSession(model, contrastOptions(model, { trainClips: [clips], microClips }), NO_ADAPTER);
  const bytes = (clips: number, microClips?: number) => plan(clips, microClips).memory.byUse;
  const small = bytes(4, 2), large = bytes(32, 2), atOnce = bytes(32);
  assert.equal(large.activations, small.activations);
  assert.ok(atOnce.activations > 8 * large.activations, `${atOnce.activations} against ${large.activations}`);
  // Eight floats of each clip; those of four fill half an alignment.
  assert.equal(large.inputs - small.inputs, 32 * 8 * 4 - 256);
  assert.deepEqual(
    [...plan(32, 2).programs.frames.shape],
    [2 * 2, 3, 16, 16],
    "frames of a micro-batch and of an evaluation",
  );
});

Deno.test("as many clips run at once as the largest batch allows, whatever the shortest is", () => {
  const model = tinyEncoder();
  const sizesOf = (microClips?: number) => {
    const { batch } =
      planSession(model, contrastOptions(model, { trainClips: [6, 3], microClips }), NO_ADAPTER)
        .programs;
    return batch &&
      [batch.micro, [...batch.encode.keys()], [...batch.backward.keys()], [...batch.loss.keys()]];
  };
  assert.deepEqual(sizesOf(4), [3, [3], [3], [6, 3]]);
  assert.equal(sizesOf(), null, "a batch that goes through whole needs no second pass");
  assert.deepEqual(sizesOf(1), [1, [1], [1], [6, 3]]);
});

engineTest("a batch of a size without a program is an error that names the sizes", async (gpu) => {
  await withContrast(gpu, { trainClips: [6, 3], microClips: 2 }, async (session, model) => {
    const message = /^RangeError: Cannot train on 5 clips: the programs are made for 6 or 3$/;
    await assert.rejects(session.step(contrastBatch(model, 5), sameRates(0)), message);
  });
});

Deno.test("a loss over the batch whose clips are to be mixed is an error", () => {
  const model = tinyEncoder();
  assert.throws(
    () => planSession(model, contrastOptions(model, { mixes: true }), NO_ADAPTER),
    /^RangeError: Cannot train: clips must not be mixed where the loss is over the batch$/,
  );
});
