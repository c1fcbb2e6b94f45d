import assert from "node:assert/strict";
import { createPrng } from "../../../lib/random.ts";
import { createModel, type ModelSpec } from "../../../models/mod.ts";
import { Session } from "../../../train/runtime/session.ts";
import type { SessionOptions } from "../../../train/runtime/session_plan.ts";
import { engineTest } from "../../_util/engine.ts";

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
      trainClips,
      evalClips: 2,
      recompute: false,
      accumulation: 1,
      smoothing: 0.1,
      clipGradNorm: 1,
      optimizer: { betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0.1 },
      limits: { maxBindingBytes: gpu.maxBindingBytes, maxBufferBytes: gpu.maxBufferBytes },
      largestFrame: { width: 20, height: 18 },
    });
    const prng = createPrng(5);
    const frames = Float32Array.from({ length: 2 * 2 * 3 * 16 * 16 }, () => prng.normal());
    const logitsOf = async (trainClips: number[]) => {
      const session = await Session.open(gpu, createModel(SPEC), options(trainClips));
      assert.equal(session.allocatedBytes, session.memory.total);
      session.initialise(7);
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
    assert.throws(() => evaluation.session.trainProgram(2), /the programs are made for evaluation alone$/);
  },
);
