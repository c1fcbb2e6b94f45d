import assert from "node:assert/strict";
import { createPrng } from "../../../lib/random.ts";
import { createModel, type ModelSpec } from "../../../models/mod.ts";
import type { SessionOptions } from "../../../train/runtime/session_plan.ts";
import { engineTest } from "../../_util/engine.ts";
import { tinySession, tinyTraining } from "../../_util/tiny_model.ts";
import { openTiny } from "../../_util/tiny_session.ts";

const SPEC: ModelSpec = {
  system: "side4video",
  sizes: {
    backbone: { imageSize: 16, patchSize: 8, width: 32, layers: 1, heads: 1 },
    frames: 2,
    sideDim: 64,
    classes: 3,
  },
  backboneDtype: "f32",
};

engineTest(
  "a session for evaluation alone holds no training memory, and gives the same logits",
  async (gpu) => {
    const options = (trainClips: number[]): SessionOptions => ({
      ...tinySession(),
      ...tinyTraining({ classes: 3 }),
      trainClips,
      clipGradNorm: 1,
      limits: gpu,
      largestFrame: { width: 20, height: 18 },
    });
    const prng = createPrng(5);
    const frames = Float32Array.from({ length: 2 * 2 * 3 * 16 * 16 }, () => prng.normal());
    const logitsOf = async (trainClips: number[]) => {
      const session = await openTiny(gpu, createModel(SPEC), options(trainClips));
      assert.equal(session.allocatedBytes, session.memory.total);
      await session.initialise(7);
      const logits = [...await session.evaluateFrames(frames, 2)], { byUse } = session.memory;
      gpu.memory[Symbol.dispose]();
      return { logits, byUse, session };
    };
    const training = await logitsOf([2]), evaluation = await logitsOf([]);
    assert.deepEqual(evaluation.logits, training.logits);
    assert.ok(evaluation.logits.length === 6 && evaluation.logits.every(Number.isFinite));
    assert.deepEqual([evaluation.byUse.gradients, evaluation.byUse.optimizer], [0, 0]);
    assert.equal(evaluation.byUse.parameters, training.byUse.parameters);
    assert.ok(evaluation.byUse.activations < training.byUse.activations);
    assert.ok(evaluation.session.launches > 0);
    await assert.rejects(
      evaluation.session.stepOnFrames(frames, [0, 1], {}),
      /the programs are made for evaluation alone$/,
    );
  },
);
