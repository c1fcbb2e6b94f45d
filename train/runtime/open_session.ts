/** Opening a session in a Worker of its own, on whatever adapter there is, or saying in one line why it cannot be. */

import type { DeviceInfo } from "../../gpu/runtime.ts";
import { AdapterError } from "../../lib/errors.ts";
import type { VideoModel } from "../../models/video_model.ts";
import { type FittingSession, planFittingSession } from "./fit.ts";
import { RemoteDevice } from "./device/remote_device.ts";
import { Session } from "./session.ts";
import type { SessionOptions } from "./session_plan.ts";
import type { TunedChoices } from "./device/tuned.ts";

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

/** Times that a session is planned anew for half the memory, where an adapter has less than it says. */
const TRIES_AFTER_REFUSAL = 4;

/** An open session, and what stands against running whole batches at once; null where they do. */
export interface OpenedSession {
  readonly session: Session;
  readonly against: string | null;
}

/**
 * Opens a session. Where the adapter cannot hold the whole batch at once, with as many clips at once as it can.
 *
 * @param more.clipsPerVideo Clips that one video of the batch becomes, for advice on a batch that fits.
 * @throws {AdapterError} when there is no adapter, or it cannot hold the session one clip at a time.
 */
export async function openSession(
  model: VideoModel,
  options: Omit<SessionOptions, "limits">,
  more: { clipsPerVideo: number; halves: HalvesNeed | null; choices?: TunedChoices },
): Promise<OpenedSession> {
  let freeBytes = Infinity;
  for (let tries = 0;; tries++) {
    const device = await RemoteDevice.open({ choices: more.choices });
    const { info } = device;
    let fitting: FittingSession | null = null;
    try {
      requireHalves(info, more.halves);
      fitting = planFittingSession(model, { ...options, limits: info.limits }, {
        environment: info.environment,
        freeBytes: Math.min(freeBytes, info.freeBytes ?? Infinity),
        clipsPerVideo: more.clipsPerVideo,
      });
      const session = await Session.open(device, model, fitting.options, fitting.plan);
      return { session, against: fitting.against };
    } catch (error) {
      await device[Symbol.asyncDispose]();
      const refused = (error as Error).name === "OutOfMemoryError";
      if (!refused || fitting === null || tries === TRIES_AFTER_REFUSAL) throw error;
      // How much was free is not known; with half of it a try is worth while.
      freeBytes = fitting.plan.memory.total / 2;
    }
  }
}
