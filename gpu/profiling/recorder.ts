/** Notes on a step under way: every launch by the GPU's own clock (timestamp queries), and what the host does meanwhile. */

import type { Gpu } from "../device.ts";

const QUERY_RESOLVE = 0x200, COPY_SRC = 0x4, COPY_DST = 0x8, MAP_READ = 0x1;
/** Queries one set may hold. */
const MAX_QUERIES = 4096;

/** Time of one launch. */
export interface LaunchTime {
  label: string;
  ms: number;
}

/** One launch of a recorded step, by the GPU's clock from the first one's start. */
export interface RecordedLaunch extends LaunchTime {
  /** Its program, and its number there. */
  readonly program: string;
  readonly index: number;
  readonly startMs: number;
}

/** One thing that the host did, by `performance.now()`. Those that others consist of contain them. */
export interface HostEvent {
  /** "write", "encode train.8", "submit", "wait", "upload block". */
  readonly what: string;
  readonly startMs: number;
  readonly ms: number;
  /** Of what was handed to the queue. */
  readonly bytes?: number;
}

/** Whether launches can be timed one by one. */
export function timesLaunches(gpu: Pick<Gpu, "features">): boolean {
  return gpu.features.has("timestamp-query");
}

/** Timestamps of passes, two each. */
export class PassTimes {
  readonly #gpu: Gpu;
  readonly #sets: GPUQuerySet[] = [];
  #count = 0;

  /** @throws {Error} when the adapter has no timestamp queries */
  constructor(gpu: Gpu) {
    if (!timesLaunches(gpu)) {
      throw new Error(`Cannot profile on "${gpu.name}": the adapter must have timestamp queries`);
    }
    this.#gpu = gpu;
  }

  /** What times the next pass. */
  next(): GPUComputePassTimestampWrites {
    const at = 2 * this.#count % MAX_QUERIES, set = Math.floor(2 * this.#count / MAX_QUERIES);
    this.#count++;
    this.#sets[set] ??= this.#gpu.device.createQuerySet({ type: "timestamp", count: MAX_QUERIES });
    return { querySet: this.#sets[set], beginningOfPassWriteIndex: at, endOfPassWriteIndex: at + 1 };
  }

  /** Start and end of every pass so far in ms, in order, from the first one's start. Waits for the GPU, and frees the queries. */
  async read(): Promise<{ startMs: number; ms: number }[]> {
    const { device } = this.#gpu, bytes = this.#count * 16;
    if (bytes === 0) return [];
    const resolved = device.createBuffer({
      label: "timestamps",
      size: this.#sets.length * MAX_QUERIES * 8,
      usage: QUERY_RESOLVE | COPY_SRC,
    });
    const staging = device.createBuffer({ label: "timestamps", size: bytes, usage: MAP_READ | COPY_DST });
    const encoder = device.createCommandEncoder({ label: "timestamps" });
    this.#sets.forEach((set, i) => {
      const count = Math.min(MAX_QUERIES, 2 * this.#count - i * MAX_QUERIES);
      encoder.resolveQuerySet(set, 0, count, resolved, i * MAX_QUERIES * 8);
    });
    encoder.copyBufferToBuffer(resolved, 0, staging, 0, bytes);
    device.queue.submit([encoder.finish()]);
    await staging.mapAsync(MAP_READ);
    const times = new BigUint64Array(staging.getMappedRange().slice(0));
    staging.unmap();
    for (const resource of [resolved, staging, ...this.#sets]) resource.destroy();
    const ms = (from: bigint, to: bigint) => Number(to - from) / 1e6;
    return Array.from({ length: this.#count }, (_, i) => ({
      startMs: ms(times[0], times[2 * i]),
      // Some drivers' clocks step back by a tick.
      ms: Math.max(0, ms(times[2 * i], times[2 * i + 1])),
    }));
  }
}

/** Notes what a `Runtime` does while it is its recorder. */
export class StepRecorder {
  readonly host: HostEvent[] = [];
  readonly #times: PassTimes | null;
  readonly #launches: { program: string; index: number; label: string }[] = [];
  /** When the host submitted the first timed launch, by `performance.now()`. */
  #submittedMs: number | null = null;

  /** @param options.launches Also times every launch, in a pass of its own; that makes the step itself a little slower. */
  constructor(gpu: Gpu, options: { launches: boolean }) {
    this.#times = options.launches ? new PassTimes(gpu) : null;
  }

  /** What times a launch; undefined where only the host is looked at. */
  timeLaunch(program: string, index: number, label: string): GPUComputePassTimestampWrites | undefined {
    if (this.#times === null) return undefined;
    this.#launches.push({ program, index, label });
    return this.#times.next();
  }

  get timesLaunches(): boolean {
    return this.#times !== null;
  }

  /** Begins something that the host does. @returns What ends it. */
  begin(what: string, bytes?: number): () => void {
    const startMs = performance.now();
    return () => {
      const end = performance.now();
      if (what === "submit" && this.#launches.length > 0) this.#submittedMs ??= end;
      this.host.push({ what, startMs, ms: end - startMs, bytes });
    };
  }

  /** The launches in order, and the host's time at which the first one's start is put: when it had been submitted. */
  async launches(): Promise<{ launches: RecordedLaunch[]; submittedMs: number }> {
    const times = await this.#times?.read() ?? [];
    return {
      launches: this.#launches.map((launch, i) => ({ ...launch, ...times[i] })),
      submittedMs: this.#submittedMs ?? 0,
    };
  }
}

/**
 * Milliseconds that each kind of thing took the host, without those that it consists of.
 *
 * @example `ownTimes([{ what: "encode", startMs: 0, ms: 3 }, { what: "wait", startMs: 1, ms: 2 }])` is encode 1, wait 2
 */
export function ownTimes(events: readonly HostEvent[]): Map<string, number> {
  const sorted = [...events].sort((a, b) => a.startMs - b.startMs || b.ms - a.ms);
  const own = new Map<string, number>(), open: HostEvent[] = [];
  const add = (what: string, ms: number) => own.set(what, (own.get(what) ?? 0) + ms);
  for (const event of sorted) {
    while (open.length > 0 && event.startMs >= open.at(-1)!.startMs + open.at(-1)!.ms) open.pop();
    add(event.what, event.ms);
    if (open.length > 0) add(open.at(-1)!.what, -event.ms);
    open.push(event);
  }
  return own;
}
