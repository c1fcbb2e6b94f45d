/** The systems that recipes, run folders and reference cases may name. A new one is its file in `models/` and a line here. */

import { clip } from "./clip_system.ts";
import { dist } from "./dist.ts";
import { side4video } from "./side4video.ts";
import { side4videoRetrieval } from "./side4video_retrieval.ts";
import type { System } from "./system.ts";
import { tdsClip } from "./tds_clip.ts";

const systems: System[] = [side4video, tdsClip, dist, side4videoRetrieval, clip];

/** All systems, in the order in which they were registered. */
export const SYSTEMS: readonly System[] = systems;

/**
 * The system of a name.
 *
 * @throws {RangeError} when none is registered under it.
 */
export function systemOf(id: string): System {
  const system = systems.find((one) => one.id === id);
  if (!system) {
    throw new RangeError(
      `Cannot find a system: its name must be one of ${systems.map((one) => one.id).join(", ")}, ` +
        `current value is "${id}"`,
    );
  }
  return system;
}

/**
 * Makes a system known that is not part of sidenet. A record may be registered again; a name stands for one record.
 *
 * @throws {RangeError} when another record has its name.
 */
export function registerSystem(system: System): void {
  const known = systems.find((one) => one.id === system.id);
  if (known === system) return;
  if (known) {
    throw new RangeError(`Cannot register system "${system.id}": its name must be new`);
  }
  systems.push(system);
}
