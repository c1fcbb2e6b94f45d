/** A session on a device: exact numbers, running statistics, evaluation, batch sizes, types and inputs. */

import assert from "node:assert/strict";
import type { ClipTransform } from "../../../pixels/clip_transform.ts";
import { normaliseFrame, transformFrame } from "../../../data/transforms/apply.ts";
import type { Side4Video } from "../../../models/side4video.ts";
import type { Recompute } from "../../../gpu/autodiff.ts";
import { LOSS_LOG_SIZE } from "../../../train/runtime/loss_log.ts";
import { engineTest } from "../../_util/engine.ts";
import { assertSameBits } from "../../_util/same_bits.ts";
import { sameRates, tinyBatch } from "../../_util/tiny_model.ts";
import {
  assertAllClose,
  maxOf,
  rgbClip,
  SEED,
  statisticNames,
  type TinySession,
  trainedNames,
  withSession,
} from "../../_util/tiny_session.ts";

/** Everything a training run changes, and the losses on the way. */
async function trainAndRead(session: TinySession, model: Side4Video, steps: number) {
  for (let i = 0; i < steps; i++) {
    const { frames, labels } = tinyBatch(model, 2, i);
    await session.stepOnFrames(frames, labels, sameRates(1e-2));
  }
  const losses = await session.readLosses(), trained = trainedNames(model);
  return {
    losses,
    gradients: await session.read(trained, "gradient"),
    weights: await session.read([...trained, ...statisticNames(model)]),
    moments: [await session.read(trained, "exp_avg"), await session.read(trained, "exp_avg_sq")],
  };
}

type TrainedValues = Awaited<ReturnType<typeof trainAndRead>>;

function assertSameRun(actual: TrainedValues, expected: TrainedValues): void {
  assert.deepEqual(actual.losses, expected.losses);
  assertSameBits(actual.gradients, expected.gradients, "gradients");
  assertSameBits(actual.weights, expected.weights, "weights");
  actual.moments.forEach((moments, i) => assertSameBits(moments, expected.moments[i], "moments"));
}

engineTest("two sessions with one seed agree bit for bit, and so does one that recomputes", async (gpu) => {
  const run = (recompute: Recompute, seed = SEED) =>
    withSession(gpu, { recompute, seed }, (session, model) => trainAndRead(session, model, 3));
  const first = await run(false);
  assertSameRun(await run(false), first);
  assertSameRun(await run(true), first);
  assertSameRun(await run("groups"), first);
  assert.equal(first.losses.length, 3);
  assert.ok(first.losses.every((loss) => Number.isFinite(loss) && loss > 0));
  assert.notDeepEqual((await run(true, SEED + 1)).losses, first.losses);
});

engineTest(
  "the first loss of untrained weights is near that of guessing, and steps on one batch lower it",
  async (gpu) => {
    await withSession(gpu, {}, async (session, model) => {
      const { frames, labels } = tinyBatch(model, 2);
      for (let i = 0; i < 12; i++) await session.stepOnFrames(frames, labels, sameRates(1e-3));
      const losses = await session.readLosses();
      assert.ok(Math.abs(losses[0] - Math.log(4)) < 0.5, `first loss ${losses[0]}`);
      // With smoothing 0.1 over four classes the least possible loss is the entropy of the targets, 0.349.
      assert.ok(losses[11] < 0.45 && losses[11] > 0.349, `last loss ${losses[11]}`);
    });
  },
);

engineTest(
  "evaluation uses the running statistics, changes nothing, and sees every clip on its own",
  async (gpu) => {
    await withSession(gpu, { evalClips: 3 }, async (session, model) => {
      const names = model.weights.list.map(({ name }) => name);
      const train = tinyBatch(model, 2), { frames } = tinyBatch(model, 3, 9);
      const each = frames.length / 3, K = model.config.classes;
      await session.stepOnFrames(train.frames, train.labels, sameRates(1e-3));
      const before = {
        weights: await session.read(names),
        gradients: await session.read(trainedNames(model), "gradient"),
      };
      const logits = await session.evaluateFrames(frames, 3);
      assert.equal(logits.length, 3 * K);
      assert.deepEqual(await session.evaluateFrames(frames, 3), logits);
      assertSameBits(await session.read(names), before.weights, "weights and statistics");
      assertSameBits(await session.read(trainedNames(model), "gradient"), before.gradients, "gradients");
      // The last clip alone, in a batch that is not full.
      assert.deepEqual(await session.evaluateFrames(frames.subarray(2 * each), 1), logits.subarray(2 * K));
      // Statistics are what it normalises by.
      const mean = "visual.side_post_bn.running_mean";
      await session.write(mean, before.weights.get(mean)!.map((x) => x + 1));
      assert.notDeepEqual(await session.evaluateFrames(frames, 3), logits);
    });
  },
);

