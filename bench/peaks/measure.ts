/** The adapter's own peaks: arithmetic in registers, storage and workgroup memory, uploads, a launch. Every result is checked. */

import type { Gpu } from "../../gpu/device.ts";
import { PassTimes, timesLaunches } from "../../gpu/profiling/recorder.ts";
import { numbered } from "../../gpu/shader.ts";
import type { Peaks } from "../../train/planning/rates.ts";
import {
  chainFlops,
  type ChainForm,
  chainKernel,
  chainResult,
  COPY_KERNEL,
  EMPTY_KERNEL,
  SHARED_KERNEL,
  sharedBytes,
  sharedResult,
  WORKGROUP,
} from "./_kernels.ts";

const STORAGE = 0x80, COPY_SRC = 0x4, COPY_DST = 0x8, MAP_READ = 0x1, UNIFORM = 0x40;
/** Forms of arithmetic that are tried: how many chains fit the registers is the adapter's matter. */
const CHAINS = [2, 4, 8];
/** Workgroups of a launch: enough for 128 cores with 16 each, few for a software adapter. */
const GROUPS = { software: 64, hardware: 2048 };
/** Bytes of each side of a copy: more than the caches of today's cards, of which the largest hold 128 MiB or less. */
const COPY_BYTES = { software: 2 ** 26, hardware: 2 ** 28 };
const UPLOAD_BYTES = 2 ** 26;
/** Milliseconds of one measured series, at least, and how many there are: short ones, because other work on the machine slows some of them. */
const SERIES = { exact: { leastMs: 3, count: 12 }, polled: { leastMs: 150, count: 2 } };
const REPEATS = 3;
/**
 * How many times as long as the shortest launch one must take whose loop is timed: what it does before the loop, such as filling workgroup
 * memory behind a barrier, which software adapters are slow at, is then a sixteenth of it. Up to so many milliseconds.
 */
const GROWN = 16, GROWN_MS = 1000;

/** How much is done for a figure. */
export interface PeakEffort {
  /** Of one series, at least. */
  readonly leastMs: number;
  /** Series of which the best counts. */
  readonly count: number;
  /** Of each side of a copy. */
  readonly copyBytes: number;
}

/** A kernel with its buffers. */
interface Probe {
  readonly code: string;
  readonly label: string;
  /** Words of the uniform for so much work: launches grow with it until they can be timed. */
  params(work: number): ArrayBuffer;
  readonly buffers: readonly GPUBuffer[];
  readonly groups: number;
  /** Launches in a row for so much work; one by default. */
  launches?(work: number): number;
  /** Says what is wrong after so many launches of so much work since the last time. */
  check(work: number, launches: number): Promise<string | null>;
}

/**
 * Measures them.
 *
 * @param tell Told what is being measured.
 * @throws {Error} where a kernel's result is wrong
 */
export async function measurePeaks(
  gpu: Gpu,
  tell: (what: string) => void = () => {},
  effort: PeakEffort = {
    ...timesLaunches(gpu) ? SERIES.exact : SERIES.polled,
    copyBytes: gpu.isSoftware ? COPY_BYTES.software : COPY_BYTES.hardware,
  },
): Promise<Peaks> {
  const best = async (type: ChainForm["type"]) => {
    let most = 0;
    for (const chains of CHAINS) {
      for (const fused of [true, false]) {
        most = Math.max(most, await arithmetic(gpu, { type, chains, fused }, effort));
      }
    }
    return most;
  };
  tell("f32 arithmetic");
  const f32 = await best("f32");
  tell("f16 arithmetic");
  const f16 = gpu.features.has("shader-f16") ? await best("f16") : null;
  tell("copying");
  const copy = await copying(gpu, effort);
  tell("workgroup memory");
  const workgroup = await workgroupMemory(gpu, effort);
  tell("launches and uploads");
  return {
    f32_gflops: round(f32),
    f16_gflops: f16 === null ? null : round(f16),
    copy_gbps: round(copy),
    workgroup_gbps: round(workgroup),
    upload_gbps: round(await uploading(gpu)),
    launch_us: round(await launching(gpu, effort)),
  };
}

function round(value: number): number {
  return Number(value.toPrecision(4));
}

