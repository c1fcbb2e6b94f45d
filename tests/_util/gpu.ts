/**
 * Tests that need a GPU. `SIDENET_GPU` says what happens to them: `off` leaves them out, `auto` (the default) leaves them
 * out where there is no adapter, `require` makes a missing adapter a failure. A test left out is reported as ignored.
 */
import { keepDecodeWorkers } from "../../data/frames/decode_pool.ts";
import { openGpu } from "../../gpu/device.ts";
import { AdapterError } from "../../lib/errors.ts";
import { keepGpuWorkers } from "../../train/runtime/device/remote_device.ts";

// A session after another finds its kernels compiled, and workers that have started.
keepGpuWorkers({ withGpus: true });
keepDecodeWorkers();

type GpuMode = "off" | "auto" | "require";

/** What a GPU test works with. */
export interface TestDevice {
  readonly device: GPUDevice;
  readonly info: GPUAdapterInfo;
  /** Features granted; `device.features` hides the native ones. */
  readonly features: ReadonlySet<string>;
}

/** Reads a value of `SIDENET_GPU`. */
export function parseGpuMode(value: string | undefined): GpuMode {
  const mode = value || "auto";
  if (mode === "off" || mode === "auto" || mode === "require") return mode;
  throw new RangeError(
    `Cannot run tests: SIDENET_GPU must be off, auto or require, current value is "${mode}"`,
  );
}

const mode = parseGpuMode(Deno.env.get("SIDENET_GPU"));
const isIgnored = mode === "off" || mode === "auto" && !(await hasAdapter());
let opened: Promise<TestDevice | null> | undefined;

async function hasAdapter(): Promise<boolean> {
  return await navigator.gpu?.requestAdapter() != null;
}

/**
 * The device of this test file, opened at the first call, with the adapter's own limits and the features that it grants;
 * null without an adapter, and with `SIDENET_GPU=off`.
 */
export function testDevice(): Promise<TestDevice | null> {
  opened ??= mode === "off" ? Promise.resolve(null) : open();
  return opened;
}

async function open(): Promise<TestDevice | null> {
  if (!(await hasAdapter())) return null;
  const { device, info, features } = await openGpu();
  // Mesa's software driver may crash when a process ends with devices alive.
  globalThis.addEventListener("unload", () => device.destroy());
  return { device, info, features };
}

/** Registers a test that is given the device. A WebGPU error that the test does not catch itself fails it. */
export function gpuTest(name: string, fn: (device: GPUDevice, info: GPUAdapterInfo) => Promise<void>): void {
  // The device outlives the test that opens it, with its pending `lost` promise and its native handles.
  Deno.test({ name, ignore: isIgnored, sanitizeOps: false, sanitizeResources: false }, async () => {
    const opened = await testDevice();
    if (opened === null) {
      throw new AdapterError("Cannot run GPU test: SIDENET_GPU is require, but there is no WebGPU adapter");
    }
    await withErrorScopes(opened.device, () => fn(opened.device, opened.info));
  });
}

/** Runs `fn`, then throws the first error that the device reported meanwhile. An exception of `fn` goes first. */
export async function withErrorScopes(device: GPUDevice, fn: () => Promise<void>): Promise<void> {
  const scopes = ["validation", "out-of-memory", "internal"] as const;
  const errors: string[] = [];
  // Errors outside every scope: those of an earlier test's late work.
  const onError = (event: Event) => {
    event.preventDefault();
    errors.push((event as GPUUncapturedErrorEvent).error.message);
  };
  device.addEventListener("uncapturederror", onError);
  for (const scope of scopes) device.pushErrorScope(scope);
  try {
    await fn();
  } finally {
    for (const scope of scopes) {
      const error = await device.popErrorScope();
      if (error) errors.push(`${scope}: ${error.message}`);
    }
    device.removeEventListener("uncapturederror", onError);
  }
  if (errors.length > 0) throw new Error(`Cannot pass: the device reported ${errors.join("; ")}`);
}
