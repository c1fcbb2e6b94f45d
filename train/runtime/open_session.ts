/** Opening a session in a Worker of its own, on whatever adapter there is, or saying in one line why it cannot be. */

import type { DeviceInfo } from "../../gpu/runtime.ts";
import { AdapterError } from "../../lib/errors.ts";
import type { VideoModel } from "../../models/video_model.ts";
import { planFittingSession, refusedError } from "./fit.ts";
import { RemoteDevice } from "./remote_device.ts";
import { Session } from "./session.ts";
import type { SessionOptions } from "./session_plan.ts";
import type { TunedChoices } from "./tuned.ts";

/** What a model needs halves for, and what to say instead. */
export interface HalvesNeed {
  readonly what: string;
  readonly instead: string;
}

/** Refuses an adapter that cannot store what the model reads as halves. */
export function requireHalves({ name, environment }: DeviceInfo, need: HalvesNeed | null): void {
  if (!need || environment.features.has("shader-f16")) return;
  throw new AdapterError(
    `Cannot use ${need.what} on adapter "${name}": it must have the feature shader-f16; use ${need.instead}`,
  );
}

/**
 * Opens a session.
 *
 * @param more.clipsPerVideo Clips that one video of the batch becomes, for advice on a batch that fits.
 * @throws {AdapterError} when there is no adapter, or it cannot hold the session; with the batch that would fit.
 */
export async function openSession(
  model: VideoModel,
  options: Omit<SessionOptions, "limits">,
  more: { clipsPerVideo: number; halves: HalvesNeed | null; choices?: TunedChoices },
): Promise<Session> {
  const device = await RemoteDevice.open({ choices: more.choices });
  const { info } = device, own: SessionOptions = { ...options, limits: info.limits };
  const fit = { environment: info.environment, freeBytes: info.freeBytes, clipsPerVideo: more.clipsPerVideo };
  let neededBytes = 0;
  try {
    requireHalves(info, more.halves);
    const planned = planFittingSession(model, own, fit);
    neededBytes = planned.memory.total;
    return await Session.open(device, model, own, planned);
  } catch (error) {
    await device[Symbol.asyncDispose]();
    if ((error as Error).name !== "OutOfMemoryError") throw error;
    throw refusedError(model, own, { ...fit, neededBytes });
  }
}