/** GFLOP/s of one form. */
async function arithmetic(gpu: Gpu, form: ChainForm, effort: PeakEffort): Promise<number> {
  const groups = gpu.isSoftware ? GROUPS.software : GROUPS.hardware;
  using buffers = new Buffers(gpu);
  const out = buffers.create(groups * WORKGROUP * 4);
  const { ms, work } = await measure(gpu, effort, {
    label: `peak.${form.type}.${form.chains}${form.fused ? ".fma" : ""}`,
    code: chainKernel(form),
    params: (turns) => words([turns], [-1, 1]),
    buffers: [out],
    groups,
    check: async () => {
      const values = new Float32Array(await readBytes(gpu, out, 0, out.size));
      const wrong = values.findIndex((value, i) => value !== chainResult(form, i));
      return wrong < 0
        ? null
        : `invocation ${wrong} must give ${chainResult(form, wrong)}, it gave ${values[wrong]}`;
    },
  });
  return groups * WORKGROUP * chainFlops(form, work) / ms / 1e6;
}

/** GB/s read and written. */
async function copying(gpu: Gpu, effort: PeakEffort): Promise<number> {
  const bytes = Math.min(effort.copyBytes, gpu.maxBindingBytes, gpu.maxBufferBytes);
  const vectors = Math.floor(bytes / 16), groups = Math.min(4096, Math.ceil(vectors / WORKGROUP));
  using buffers = new Buffers(gpu);
  const x = buffers.create(vectors * 16), y = buffers.create(vectors * 16);
  const pattern = Uint32Array.from({ length: 2 ** 18 }, (_, i) => Math.imul(i, 0x9e3779b1));
  for (let at = 0; at < x.size; at += pattern.byteLength) {
    const part = pattern.subarray(0, Math.min(pattern.length, (x.size - at) / 4));
    gpu.device.queue.writeBuffer(x, at, part);
  }
  const { ms, work } = await measure(gpu, effort, {
    label: "peak.copy",
    code: COPY_KERNEL,
    params: () => words([vectors, groups * WORKGROUP]),
    buffers: [x, y],
    groups,
    launches: (work) => work,
    check: async () => {
      for (const at of [0, Math.floor(vectors / 3), vectors - 16]) {
        const values = new Uint32Array(await readBytes(gpu, y, at * 16, 256));
        for (const [i, value] of values.entries()) {
          const expected = (pattern[(at * 4 + i) % pattern.length] + 1) >>> 0;
          if (value !== expected) return `word ${at * 4 + i} must be ${expected}, it is ${value}`;
        }
      }
      return null;
    },
  });
  return 2 * vectors * 16 * work / ms / 1e6;
}

/** GB/s read from workgroup memory. */
async function workgroupMemory(gpu: Gpu, effort: PeakEffort): Promise<number> {
  const groups = gpu.isSoftware ? GROUPS.software : GROUPS.hardware, stride = WORKGROUP;
  using buffers = new Buffers(gpu);
  const out = buffers.create(groups * WORKGROUP * 4);
  const { ms, work } = await measure(gpu, effort, {
    label: "peak.workgroup",
    code: SHARED_KERNEL,
    params: (turns) => words([turns, stride]),
    buffers: [out],
    groups,
    check: async (turns) => {
      const values = new Uint32Array(await readBytes(gpu, out, 0, out.size));
      const expected = Array.from(
        { length: WORKGROUP },
        (_, lane) => sharedResult(lane, { turns, stride }),
      );
      const wrong = values.findIndex((value, i) => value !== expected[i % WORKGROUP]);
      return wrong < 0
        ? null
        : `invocation ${wrong} must give ${expected[wrong % WORKGROUP]}, it gave ${values[wrong]}`;
    },
  });
  return groups * WORKGROUP * sharedBytes(work) / ms / 1e6;
}

/** Microseconds of a launch with nothing to do, among its like. */
async function launching(gpu: Gpu, effort: PeakEffort): Promise<number> {
  using buffers = new Buffers(gpu);
  const out = buffers.create(16);
  let before = 0;
  const { ms, work } = await measure(gpu, effort, {
    label: "peak.launch",
    code: EMPTY_KERNEL,
    params: () => new ArrayBuffer(0),
    buffers: [out],
    groups: 1,
    launches: (work) => work,
    check: async (_work, launches) => {
      const [count] = new Uint32Array(await readBytes(gpu, out, 0, 4)), made = count - before;
      before = count;
      return made === launches ? null : `${launches} launches must be counted, ${made} were`;
    },
  });
  return 1000 * ms / work;
}

/** GB/s of bytes handed over by the host, until the GPU has them. */
async function uploading(gpu: Gpu): Promise<number> {
  const { device } = gpu, bytes = Math.min(UPLOAD_BYTES, gpu.maxBufferBytes);
  using buffers = new Buffers(gpu);
  const to = buffers.create(bytes), data = new Uint8Array(bytes).fill(7);
  const time = async (times: number) => {
    const started = performance.now();
    for (let i = 0; i < times; i++) device.queue.writeBuffer(to, 0, data);
    device.queue.submit([]);
    await device.queue.onSubmittedWorkDone();
    return performance.now() - started;
  };
  await time(1);
  // The end is seen on a 10 ms poll: what more writes take more is exact enough.
  let best = Infinity;
  for (let i = 0; i < REPEATS; i++) best = Math.min(best, (await time(7) - await time(1)) / 6);
  return bytes / Math.max(best, 0.01) / 1e6;
}