engineTest(
  "training moves the running statistics of every norm once a micro-batch, also at rate 0",
  async (gpu) => {
    await withSession(gpu, {}, async (session, model) => {
      const names = statisticNames(model), { frames, labels } = tinyBatch(model, 2);
      const start = await session.read(names);
      await session.stepOnFrames(frames, labels, sameRates(0));
      const once = await session.read(names);
      await session.stepOnFrames(frames, labels, sameRates(0));
      const twice = await session.read(names);
      // The batch is the same, so its statistics s are: r₁ = 0.9 r₀ + 0.1 s and r₂ = 0.9 r₁ + 0.1 s.
      assertAllClose(
        twice,
        (name, i) => once.get(name)![i] + 0.9 * (once.get(name)![i] - start.get(name)![i]),
        1e-5,
      );
      for (const name of names) {
        assert.notDeepEqual(once.get(name), start.get(name), name);
      }
    });
  },
);

engineTest(
  "a batch of one clip works: its embedding is the last norm's bias, so only the head sees a gradient",
  async (gpu) => {
    await withSession(gpu, { trainClips: [2, 1] }, async (session, model) => {
      const pair = tinyBatch(model, 2, 3), { frames, labels } = tinyBatch(model, 1, 4);
      const bias = Float32Array.from({ length: model.config.sideDim }, (_, i) => Math.sin(i));
      await session.write("visual.side_post_bn.bias", bias.slice());
      await session.stepOnFrames(pair.frames, pair.labels, sameRates(0)); // leaves its second clip in the input
      await session.stepOnFrames(frames, labels, sameRates(0));
      assert.equal((await session.readLosses()).length, 2);
      const weights = await session.read(["fc.weight", "fc.bias"]);
      const logits = (await session.readOutputs(1, ["logits"])).get("logits")!;
      assert.equal(logits.length, model.config.classes);
      const expected = logits.map((_, k) =>
        bias.reduce(
          (sum, b, i) => sum + b * weights.get("fc.weight")![k * bias.length + i],
          weights.get("fc.bias")![k],
        )
      );
      logits.forEach((value, k) => assert.ok(Math.abs(value - expected[k]) < 1e-4, `${logits} ${expected}`));
      const gradients = await session.read(trainedNames(model), "gradient");
      for (const [name, values] of gradients) {
        assert.ok(values.every(Number.isFinite), name);
        const seen = name.startsWith("fc.") || name === "visual.side_post_bn.bias";
        if (seen) assert.ok(maxOf(values) > 1e-2, name);
        else assert.ok(maxOf(values) < 1e-5, `${name}: ${maxOf(values)}`);
      }
    });
  },
);

engineTest("a micro-batch of a size without a program is an error that names the sizes", async (gpu) => {
  await withSession(gpu, { trainClips: [2, 1] }, async (session, model) => {
    const { frames, labels } = tinyBatch(model, 3);
    await assert.rejects(
      () => session.stepOnFrames(frames.subarray(0, frames.length / 3), labels, sameRates(0)),
      /Cannot train on 3 clips: the programs are made for 2 or 1/,
    );
    await assert.rejects(
      async () => await session.write("fc.bias", new Float32Array(3)),
      /must be given 4 values, current count is 3/,
    );
    await assert.rejects(
      async () => await session.write("fc.bogus", new Float32Array(3)),
      /the model has none of that name/,
    );
    await assert.rejects(
      async () => await session.write("visual.conv1.weight", new Float32Array(3), "exp_avg"),
      /Cannot find exp_avg of "visual.conv1.weight": the weight must be trained/,
    );
  });
});

