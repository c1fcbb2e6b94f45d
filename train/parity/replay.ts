/** Replays recorded reference cases on this machine's GPU. */

import type { Gpu } from "../../gpu/device.ts";
import { DataError } from "../../lib/errors.ts";
import { openCase } from "./case.ts";
import { replayClipCase } from "./clip_vit.ts";
import type { GroupResult } from "./compare.ts";
import { replayVideoCase } from "./side4video.ts";

export type { GroupResult } from "./compare.ts";

/** Systems whose cases can be replayed. */
export const PARITY_SYSTEMS = ["clip-vit", "side4video", "side4video-eva", "tds-clip"] as const;

/**
 * Replays one case, whatever its size.
 *
 * @param options.recompute Recompute side blocks in the backward pass; the gradients must be the same.
 * @throws {DataError} when the case is of another system or incomplete.
 */
export async function replayCase(
  gpu: Gpu,
  path: string,
  options: { recompute?: boolean } = {},
): Promise<GroupResult[]> {
  await using reference = await openCase(path);
  const { system } = reference.description;
  switch (system) {
    case "clip-vit":
      return await replayClipCase(gpu, reference);
    case "side4video":
    case "side4video-eva":
    case "tds-clip":
      return await replayVideoCase(gpu, reference, { recompute: options.recompute ?? true });
    default:
      throw new DataError(
        `Cannot replay "${path}": system must be one of ${
          PARITY_SYSTEMS.join(", ")
        }, current value is "${system}"`,
      );
  }
}