/** The best time of work that lasts long enough to be timed. */
async function measure(
  gpu: Gpu,
  { leastMs, count }: PeakEffort,
  probe: Probe,
): Promise<{ ms: number; work: number }> {
  const { device } = gpu, { label, code, buffers, groups } = probe;
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ label, code });
  const pipeline = device.createComputePipeline({
    label,
    layout: "auto",
    compute: { module, entryPoint: "main" },
  });
  const error = await device.popErrorScope();
  if (error) throw new Error(`Cannot measure ${label}: ${error.message}\n${numbered(code)}`);
  const paramBytes = probe.params(1).byteLength;
  using own = new Buffers(gpu);
  const uniform = paramBytes > 0 ? own.create(paramBytes, UNIFORM | COPY_DST) : null;
  const group = device.createBindGroup({
    label,
    layout: pipeline.getBindGroupLayout(0),
    entries: [...uniform ? [uniform] : [], ...buffers].map((buffer, binding) => ({
      binding,
      resource: { buffer },
    })),
  });
  const isExact = timesLaunches(gpu);
  const run = async (work: number, series: number): Promise<number> => {
    if (uniform) device.queue.writeBuffer(uniform, 0, probe.params(work));
    const times = isExact ? new PassTimes(gpu) : null, launches = probe.launches?.(work) ?? 1;
    const encoder = device.createCommandEncoder({ label });
    for (let i = 0; i < series; i++) {
      const pass = encoder.beginComputePass({ label, timestampWrites: times?.next() });
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      for (let launch = 0; launch < launches; launch++) pass.dispatchWorkgroups(groups);
      pass.end();
    }
    const started = performance.now();
    device.queue.submit([encoder.finish()]);
    if (times) return Math.min(...(await times.read()).map(({ ms }) => ms));
    await device.queue.onSubmittedWorkDone();
    return (performance.now() - started) / series;
  };
  const time = async (work: number, series: number) => {
    const ms = await run(work, series),
      wrong = await probe.check(work, series * (probe.launches?.(work) ?? 1));
    if (wrong !== null) throw new Error(`Cannot measure ${label} on "${gpu.name}": ${wrong}`);
    return ms;
  };
  let work = 4;
  await time(work, 1); // warms up
  let ms = await time(work, 1);
  const enoughMs = Math.max(leastMs, probe.launches ? 0 : Math.min(GROWN * ms, GROWN_MS));
  while (ms < enoughMs && work < 2 ** 20) {
    work = Math.ceil(work * Math.min(16, Math.max(2, 1.2 * enoughMs / Math.max(ms, 0.01))));
    ms = await time(work, 1);
  }
  // Without the GPU's clock every series is a submission of its own.
  if (isExact) return { ms: Math.min(ms, await time(work, count)), work };
  for (let i = 0; i < count; i++) ms = Math.min(ms, await time(work, 1));
  return { ms, work };
}

/** Buffers that go together. */
class Buffers {
  readonly #gpu: Gpu;
  readonly #all: GPUBuffer[] = [];

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  create(size: number, usage = STORAGE | COPY_SRC | COPY_DST): GPUBuffer {
    const buffer = this.#gpu.memory.create("peaks", size, usage);
    this.#all.push(buffer);
    return buffer;
  }

  [Symbol.dispose](): void {
    for (const buffer of this.#all) this.#gpu.memory.destroy(buffer);
  }
}

/** Words of a uniform: whole numbers, then floats. */
function words(whole: readonly number[], floats: readonly number[] = []): ArrayBuffer {
  const bytes = new ArrayBuffer(Math.ceil((whole.length + floats.length) / 4) * 16);
  new Uint32Array(bytes).set(whole);
  new Float32Array(bytes).set(floats, whole.length);
  return bytes;
}

async function readBytes(
  { device }: Gpu,
  buffer: GPUBuffer,
  offset: number,
  bytes: number,
): Promise<ArrayBuffer> {
  const staging = device.createBuffer({ label: "peaks", size: bytes, usage: MAP_READ | COPY_DST });
  const encoder = device.createCommandEncoder({ label: "peaks" });
  encoder.copyBufferToBuffer(buffer, offset, staging, 0, bytes);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(MAP_READ);
  const copy = staging.getMappedRange().slice(0);
  staging.destroy();
  return copy;
}
