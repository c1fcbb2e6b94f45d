/** Compiling ahead: what is compiled where, what is told, and that a session computes the same after it. */
import assert from "node:assert/strict";
import type { KernelSpec } from "../../../../gpu/lower.ts";
import { Runtime } from "../../../../gpu/runtime.ts";
import { PipelineCache } from "../../../../gpu/shader.ts";
import { compileKernels } from "../../../../train/runtime/device/compile.ts";
import type { Device } from "../../../../train/runtime/device/device.ts";
import { engineTest } from "../../../_util/engine.ts";

const kernel = (code: string, label = "k"): KernelSpec => ({
  label,
  code,
  entryPoint: "main",
  params: { binding: 0, bytes: 16 },
  storage: [1],
});

/** A device that takes its time for what nobody has compiled before, as a driver with a cache on the disk does. */
class FakeDevice implements Pick<Device, "info" | "compile" | "onCompile" | "openHelper"> {
  readonly info = { environment: { isSoftware: true } } as Device["info"];
  readonly compiled: string[] = [];
  readonly told: [number, number][] = [];
  readonly helpers: FakeDevice[] = [];
  isClosed = false;
  constructor(readonly disk: Set<string> | null, readonly ms = 250) {}
  onCompile = (done: number, total: number) => void this.told.push([done, total]);
  openHelper = () => {
    const helper = new FakeDevice(this.disk, this.ms);
    this.helpers.push(helper);
    return Promise.resolve(helper as unknown as Device);
  };
  async compile(kernels: readonly KernelSpec[]): Promise<void> {
    for (const kernel of kernels) await this.#compile(kernel);
  }
  async #compile({ code }: KernelSpec): Promise<void> {
    const isKnown = this.disk?.has(code) ?? false;
    await new Promise((resolve) => setTimeout(resolve, isKnown ? 1 : this.ms));
    this.disk?.add(code);
    this.compiled.push(code);
  }
  [Symbol.asyncDispose](): Promise<void> {
    this.isClosed = true;
    return Promise.resolve();
  }
}

const asDevice = (device: FakeDevice) => device as unknown as Device;

Deno.test("kernels of equal text are compiled once, and each is told", async () => {
  const device = new FakeDevice(new Set(["a", "b", "cc"])),
    kernels = ["a", "b", "a", "cc"].map((c) => kernel(c));
  await compileKernels(asDevice(device), kernels);
  assert.deepEqual(device.compiled, ["cc", "a", "b"]); // the longest first
  assert.deepEqual(device.told, [[0, 3], [1, 3], [3, 3]]);
  assert.equal(device.helpers.length, 0); // the driver knew them
  await compileKernels(asDevice(device), [...kernels, kernel("d")]);
  assert.deepEqual(device.compiled.slice(3), ["d"]);
});

Deno.test("what no driver knows is compiled by several devices, and all of it arrives at the first", async () => {
  const device = new FakeDevice(new Set()), codes = ["eeeee", "dddd", "ccc", "bb", "a"];
  await compileKernels(asDevice(device), codes.map((code) => kernel(code)));
  assert.deepEqual(device.compiled.toSorted(), codes.toSorted());
  if (navigator.hardwareConcurrency > 1) {
    assert.ok(device.helpers.some(({ compiled }) => compiled.length > 0));
  }
  assert.ok(device.helpers.every(({ isClosed }) => isClosed));
});

Deno.test("devices that share no cache stop helping, and nothing is left out", async () => {
  const device = new FakeDevice(null), codes = Array.from({ length: 8 }, (_, i) => "x".repeat(i + 1));
  await compileKernels(asDevice(device), codes.map((code) => kernel(code)));
  assert.deepEqual(device.compiled.toSorted(), codes.toSorted());
  const helped = device.helpers.reduce((sum, { compiled }) => sum + compiled.length, 0);
  assert.ok(helped < codes.length - 1, `${helped} compiled twice`);
});

Deno.test("compiling ends when it is asked to", async () => {
  const device = new FakeDevice(new Set(), 220), stop = new AbortController();
  device.onCompile = (done) => void (done === 1 && stop.abort(new Error("enough")));
  const compiling = compileKernels(asDevice(device), ["a", "b", "c"].map((c) => kernel(c)), stop.signal);
  await assert.rejects(compiling, /enough/);
  assert.equal(device.compiled.length, 1);
});

const SOURCE = `struct Params { n: u32, }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<f32>;
@compute @workgroup_size(1)
fn main(@builtin(global_invocation_id) id: vec3u) { if (id.x < params.n) { x[id.x] = 1.0; } }
`;

engineTest("a runtime compiles ahead of loading, and says what is wrong with a text", async (gpu) => {
  const runtime = new Runtime(gpu),
    pipelines = PipelineCache.of(gpu.device),
    before = gpu.memory.allocatedBytes;
  const own = kernel(`${SOURCE}// ahead\n`, "ahead");
  assert.ok(!pipelines.has(own.code));
  await runtime.compile([own]);
  assert.ok(pipelines.has(own.code));
  const { size } = pipelines;
  await runtime.compile([own]);
  assert.equal(pipelines.size, size);
  assert.equal(gpu.memory.allocatedBytes, before);
  await assert.rejects(
    runtime.compile([kernel(SOURCE.replace("1.0", "nothing"), "broken")]),
    /^Error: Cannot prepare broken: [^]*nothing[^]* 1 \| struct Params/,
  );
});
