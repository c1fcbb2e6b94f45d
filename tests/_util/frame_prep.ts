/** Frames prepared on a device and read back. */
import { createFramePrep, type FrameClip, type FramePrepOptions } from "../../gpu/frames.ts";
import type { Prng } from "../../lib/random.ts";

/** A clip of noise, half of it black and white so that cubic overshoots have to be clipped. */
export function noiseClip(frames: number, size: { width: number; height: number }, prng: Prng) {
  const data = Uint8Array.from({ length: frames * size.width * size.height * 3 }, (_, i) => {
    return i % 2 ? prng.integer(256) : prng.integer(2) * 255;
  });
  return { frames: data, ...size };
}

export function storageBuffer(device: GPUDevice, size: number): GPUBuffer {
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  return device.createBuffer({ label: "frames_test.target", size, usage });
}

export async function readBytes(device: GPUDevice, buffer: GPUBuffer): Promise<ArrayBuffer> {
  const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
  const staging = device.createBuffer({ label: "frames_test.staging", size: buffer.size, usage });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, 0, staging, 0, buffer.size);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(GPUMapMode.READ);
  const bytes = staging.getMappedRange().slice(0);
  staging.destroy();
  return bytes;
}

/** Runs batches one after the other into one target and reads it after each. */
export async function runBatches(device: GPUDevice, options: FramePrepOptions, batches: FrameClip[][]) {
  using prep = createFramePrep(device, options);
  const target = storageBuffer(device, Math.ceil(options.clips * prep.clipBytes / 4) * 4);
  const results: ArrayBuffer[] = [];
  for (const clips of batches) {
    const encoder = device.createCommandEncoder();
    prep.encode(encoder, clips, { buffer: target, offset: 0 });
    device.queue.submit([encoder.finish()]);
    results.push((await readBytes(device, target)).slice(0, clips.length * prep.clipBytes));
  }
  target.destroy();
  return results;
}
