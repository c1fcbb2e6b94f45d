/** Replays recorded reference cases on this machine's GPU. */

import type { Gpu } from "../../gpu/device.ts";
import { DataError } from "../../lib/errors.ts";
import { SYSTEMS } from "../../models/registry.ts";
import { openCase } from "./case.ts";
import { replayClipCase } from "./clip_vit.ts";
import type { GroupResult } from "./compare.ts";
import { replayVideoCase } from "./side4video.ts";

export type { GroupResult } from "./compare.ts";

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
  if (system === "clip-vit") return await replayClipCase(gpu, reference);
  for (const one of SYSTEMS) {
    const form = one.cases.find((form) => form.system === system);
    if (!form) continue;
    return await replayVideoCase(gpu, reference, { system: one, form, recompute: options.recompute ?? true });
  }
  const known = ["clip-vit", ...SYSTEMS.flatMap(({ cases }) => cases.map((form) => form.system))];
  throw new DataError(
    `Cannot replay "${path}": system must be one of ${known.join(", ")}, current value is "${system}"`,
  );
}
