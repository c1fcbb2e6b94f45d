/** A batch that goes through the GPU in parts trains as the whole batch does. */

import assert from "node:assert/strict";
import type { Gpu } from "../../../gpu/device.ts";
import { softCrossEntropy } from "../../../gpu/ops/mod.ts";
import type { BatchMix } from "../../../pixels/batch_mix.ts";
import type { VideoModel } from "../../../models/video_model.ts";
import type { Objective } from "../../../train/runtime/objective.ts";
import { planSession, type TrainBatch } from "../../../train/runtime/session_plan.ts";
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
/** Channels of an embedding, taken as logits. */
const CLASSES = 8;

/** Every clip by itself: its embedding as logits, against its own targets. */
const ALONE: Objective = {
  over: "clips",
  reads: ["embedding"],
  record: (g, { outputs: { embedding }, inputs: { targets } }) => ({
    loss: softCrossEntropy(g, embedding, targets).loss,
  }),
};

/** Options of a session on that loss; "pair", which it does not read, is left alone. */
function alone(changes: ContrastChanges = {}): ContrastChanges {
  return {
    over: "clips",
    objective: ALONE,
    inputs: { targets: { shape: [CLASSES] } },
    leftAlone: ({ name }) => name === "pair",
    ...changes,
  };
}

function batchOf(
  model: VideoModel,
  clips: number,
  more: { first?: number; mix?: BatchMix } = {},
): TrainBatch {
  const targets = Float32Array.from(
    { length: clips * CLASSES },
    (_, i) => i % CLASSES === (i * 7) % 5 ? 1 : 0,
  );
  return { clips: contrastBatch(model, clips, more.first).clips, inputs: { targets }, mix: more.mix };
}

/** Losses of batches of these sizes in turn, with the gradients and weights after the last. */
function train(gpu: Gpu, changes: ContrastChanges, sizes: readonly number[], mix?: BatchMix) {
  return withContrast(gpu, alone(changes), async (session, model) => {
    for (const [i, clips] of sizes.entries()) {
      await session.step(batchOf(model, clips, { first: 10 * i, mix }), sameRates(1e-3));
    }
    const names = trainedNames(model).filter((name) => name !== "pair");
    return { losses: await session.readLosses(), gradients: await session.read(names, "gradient") };
  });
}

function assertSameTraining(
  actual: Awaited<ReturnType<typeof train>>,
  expected: Awaited<ReturnType<typeof train>>,
): void {
  assert.equal(actual.losses.length, expected.losses.length);
  actual.losses.forEach((loss, i) => assert.ok(Math.abs(loss - expected.losses[i]) < TOLERANCE, `${loss}`));
  assertAllClose(actual.gradients, (name, i) => expected.gradients.get(name)![i], TOLERANCE);
}

engineTest(
  "parts give the loss and the gradients of the whole batch, also where it is short",
  async (gpu) => {
    const sizes = { trainClips: [7, 3] };
    const whole = await train(gpu, sizes, [7, 3]), long = await train(gpu, sizes, [3, 7]);
    for (const [name, gradient] of whole.gradients) assert.ok(gradient.some((x) => x !== 0), name);
    for (const microClips of [1, 2, 4]) {
      assertSameTraining(await train(gpu, { ...sizes, microClips }, [7, 3]), whole);
      assertSameTraining(await train(gpu, { ...sizes, microClips }, [3, 7]), long);
    }
    const kept = await train(gpu, { ...sizes, microClips: 2 }, [7]);
    const again = await train(gpu, { ...sizes, microClips: 2, recompute: true }, [7]);
    assertSameBits(again.gradients, kept.gradients, "gradients");
  },
);

engineTest("a mixed batch is mixed with the same clips, whatever parts it goes in", async (gpu) => {
  const mixes: BatchMix[] = [
    { kind: "mixup", weight: 0.3 },
    { kind: "cutMix", weight: 0.75, box: { x: 2, y: 4, width: 8, height: 8 } },
  ];
  for (const mix of mixes) {
    const sizes = { trainClips: [7], mixes: true };
    const whole = await train(gpu, sizes, [7], mix), plain = await train(gpu, sizes, [7]);
    assert.ok(Math.abs(whole.losses[0] - plain.losses[0]) > 1e-3);
    for (const microClips of [2, 4]) {
      assertSameTraining(await train(gpu, { ...sizes, microClips }, [7], mix), whole);
    }
  }
});

engineTest("parts and accumulated batches add up", async (gpu) => {
  const sizes = { trainClips: [5], accumulation: 2 };
  const whole = await train(gpu, sizes, [5, 5, 5, 5]);
  assertSameTraining(await train(gpu, { ...sizes, microClips: 2 }, [5, 5, 5, 5]), whole);
});

engineTest("batch norms see a part at a time, as they see accumulated batches", async (gpu) => {
  const over = (changes: ContrastChanges, parts: readonly [first: number, clips: number][]) =>
    withContrast(gpu, alone({ encoder: { norm: true }, ...changes }), async (session, model) => {
      for (const [first, clips] of parts) await session.step(batchOf(model, clips, { first }), sameRates(0));
      return await session.read(statisticNames(model));
    });
  const accumulated = await over({ trainClips: [2], accumulation: 3 }, [[0, 2], [2, 2], [4, 2]]);
  assertSameBits(await over({ trainClips: [6], microClips: 2 }, [[0, 6]]), accumulated, "statistics");
});

engineTest("an update is skipped whole, whichever part of its batch is not finite", async (gpu) => {
  const run = (batches: readonly (number | null)[]) =>
    withContrast(
      gpu,
      alone({ encoder: { norm: true }, trainClips: [6], microClips: 2, skipNonFinite: 3 }),
      async (session, model) => {
        for (const [i, badClip] of batches.entries()) {
          const batch = batchOf(model, 6, { first: i === batches.length - 1 ? 10 : 0 });
          if (badClip !== null) batch.inputs.targets[badClip * CLASSES] = NaN;
          await session.step(batch, sameRates(1e-2));
        }
        const { skipped } = await session.look();
        const names = [...trainedNames(model), ...statisticNames(model)];
        return { skipped: skipped.total, values: await session.read(names) };
      },
    );
  const plain = await run([null, null]);
  for (const badClip of [0, 3, 5]) {
    const skipping = await run([null, badClip, null]);
    assert.equal(skipping.skipped, 1);
    assertSameBits(skipping.values, plain.values, `clip ${badClip}`);
  }
});

Deno.test("activations take the memory of a part, not of the batch", () => {
  const model = tinyEncoder();
  const bytes = (clips: number, microClips?: number) => {
    const changes = alone({ trainClips: [clips], evalClips: 1, microClips });
    return planSession(model, contrastOptions(model, changes), NO_ADAPTER).memory.byUse.activations;
  };
  assert.equal(bytes(64, 4), bytes(32, 4));
  assert.ok(bytes(64, 4) < bytes(8));
});
