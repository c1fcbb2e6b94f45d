/** Where the time of a program goes: every launch timed by the GPU's own clock (timestamp queries). */

import type { Gpu } from "./device.ts";
import type { Program } from "./program.ts";

const QUERY_RESOLVE = 0x200, COPY_SRC = 0x4, COPY_DST = 0x8, MAP_READ = 0x1;
/** Queries one set may hold. */
const MAX_QUERIES = 4096;

/** Time of one launch. */
export interface LaunchTime {
  label: string;
  ms: number;
}

/**
 * Runs the program once and returns the time of every launch, in order.
 *
 * @throws {Error} when the adapter has no timestamp queries.
 */
export async function profileProgram(gpu: Gpu, program: Program): Promise<LaunchTime[]> {
  if (!gpu.features.has("timestamp-query")) {
    throw new Error(`Cannot profile on "${gpu.name}": the adapter must have timestamp queries`);
  }
  const { device } = gpu, labels = program.labels();
  const sets: GPUQuerySet[] = [];
  for (let left = 2 * labels.length; left > 0; left -= MAX_QUERIES) {
    sets.push(device.createQuerySet({ type: "timestamp", count: Math.min(left, MAX_QUERIES) }));
  }
  const bytes = labels.length * 16;
  const resolved = device.createBuffer({
    label: "timestamps",
    size: sets.length * MAX_QUERIES * 8,
    usage: QUERY_RESOLVE | COPY_SRC,
  });
  const staging = device.createBuffer({ label: "timestamps", size: bytes, usage: MAP_READ | COPY_DST });
  const encoder = device.createCommandEncoder({ label: "profile" });
  program.encodeTimed(encoder, (i) => {
    const at = 2 * i % MAX_QUERIES;
    return {
      querySet: sets[Math.floor(2 * i / MAX_QUERIES)],
      beginningOfPassWriteIndex: at,
      endOfPassWriteIndex: at + 1,
    };
  });
  sets.forEach((set, i) => encoder.resolveQuerySet(set, 0, set.count, resolved, i * MAX_QUERIES * 8));
  encoder.copyBufferToBuffer(resolved, 0, staging, 0, bytes);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(MAP_READ);
  const times = new BigUint64Array(staging.getMappedRange().slice(0));
  staging.unmap();
  for (const resource of [resolved, staging, ...sets]) resource.destroy();
  return labels.map((label, i) => ({ label, ms: Number(times[2 * i + 1] - times[2 * i]) / 1e6 }));
}
