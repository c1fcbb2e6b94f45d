/** Opening a GPU: the adapter's own limits, the features we can use, and a ledger of every byte allocated. */

import { AdapterError } from "../lib/errors.ts";
import { adapterName, isSoftwareAdapter } from "./adapter.ts";
import type { KernelEnvironment } from "./op.ts";
import { ENABLES_SUBGROUPS } from "./shader.ts";

/** Features asked for where the adapter grants them. `adapter.features` hides native ones, so each is tried. */
const WANTED_FEATURES = ["shader-f16", "subgroups", "timestamp-query", "wgpu-shader-int64"] as const;

const WANTED_LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
  "maxComputeWorkgroupSizeZ",
  "maxStorageBuffersPerShaderStage",
] as const;

/** Largest buffer we ask for: 32-bit offsets in elements stay safe, and drivers stay within what they promise. */
const MAX_BUFFER_BYTES = 2 ** 31 - 2 ** 20;

/** An open device and what is known about it. */
export class Gpu {
  readonly device: GPUDevice;
  readonly info: GPUAdapterInfo;
  readonly features: ReadonlySet<string>;
  /** True for a CPU implementation such as Mesa's llvmpipe. */
  readonly isSoftware: boolean;
  readonly memory: MemoryLedger;
  /** Measured kernel choices by key (`gpu/tuning/family.ts`). */
  readonly choices: ReadonlyMap<string, string>;
  #lost: string | null = null;
  #environment?: KernelEnvironment;

  constructor(
    device: GPUDevice,
    info: GPUAdapterInfo,
    features: ReadonlySet<string>,
    choices: ReadonlyMap<string, string> = new Map(),
  ) {
    this.choices = choices;
    this.device = device;
    this.info = info;
    this.features = features;
    this.isSoftware = isSoftwareAdapter(info);
    this.memory = new MemoryLedger(device);
    device.lost.then((reason) => {
      if (reason.reason !== "destroyed") this.#lost = reason.message;
    });
  }

  /** One line naming the adapter. */
  get name(): string {
    return adapterName(this.info);
  }

  /** What kernel selection may look at. */
  get environment(): KernelEnvironment {
    return this.#environment ??= this.#describe();
  }

  #describe(): KernelEnvironment {
    const { vendor, architecture, description, subgroupMinSize: min, subgroupMaxSize: max } = this.info;
    const { limits } = this.device;
    return {
      features: this.features,
      isSoftware: this.isSoftware,
      vendor,
      architecture,
      description,
      workgroupBytes: limits.maxComputeWorkgroupStorageSize,
      workgroupInvocations: limits.maxComputeInvocationsPerWorkgroup,
      subgroupSizes: this.features.has("subgroups") && min > 0 && max > 0 ? { min, max } : null,
      choices: this.choices,
    };
  }

  /** Largest storage range one kernel may see, in bytes. */
  get maxBindingBytes(): number {
    return Math.min(this.device.limits.maxStorageBufferBindingSize, MAX_BUFFER_BYTES);
  }

  /** Largest single buffer, in bytes. */
  get maxBufferBytes(): number {
    return Math.min(this.device.limits.maxBufferSize, MAX_BUFFER_BYTES);
  }

  /** Whether the device has not been lost. */
  get isAlive(): boolean {
    return this.#lost === null;
  }

  /** Throws when the device has been lost (driver reset, adapter removed). */
  assertAlive(): void {
    if (this.#lost !== null) {
      throw new AdapterError(`Cannot use adapter "${this.name}": the device was lost (${this.#lost})`);
    }
  }

  [Symbol.dispose](): void {
    this.memory[Symbol.dispose]();
    this.device.destroy();
  }
}

/**
 * Opens the best adapter with its own limits.
 *
 * @throws {AdapterError} when there is no adapter or it refuses a device.
 */
export async function openGpu(options: { choices?: ReadonlyMap<string, string> } = {}): Promise<Gpu> {
  const gpu = globalThis.navigator?.gpu;
  const adapter = await gpu?.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) {
    throw new AdapterError(
      "Cannot open a GPU: no WebGPU adapter was found; install a Vulkan driver (on Debian or Ubuntu: apt-get install mesa-vulkan-drivers) and run `sidenet doctor`",
    );
  }
  const requiredLimits: Record<string, number> = {};
  for (const name of WANTED_LIMITS) {
    const value = adapter.limits[name];
    if (typeof value === "number") requiredLimits[name] = value;
  }
  const features: GPUFeatureName[] = [];
  for (const feature of WANTED_FEATURES) if (await grants(feature)) features.push(feature as GPUFeatureName);
  try {
    const device = await adapter.requestDevice({
      label: "sidenet",
      requiredFeatures: features,
      requiredLimits,
    });
    const known = new Set<string>(features);
    if (known.has("subgroups") && await compiles(device, "enable subgroups;")) known.add(ENABLES_SUBGROUPS);
    return new Gpu(device, adapter.info, known, options.choices);
  } catch (error) {
    throw new AdapterError(`Cannot open adapter "${adapterName(adapter.info)}": ${(error as Error).message}`);
  }
}

/** Whether a device takes this WGSL. */
async function compiles(device: GPUDevice, code: string): Promise<boolean> {
  device.pushErrorScope("validation");
  device.createShaderModule({ label: "probe", code });
  return await device.popErrorScope() === null;
}

/** Whether the adapter gives a device with this feature. An adapter serves one device, so each try takes a new one. */
async function grants(feature: string): Promise<boolean> {
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
  try {
    const device = await adapter!.requestDevice({ requiredFeatures: [feature as GPUFeatureName] });
    device.destroy();
    return true;
  } catch {
    return false;
  }
}

/** Creates and owns GPU buffers, and knows how many bytes are allocated. V8's garbage collector does not see them. */
export class MemoryLedger {
  readonly #device: GPUDevice;
  readonly #buffers = new Set<GPUBuffer>();
  #bytes = 0;

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /** Bytes of all buffers alive. */
  get allocatedBytes(): number {
    return this.#bytes;
  }

  /** Creates a labelled buffer. */
  create(label: string, sizeBytes: number, usage: GPUBufferUsageFlags): GPUBuffer {
    const buffer = this.#device.createBuffer({ label, size: sizeBytes, usage });
    this.#buffers.add(buffer);
    this.#bytes += sizeBytes;
    return buffer;
  }

  /** Frees a buffer made here. */
  destroy(buffer: GPUBuffer): void {
    if (!this.#buffers.delete(buffer)) {
      throw new Error(`Cannot free buffer "${buffer.label}": it must be alive and made by this ledger`);
    }
    this.#bytes -= buffer.size;
    buffer.destroy();
  }

  [Symbol.dispose](): void {
    for (const buffer of this.#buffers) buffer.destroy();
    this.#buffers.clear();
    this.#bytes = 0;
  }
}
