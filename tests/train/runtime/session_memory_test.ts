/** The bytes of a session: exactly what its plan says, and nothing more for a step. */

import { STAND_IN } from "../../../gpu/compile.ts";
import assert from "node:assert/strict";
import type { Gpu } from "../../../gpu/device.ts";
import type { SessionOptions } from "../../../train/runtime/session_plan.ts";
import { engineTest } from "../../_util/engine.ts";
import { sameRates, tinyBatch } from "../../_util/tiny_model.ts";
import { rgbClip, withSession } from "../../_util/tiny_session.ts";

/** Counts the buffers a device makes, with their sizes, while `body` runs. */
async function buffersMade(gpu: Gpu, body: () => Promise<void>): Promise<{ label: string; size: number }[]> {
  const made: { label: string; size: number }[] = [];
  const original = gpu.device.createBuffer;
  gpu.device.createBuffer = function (this: GPUDevice, descriptor: GPUBufferDescriptor) {
    made.push({ label: descriptor.label ?? "", size: descriptor.size });
    return original.call(gpu.device, descriptor);
  };
  try {
    await body();
  } finally {
    gpu.device.createBuffer = original;
  }
  return made;
}

const MEMORY_CASES: (Partial<SessionOptions> & { title: string })[] = [
  { title: "one batch size" },
  {
    title: "two batch sizes, accumulation, clipping and recomputation",
    trainClips: [3, 1],
    evalClips: 4,
    accumulation: 2,
    clipGradNorm: 1,
    recompute: true,
  },
  { title: "frames that are transformed on the device", largestFrame: { width: 40, height: 24 } },
];

for (const { title, ...options } of MEMORY_CASES) {
  engineTest(`a session allocates what its plan says, and its steps nothing: ${title}`, async (gpu) => {
    let opened = 0;
    const made = await buffersMade(gpu, () =>
      withSession(gpu, options, async (session, model) => {
        const { total, byUse } = session.memory;
        assert.equal(session.allocatedBytes, total);
        assert.equal(Object.values(byUse).reduce((a, b) => a + b, 0), total);
        opened = total;
        const steps = await buffersMade(gpu, async () => {
          for (const clips of options.trainClips ?? [2]) {
            const { frames, labels } = tinyBatch(model, clips);
            for (let i = 0; i < 3; i++) await session.stepOnFrames(frames, labels, sameRates(1e-3));
          }
          await session.readLosses();
          const evaluated = tinyBatch(model, 2);
          await session.evaluateFrames(evaluated.frames, 2);
          if (options.largestFrame) {
            const clips = [rgbClip(model, 1), rgbClip(model, 2)];
            await session.step(clips, sameRates(1e-3));
            await session.evaluate(clips);
          }
        });
        assert.deepEqual(steps, []);
        assert.equal(session.allocatedBytes, total);
      }));
    // Compiling is over before anything is allocated, and has freed what it took.
    const kept = made.filter(({ label }) => label !== STAND_IN);
    assert.equal(made.findLastIndex(({ label }) => label === STAND_IN) + 1, made.length - kept.length);
    assert.equal(kept.reduce((sum, { size }) => sum + size, 0), opened, "the ledger knows every buffer");
    assert.equal(gpu.memory.allocatedBytes, 0);
  });
}
