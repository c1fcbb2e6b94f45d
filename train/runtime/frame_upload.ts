/** What a batch brings to a model's inputs: decoded frames, in as many parts as the upload buffers need, and stored taps. */

import type { FrameClip, FramePrep } from "../../gpu/frames.ts";
import { bytesOf, type Tensor } from "../../gpu/graph.ts";
import type { SessionClip } from "./session_plan.ts";

/**
 * Uploads frames and records their preparation. What does not fit the upload buffers with the last part is submitted first.
 *
 * @param target Where the first clip's frames go.
 */
export function prepareFrames(
  { device, prep }: { device: GPUDevice; prep: FramePrep },
  encoder: GPUCommandEncoder,
  clips: readonly FrameClip[],
  target: { buffer: GPUBuffer; offset: number },
): void {
  const most = prep.options.clips;
  for (let first = 0; first < clips.length; first += most) {
    const last = first + most >= clips.length;
    const own = last ? encoder : device.createCommandEncoder({ label: "frames" });
    const offset = target.offset + first * prep.clipBytes;
    prep.encode(own, clips.slice(first, first + most), { buffer: target.buffer, offset });
    if (!last) device.queue.submit([own.finish()]);
  }
}

/** Where the taps of a batch go. */
interface TapInputs {
  /** Inputs of all clips, `[B*T N C]`; none in a model that computes them. */
  taps: readonly Tensor[];
  /** T, the rows of a clip. */
  rows: number;
  find: (tap: Tensor) => { buffer: GPUBuffer; offset: number };
}

/**
 * Queues the copies of the clips' stored taps.
 *
 * @throws {RangeError} when a clip has more, fewer or others than the model reads.
 */
export function writeTaps(device: GPUDevice, clips: readonly SessionClip[], inputs: TapInputs): void {
  clips.forEach((clip, place) => writeClipTaps(device, clip, { ...inputs, place }));
}

function writeClipTaps(
  device: GPUDevice,
  { taps: given = [] }: SessionClip,
  { taps, rows, place, find }: TapInputs & { place: number },
): void {
  if (given.length !== taps.length) {
    throw new RangeError(
      `Cannot use a clip: it must come with ${taps.length} taps, current number is ${given.length}`,
    );
  }
  taps.forEach((tap, k) => {
    const clipBytes = bytesOf(tap) / tap.shape[0] * rows, { buffer, offset } = find(tap);
    if (given[k].length !== clipBytes) {
      throw new RangeError(
        `Cannot use a clip: "${tap.label}" must have ${clipBytes} bytes, current length is ${
          given[k].length
        }`,
      );
    }
    device.queue.writeBuffer(buffer, offset + place * clipBytes, given[k]);
  });
}
