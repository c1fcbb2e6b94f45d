/** What a run that waits for its data is told, once: what it waits for, and which key of the recipe helps. */

import process from "node:process";
import type { FrameCache } from "../../data/frame_cache/frame_cache.ts";
import { formatCount, formatShare } from "../../lib/text.ts";
import { type Config, dataRoots } from "../recipe/config.ts";

/** Of the time, from when on it is worth a line; and how long it must have been so. */
const SHARE = 0.3, SECONDS = 20, STEPS = 20;
/** Below this many busy cores of the process, those that wait for data wait for the disk. */
const IDLE_CORES = 0.5;
/** Share of the free memory that clips kept decoded may take. */
const MEMORY_SHARE = 0.25;

/** What was measured of a run that waits. */
export interface Waiting {
  /** Of the time since the first step. */
  readonly share: number;
  /** Cores that the process kept busy meanwhile, programs that decode videos not counted. */
  readonly busyCores: number;
  /** Bytes of a clip's decoded frames. */
  readonly clipBytes: number;
  /** Training clips. */
  readonly clips: number;
  /** The clips come out of a frame cache. */
  readonly isCached: boolean;
}

/** What a machine has. */
export interface Machine {
  readonly cores: number;
  readonly freeBytes: number;
}

/** What a run waits for and what helps, in one line. */
export function adviceOn(config: Config, waiting: Waiting, machine: Machine): string {
  const { data } = config, { share, busyCores, isCached } = waiting, { cores } = machine;
  const begin = (what: string) => `${formatShare(share, 0)} of the time the GPU waits for ${what}`;
  const more = data.workers < cores ? [`data.workers=${cores} works on more clips at once`] : [];
  const end = (advice: readonly string[], otherwise: string) =>
    advice.length > 0 ? advice.join("; ") : otherwise;
  if (data.features !== null) {
    return `${begin(`stored features to be read`)}: a faster disk than that of "${data.features}" helps`;
  }
  const memory = inMemory(config, waiting, machine);
  if (data.modality !== "RGB" && !isCached) {
    const cache = "data.frame_cache=run (of a new run; or a folder on another disk) decodes each video once";
    return `${begin("videos to be decoded")}: ${[cache, ...more].join("; ")}`;
  }
  const where = isCached ? "stored frames" : "pictures", root = dataRoots(config).train;
  if (busyCores < IDLE_CORES) {
    const files = isCached
      ? []
      : ["data.frame_cache=DIR on a faster disk reads a few large files instead of many small ones"];
    const from = isCached ? "" : ` under "${root}"`;
    return `${begin(`${where} to be read: the disk${from} is slow`)}; ${
      end([...memory, ...files], "a faster disk helps")
    }`;
  }
  return `${begin(`${where} to be decoded`)}: ${
    end(
      [...more, ...memory],
      `all ${cores} cores are at it; smaller pictures help (data.frame_cache with data.frame_cache_side)`,
    )
  }`;
}

/** Clips that fit into memory are decoded once. */
function inMemory({ data }: Config, { clipBytes, clips }: Waiting, { freeBytes }: Machine): string[] {
  // Whole clips are kept, which are a few times the frames of one view.
  const needed = 2 * clipBytes * clips, megabytes = Math.ceil(needed / 2 ** 20);
  if (needed > MEMORY_SHARE * freeBytes || megabytes <= data.cache_mb) return [];
  return [`data.cache_mb=${megabytes} keeps the decoded frames of ${formatCount(clips)} clips in memory`];
}

/** Watches how long a run waits for its data. */
export class DataWait {
  readonly #config: Config;
  readonly #clips: number;
  readonly #cache: FrameCache | null;
  readonly #now: () => number;
  /** CPU time of the process, in milliseconds. */
  readonly #cpu: () => number;
  #since: { at: number; cpu: number } | null = null;
  #waitMs = 0;
  #steps = 0;
  #clipBytes = 0;
  #isTold = false;

  constructor(
    config: Config,
    options: {
      clips: number;
      cache: FrameCache | null;
      now?: () => number;
      cpu?: () => number;
    },
  ) {
    this.#config = config;
    this.#clips = options.clips;
    this.#cache = options.cache;
    this.#now = options.now ?? (() => performance.now());
    this.#cpu = options.cpu ?? cpuMs;
  }

  /** Counts from here on: after the first step, and at the beginning of an epoch. */
  begin(): void {
    this.#since = { at: this.#now(), cpu: this.#cpu() };
    this.#waitMs = this.#steps = 0;
  }

  /** A batch that was waited for. @param clipBytes Of the decoded frames of one of its clips. */
  add(waitMs: number, clipBytes: number): void {
    this.#waitMs += waitMs;
    this.#steps++;
    this.#clipBytes = Math.max(this.#clipBytes, clipBytes);
  }

  /** The line to tell; null: there is none, or it has been told. */
  advice(machine: () => Machine = thisMachine): string | null {
    if (this.#isTold || this.#since === null || this.#steps < STEPS) return null;
    const ms = this.#now() - this.#since.at, share = Math.min(1, this.#waitMs / ms);
    if (ms < 1000 * SECONDS || share < SHARE || this.#isFilling) return null;
    this.#isTold = true;
    const busyCores = (this.#cpu() - this.#since.cpu) / ms;
    return adviceOn(this.#config, {
      share,
      busyCores,
      clipBytes: this.#clipBytes,
      clips: this.#clips,
      isCached: this.#cache !== null,
    }, machine());
  }

  /** In the epoch that fills a frame cache waiting is part of the bargain. */
  get #isFilling(): boolean {
    return this.#cache !== null && !this.#cache.isFull && this.#cache.clips < this.#clips;
  }
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

function thisMachine(): Machine {
  return { cores: navigator.hardwareConcurrency, freeBytes: Deno.systemMemoryInfo().available };
}
