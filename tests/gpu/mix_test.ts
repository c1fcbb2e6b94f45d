/** Mixup and CutMix on the GPU against their plain definition. */
import assert from "node:assert/strict";
import { mixClips } from "../../data/transforms/mixup.ts";
import { FRAME_MIX_BYTES, FrameMix } from "../../gpu/frames/mix.ts";
import { MemoryLedger } from "../../gpu/device.ts";
import type { BatchMix } from "../../pixels/batch_mix.ts";
import { createPrng } from "../../lib/random.ts";
import { gpuTest } from "../_util/gpu.ts";

const SIZE = 18, FRAMES = 2, CLIP = FRAMES * 3 * SIZE * SIZE;

const MIXES: BatchMix[] = [
  { kind: "mixup", weight: 0.3 },
  { kind: "mixup", weight: 1 },
  { kind: "cutMix", weight: 0.5, box: { x: 3, y: 0, width: 9, height: 18 } },
  { kind: "cutMix", weight: 1, box: { x: 5, y: 4, width: 0, height: 6 } },
  { kind: "cutMix", weight: 0, box: { x: 0, y: 0, width: SIZE, height: SIZE } },
];

gpuTest("batches of even and odd size are mixed as their definition says, in place", async (device) => {
  const memory = new MemoryLedger(device), offset = 256;
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  const buffer = device.createBuffer({ size: offset + 5 * CLIP * 4, usage });
  const staging = device.createBuffer({
    size: buffer.size,
    usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
  });
  const target = { buffer, offset, size: 5 * CLIP * 4 };
  const mixer = new FrameMix(device, { target, size: SIZE, frames: FRAMES, memory });
  assert.equal(memory.allocatedBytes, FRAME_MIX_BYTES);
  const prng = createPrng(8);
  const before = Float32Array.from({ length: 5 * CLIP }, () => prng.normal());
  for (const mix of MIXES) {
    for (const clips of [1, 2, 4, 5]) {
      device.queue.writeBuffer(buffer, offset, before);
      const encoder = device.createCommandEncoder();
      mixer.encode(encoder, clips, mix);
      encoder.copyBufferToBuffer(buffer, 0, staging, 0, buffer.size);
      device.queue.submit([encoder.finish()]);
      await staging.mapAsync(GPUMapMode.READ);
      const bytes = staging.getMappedRange().slice(0);
      staging.unmap();
      const actual = new Float32Array(bytes, offset);
      const mixed = mixClips(before.slice(0, clips * CLIP), mix, { clips, width: SIZE, height: SIZE });
      const expected = before.slice();
      expected.set(mixed);
      const tolerance = mix.kind === "mixup" ? 1e-6 : 0;
      const at = actual.findIndex((value, i) => !(Math.abs(value - expected[i]) <= tolerance));
      assert.equal(
        at,
        -1,
        `${JSON.stringify(mix)}, ${clips} clips: value ${at} is ${actual[at]}, not ${expected[at]}`,
      );
      assert.ok(new Uint8Array(bytes, 0, offset).every((byte) => byte === 0));
    }
  }
  buffer.destroy();
  staging.destroy();
  memory[Symbol.dispose]();
});