engineTest("the f16 backbone gives almost the numbers of the f32 one", async (gpu) => {
  if (!gpu.features.has("shader-f16")) return;
  const run = (backboneDtype: "f16" | "f32") =>
    withSession(gpu, { sizes: { backboneDtype, width: 64, layers: 3 } }, async (session, model) => {
      const { frames, labels } = tinyBatch(model, 2);
      const logits = await session.evaluateFrames(frames, 2);
      await session.stepOnFrames(frames, labels, sameRates(0));
      const [loss] = await session.readLosses();
      return { logits, loss, bytes: session.memory.byUse };
    });
  const half = await run("f16"), full = await run("f32");
  half.logits.forEach((value, i) =>
    assert.ok(Math.abs(value - full.logits[i]) < 0.02, `${half.logits} ${full.logits}`)
  );
  assert.ok(Math.abs(half.loss - full.loss) < 0.01, `${half.loss} ${full.loss}`);
  assert.notDeepEqual(half.logits, full.logits, "the tower really stores halves");
  assert.ok(half.bytes.frozen_weights < 0.6 * full.bytes.frozen_weights);
});

engineTest("decoded frames are transformed on the device as on the host", async (gpu) => {
  await withSession(gpu, { largestFrame: { width: 40, height: 24 } }, async (session, model) => {
    const clips = [rgbClip(model, 1), rgbClip(model, 2)], size = model.config.backbone.imageSize;
    const pictures = clips.flatMap(({ frames, width, height, transform }) =>
      Array.from({ length: model.config.frames }, (_, t) => {
        const data = frames.subarray(t * width * height * 3, (t + 1) * width * height * 3);
        return normaliseFrame(transformFrame({ width, height, data }, transform as ClipTransform, size));
      })
    );
    const frames = new Float32Array(pictures.reduce((sum, picture) => sum + picture.length, 0));
    pictures.forEach((picture, i) => frames.set(picture, i * picture.length));
    await session.step(clips, sameRates(0));
    await session.stepOnFrames(frames, clips.map(({ label }) => label), sameRates(0));
    const [device, host] = await session.readLosses();
    assert.ok(Math.abs(device - host) < 1e-3, `${device} ${host}`);
    const logits = await session.evaluate(clips), expected = await session.evaluateFrames(frames, 2);
    logits.forEach((value, i) => assert.ok(Math.abs(value - expected[i]) < 1e-3, `${logits} ${expected}`));
    assert.ok(Math.abs(logits[0] - logits[model.config.classes]) > 1e-3, "the two clips differ");
  });
});

engineTest("losses come back oldest first, and the log keeps the last ones", async (gpu) => {
  await withSession(gpu, { sizes: { layers: 1, frames: 1 } }, async (session, model) => {
    const batches = [1, 2, 3].map((seed) => tinyBatch(model, 2, seed));
    const run = (i: number) =>
      session.stepOnFrames(batches[i % 3].frames, batches[i % 3].labels, sameRates(0));
    for (let i = 0; i < 3; i++) await run(i);
    const three = await session.readLosses();
    assert.equal(new Set(three).size, 3);
    assert.deepEqual(await session.readLosses(), []);
    const count = LOSS_LOG_SIZE + 5;
    for (let i = 0; i < count; i++) await run(i);
    const kept = await session.readLosses();
    assert.deepEqual(kept, Array.from({ length: LOSS_LOG_SIZE }, (_, i) => three[(i + 5) % 3]));
  });
});

engineTest(
  "streamed frozen blocks give the same bits as resident ones, with two blocks on the GPU",
  async (gpu) => {
    const sizes = { layers: 5 };
    const run = async (streamFrozen: boolean) => {
      let result = {
        losses: [0],
        logits: new Float32Array() as Float32Array,
        weights: new Float32Array() as Float32Array,
        planned: 0,
        allocated: 0,
        frozen: 0,
      };
      await withSession(gpu, { sizes, streamFrozen }, async (session, model) => {
        const { frames, labels } = tinyBatch(model, 2);
        for (let i = 0; i < 3; i++) await session.stepOnFrames(frames, labels, sameRates(1e-3));
        const losses = await session.readLosses(), logits = await session.evaluateFrames(frames, 2);
        const weights = (await session.read(["fc.weight"])).get("fc.weight")!;
        const { memory, allocatedBytes } = session;
        result = {
          losses,
          logits,
          weights,
          planned: memory.total,
          allocated: allocatedBytes,
          frozen: memory.byUse.frozen_weights,
        };
      });
      return result;
    };
    const resident = await run(false), streamed = await run(true);
    assert.deepEqual(streamed.losses, resident.losses);
    assert.deepEqual(streamed.logits, resident.logits);
    assert.deepEqual(streamed.weights, resident.weights);
    assert.equal(streamed.allocated, streamed.planned);
    assert.ok(streamed.frozen < 0.55 * resident.frozen, `${streamed.frozen} of ${resident.frozen} bytes`);
  },
);
