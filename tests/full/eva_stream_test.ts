/**
 * A few blocks of EVA-CLIP E/14 at their true width (1792, hidden 15360, 67 M weights a block), streamed from host memory: a
 * training step is the same to the bit as with resident blocks, on a fraction of the GPU memory. Takes minutes and 2 GB.
 */
import assert from "node:assert/strict";
import type { Gpu } from "../../gpu/device.ts";
import { EVA_PRESETS } from "../../models/eva/tower.ts";
import { Side4VideoEva } from "../../models/side4video_eva.ts";
import { engineTest } from "../_util/engine.ts";
import { sameRates, tinySession, tinyTraining } from "../_util/tiny_model.ts";
import { openTiny } from "../_util/tiny_session.ts";

const BLOCKS = 6;

async function oneStep(gpu: Gpu, streamFrozen: boolean) {
  const backbone = { ...EVA_PRESETS["EVA02-CLIP-bigE-14"], layers: BLOCKS };
  const model = new Side4VideoEva({ backbone, frames: 1, sideDim: 576, classes: 5 }, {
    backboneDtype: "f16",
  });
  const session = await openTiny(gpu, model, {
    ...tinySession(),
    ...tinyTraining({ classes: 5 }),
    streamFrozen,
    trainClips: [1],
    evalClips: 1,
    recompute: true,
    limits: gpu,
  });
  try {
    await session.initialise(1);
    const frames = Float32Array.from({ length: 3 * 224 * 224 }, (_, i) => Math.sin(0.013 * i));
    await session.stepOnFrames(frames, [3], sameRates(1e-3));
    const [loss] = await session.readLosses();
    const weight = (await session.read(["visual.side_conv1.weight"])).get("visual.side_conv1.weight")!;
    const { memory, allocatedBytes } = session;
    return { loss, weight, memory, allocatedBytes };
  } finally {
    gpu.memory[Symbol.dispose]();
  }
}

engineTest(
  "streamed blocks of E/14's true width train to the same bits in a fraction of the memory",
  async (gpu) => {
    if (!gpu.features.has("shader-f16")) return;
    const streamed = await oneStep(gpu, true), resident = await oneStep(gpu, false);
    assert.ok(Number.isFinite(streamed.loss));
    assert.equal(streamed.loss, resident.loss);
    assert.deepEqual(streamed.weight.slice(0, 1000), resident.weight.slice(0, 1000));
    assert.equal(streamed.allocatedBytes, streamed.memory.total);
    const saved = resident.memory.total - streamed.memory.total;
    // Two of the six blocks are on the GPU at a time.
    assert.ok(
      Math.abs(saved - streamed.memory.hostBytes * (BLOCKS - 2) / BLOCKS) < 2 ** 20,
      `${saved} bytes saved`,
    );
  },
);
