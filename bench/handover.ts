/**
 * Measures what it costs to hand a batch of decoded frames to the Worker that owns the GPU: in memory that threads share, as
 * training does, and in memory that the message copies. `ms` is the time in which this thread does nothing else.
 */

import { sharedBytes } from "../lib/shared_bytes.ts";
import type { Command } from "../gpu/runtime.ts";
import { RemoteDevice } from "../train/runtime/device/remote_device.ts";
import type { Measurement } from "./matmul.ts";

const REPEATS = 5;
/** Frames of a clip and their size: those of the published recipes for videos. */
const FRAMES = 12, WIDTH = 340, HEIGHT = 256;

/** A measurement, with how often the memory that is copied takes as long. */
export type HandoverMeasurement = Measurement & { ratio?: number };

/** @param options.clips Clips of the batch; 128 in the largest published recipe. */
export async function* benchHandover(options: { clips: number }): AsyncGenerator<HandoverMeasurement> {
  const { clips } = options, clipBytes = FRAMES * WIDTH * HEIGHT * 3;
  await using device = await RemoteDevice.open();
  // The Worker looks at the clips and puts the first bytes of each on the GPU: what that costs is the same for both.
  const buffers = [{ label: "clips", bytes: 256 }];
  await device.load({ buffers, stream: null, programs: {}, readbackBytes: 0, frames: null, mix: null });
  const timed = async (frames: readonly Uint8Array[]) => {
    let best = Infinity;
    for (let i = 0; i <= REPEATS; i++) {
      const commands = frames.map((clip): Command => ({
        do: "write",
        to: { buffer: 0, offset: 0 },
        // A part of the memory stands for all of it in a message.
        bytes: clip.subarray(0, 256),
      }));
      const started = performance.now();
      const done = device.submit(commands);
      const ms = performance.now() - started;
      await done;
      if (i > 0) best = Math.min(best, ms);
    }
    return best;
  };
  const fill = (clip: Uint8Array) => clip.fill(7); // touched, as decoded frames are
  const shared = await timed(Array.from({ length: clips }, () => fill(sharedBytes(clipBytes))));
  const copied = await timed(Array.from({ length: clips }, () => fill(new Uint8Array(clipBytes))));
  const row = (variant: string, ms: number): HandoverMeasurement => ({
    name: "handover",
    variant,
    shape: `${clips}x${FRAMES}x${HEIGHT}x${WIDTH}x3`,
    ms,
    gflops: 0,
    gbps: clips * clipBytes / ms / 1e6,
    adapter: device.info.name,
  });
  yield row("shared", shared);
  yield { ...row("copied", copied), ratio: copied / shared };
}
