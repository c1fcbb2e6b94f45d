/** A GPU as the trainer sees it: on this thread, or in a Worker of its own. Both do the same commands. */

import type { FramePrepOptions } from "../../../gpu/frames.ts";
import type { Gpu } from "../../../gpu/device.ts";
import { compileAside } from "../../../gpu/compile.ts";
import type { KernelEnvironment } from "../../../gpu/op.ts";
import type { KernelSpec } from "../../../gpu/lower.ts";
import type { ChoiceOptions, Chosen, Launch } from "../../../gpu/tuning/choose.ts";
import { type Command, type DeviceInfo, type DeviceSetup, Runtime } from "../../../gpu/runtime.ts";

/** How much is measured of one launch. */
export type ChoosingOptions = ChoiceOptions & {
  /** Candidates, at most. */
  readonly most?: number;
};

/** An open device with room for one set of programs. */
export interface Device extends AsyncDisposable {
  readonly info: DeviceInfo;
  /** Told of every kernel that `compileKernels` has compiled. */
  onCompile?: (done: number, total: number) => void;
  /** `compile` may be called for every kernel at once: the platform has threads for it. */
  readonly compilesAside?: boolean;
  /** Ends `compileKernels` after the kernel under way. */
  stopsCompiling?: AbortSignal;
  /** Opens another device of the same adapter, on a thread of its own. */
  openHelper?(): Promise<Device>;
  /** Makes the pipelines of kernels ahead of `load`. One call at a time, unless it says otherwise. */
  compile(kernels: readonly KernelSpec[]): Promise<void>;
  /** Allocates, and compiles what is not compiled yet. @returns Bytes allocated. */
  load(setup: DeviceSetup): Promise<number>;
  /** Makes the preparation of frames anew. @returns Bytes allocated. */
  setFrames(options: FramePrepOptions): Promise<number>;
  /**
   * Does the commands in order and returns the bytes of its reads.
   *
   * @param given Memory of the commands that need not be copied: it may be gone afterwards. Shared memory is never copied.
   */
  submit(commands: readonly Command[], given?: readonly ArrayBuffer[]): Promise<Uint8Array<ArrayBuffer>[]>;
}

/** A device on which kernels can be measured. */
export interface ChoosingDevice extends Device {
  /** Whether kernels have been measured for this run: what the time did not suffice for waits for the next one. */
  hasChosen?: boolean;
  /** Measures which kernel does a launch fastest. The device must be idle, and should hold nothing yet. */
  choose(launch: Launch, options: ChoosingOptions): Promise<Chosen>;
  /** Lets `info.environment` have other choices of kernels, or a wider choice, from now on. */
  adopt(changes: Partial<Pick<KernelEnvironment, "choices" | "multipliesHalves">>): void;
}

/** What a device says about itself. @param freeBytes Bytes it has free; null where nobody can tell. */
export function deviceInfo(gpu: Gpu, freeBytes: number | null = null): DeviceInfo {
  const { name, environment, maxBindingBytes, maxBufferBytes } = gpu;
  return { name, environment, limits: { maxBindingBytes, maxBufferBytes }, freeBytes };
}

/** A device on this thread, for checks and measurements. Closing it frees its memory; the GPU stays the caller's. */
export class LocalDevice implements Device {
  #info: DeviceInfo;
  readonly runtime: Runtime;
  readonly compilesAside: boolean;
  readonly #gpu: Gpu;

  /** @param options.compilesAside Whether pipelines are made on threads of the platform's, as browsers do. */
  constructor(gpu: Gpu, { compilesAside = false }: { compilesAside?: boolean } = {}) {
    this.#info = deviceInfo(gpu);
    this.runtime = new Runtime(gpu);
    this.compilesAside = compilesAside;
    this.#gpu = gpu;
  }

  get info(): DeviceInfo {
    return this.#info;
  }

  adopt(changes: Parameters<ChoosingDevice["adopt"]>[0]): void {
    this.#info = { ...this.#info, environment: { ...this.#info.environment, ...changes } };
  }

  async compile(kernels: readonly KernelSpec[]): Promise<void> {
    if (!this.compilesAside) return await this.runtime.compile(kernels);
    await Promise.all(kernels.map((kernel) => compileAside(this.#gpu, kernel)));
  }

  load(setup: DeviceSetup): Promise<number> {
    return this.runtime.load(setup);
  }

  setFrames(options: FramePrepOptions): Promise<number> {
    return Promise.resolve(this.runtime.setFrames(options));
  }

  submit(commands: readonly Command[]): Promise<Uint8Array<ArrayBuffer>[]> {
    return this.runtime.submit(commands);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.runtime.unload();
  }
}
