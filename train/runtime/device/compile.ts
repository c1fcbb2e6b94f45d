/**
 * Compiling all kernels of a session before its memory is allocated. A software adapter makes machine code on one thread, for seconds
 * where the driver does not know the kernels yet; so other devices on threads of their own help, and leave what they have made in the
 * driver's cache on the disk, where the session's device finds it. On a GPU the driver compiles, on the device's own thread. A browser has
 * threads for it and is asked for all kernels at once.
 */

import { kernelKey, type KernelSpec, type ProgramSpec } from "../../../gpu/lower.ts";
import type { Device } from "./device.ts";

/** A kernel that takes longer than this was in no cache. */
const UNKNOWN_MS = 200;
/** Kernels in one call, where the driver knows them. */
const KNOWN_AT_ONCE = 8;
/** Devices that help, at most: each takes a thread and some 50 MB. */
const MOST_HELPERS = 3;

/** What each device has compiled, by `kernelKey`. */
const compiledBy = new WeakMap<Device, Set<string>>();

/** The kernels of programs. */
export function kernelsOf(programs: Readonly<Record<string, ProgramSpec>>): KernelSpec[] {
  return Object.values(programs).flatMap(({ kernels }) => kernels);
}

/**
 * Compiles kernels on a device, those of equal text once. `device.onCompile` is told of each.
 *
 * @param signal Ends it after the kernel under way.
 * @throws {Error} with the numbered source when one does not compile.
 */
export async function compileKernels(
  device: Device,
  kernels: readonly KernelSpec[],
  signal?: AbortSignal,
): Promise<void> {
  let known = compiledBy.get(device);
  if (!known) compiledBy.set(device, known = new Set());
  const missing = new Map<string, KernelSpec>();
  for (const kernel of kernels) {
    const key = kernelKey(kernel);
    if (!known.has(key)) missing.set(key, kernel);
  }
  if (missing.size === 0) return;
  // The longest first, so that no thread is left alone with one in the end.
  const order = [...missing.values()].sort((a, b) => b.code.length - a.code.length);
  await new Compilation(device, order, signal).run();
  for (const key of missing.keys()) known.add(key);
}

class Compilation {
  readonly #device: Device;
  readonly #signal: AbortSignal | undefined;
  readonly #waiting: KernelSpec[];
  readonly #total: number;
  /** Compiled by a helper, in so many milliseconds: the device finds them in the driver's cache. */
  readonly #helped: { kernel: KernelSpec; ms: number }[] = [];
  #done = 0;
  /** Kernels in one call: each call is waited for, which takes some milliseconds. */
  #atOnce = 1;
  /** Whether what one device compiles is there for the others. */
  #shared = true;
  #wake: () => void = () => {};

  constructor(device: Device, kernels: readonly KernelSpec[], signal?: AbortSignal) {
    this.#device = device;
    this.#signal = signal;
    this.#waiting = [...kernels];
    this.#total = kernels.length;
  }

  async run(): Promise<void> {
    this.#device.onCompile?.(0, this.#total);
    if (this.#device.compilesAside) {
      await Promise.all(this.#waiting.splice(0).map((kernel) => this.#compile([kernel])));
      return;
    }
    const isCold = await this.#compile([this.#waiting.shift()!]) > UNKNOWN_MS;
    if (!isCold) this.#atOnce = KNOWN_AT_ONCE;
    const helpers = isCold ? this.#helperCount() : 0;
    const helping = Array.from({ length: helpers }, () => this.#help());
    try {
      await this.#work();
    } finally {
      this.#waiting.length = 0;
      await Promise.all(helping);
    }
  }

  async #work(): Promise<void> {
    while (this.#done < this.#total) {
      const helped = this.#helped.shift();
      if (helped) {
        const ms = await this.#compile([helped.kernel]);
        if (ms > UNKNOWN_MS && ms > helped.ms / 2) this.#shared = false;
        continue;
      }
      const own = this.#waiting.splice(0, this.#atOnce);
      if (own.length > 0) await this.#compile(own);
      else await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  /** Compiles on the device itself. @returns Milliseconds. */
  async #compile(kernels: readonly KernelSpec[]): Promise<number> {
    this.#signal?.throwIfAborted();
    const started = performance.now();
    await this.#device.compile(kernels);
    this.#done += kernels.length;
    this.#device.onCompile?.(this.#done, this.#total);
    return performance.now() - started;
  }

  #helperCount(): number {
    const { openHelper, info } = this.#device;
    if (!openHelper || !info.environment.isSoftware) return 0;
    return Math.min(MOST_HELPERS, navigator.hardwareConcurrency - 1, this.#waiting.length);
  }

  async #help(): Promise<void> {
    const helper = await this.#device.openHelper!().catch(() => null);
    if (helper === null) return; // the device does it alone
    try {
      while (this.#shared && !this.#signal?.aborted) {
        const kernel = this.#waiting.shift();
        if (!kernel) break;
        const started = performance.now();
        await helper.compile([kernel]).catch(() => {}); // the device raises it
        this.#helped.push({ kernel, ms: performance.now() - started });
        this.#wake();
      }
    } finally {
      await helper[Symbol.asyncDispose]();
    }
  }
}
