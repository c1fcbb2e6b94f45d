/** One launch on buffers of its own, on which the variants of a family are checked and timed. */

import type { BuiltKernel } from "./family.ts";

/** Contents of a binding. */
export type TrialTensor = Float32Array<ArrayBuffer> | Float16Array<ArrayBuffer>;

/** What a launch reads and writes, and how it is judged. */
export interface TrialSetup {
  readonly name: string;
  /** What the inputs hold, by the names in `BuiltKernel.bindings`. */
  readonly inputs: Readonly<Record<string, TrialTensor>>;
  /** Elements and types of the outputs. */
  readonly outputs: Readonly<Record<string, { readonly length: number; readonly type: "f32" | "f16" }>>;
  /** What is wrong with the outputs; undefined: nothing. */
  check(outputs: Readonly<Record<string, ArrayLike<number>>>): string | undefined;
}

/** A launch ready to be tried with any of its kernels. */
export interface Trial {
  /**
   * Milliseconds of one run, or what is wrong with the result. A kernel that is wrong is not timed.
   *
   * @param options.budgetMs GPU time to spend.
   * @param options.bestMs What is to be beaten: of a kernel that is slower by far, one run is enough.
   */
  measure(kernel: BuiltKernel, options: { budgetMs: number; bestMs?: number }): Promise<number | string>;
  destroy(): void;
}

/** Elements after every output that no kernel may touch, and what outputs hold beforehand: unwritten ones must not look right. */
const GUARD = 64;
const REPEATS = 3;
const MOST_RUNS = 1000;
/** A kernel that takes so many times the best one's time is not timed again; how late its end may be noticed. */
const HOPELESS = 2, POLL_MS = 11;

/** Allocates and fills the buffers. */
export function createTrial(device: GPUDevice, setup: TrialSetup): Trial {
  const { name, inputs, outputs } = setup;
  const buffers = new Map<string, GPUBuffer>();
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  const upload = (binding: string, data: TrialTensor) => {
    let buffer = buffers.get(binding);
    if (!buffer) {
      const size = Math.ceil(data.byteLength / 16) * 16;
      buffer = device.createBuffer({ label: `${name}.trial.${binding}`, size, usage });
      buffers.set(binding, buffer);
    }
    device.queue.writeBuffer(buffer, 0, data);
  };
  for (const [binding, data] of Object.entries(inputs)) upload(binding, data);
  const blanks = Object.entries(outputs).map(([binding, { length, type }]) => {
    const make = type === "f16" ? Float16Array : Float32Array;
    return [binding, new make(Math.ceil((length + GUARD) / 8) * 8).fill(NaN)] as const;
  });
  for (const [binding, data] of blanks) upload(binding, data);
  const readback = device.createBuffer({
    label: `${name}.trial.readback`,
    size: Math.max(...blanks.map(([binding]) => buffers.get(binding)!.size)),
    usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
  });

  async function read(binding: string, type: "f32" | "f16"): Promise<ArrayLike<number>> {
    const encoder = device.createCommandEncoder({ label: `${name}.trial.read` });
    const buffer = buffers.get(binding)!;
    encoder.copyBufferToBuffer(buffer, 0, readback, 0, buffer.size);
    device.queue.submit([encoder.finish()]);
    await readback.mapAsync(GPUMapMode.READ);
    const bytes = readback.getMappedRange().slice(0, buffer.size);
    readback.unmap();
    return type === "f16" ? new Float16Array(bytes) : new Float32Array(bytes);
  }

  async function judge(): Promise<string | undefined> {
    const values: Record<string, ArrayLike<number>> = {};
    for (const [binding, { length, type }] of Object.entries(outputs)) {
      values[binding] = await read(binding, type);
      for (let i = length; i < values[binding].length; i++) {
        if (!Number.isNaN(values[binding][i])) return `it wrote past the end of "${binding}"`;
      }
    }
    return setup.check(values);
  }

  return {
    async measure(kernel, options) {
      for (const [binding, data] of blanks) upload(binding, data);
      device.pushErrorScope("validation");
      const launch = prepareLaunch(device, kernel, buffers);
      try {
        launch.submit(1);
        const error = await device.popErrorScope();
        if (error) return error.message;
        return await judge() ?? await launch.time(options);
      } finally {
        launch.destroy();
      }
    },
    destroy() {
      for (const buffer of [...buffers.values(), readback]) buffer.destroy();
    },
  };
}

/** The GPU's own clock at both ends of a pass; null where the device has no timestamps. */
function createClock(device: GPUDevice) {
  if (!device.features.has("timestamp-query")) return null;
  const querySet = device.createQuerySet({ type: "timestamp", count: 2 });
  const label = "trial.timestamps", size = 16;
  const { QUERY_RESOLVE, COPY_SRC, COPY_DST, MAP_READ } = GPUBufferUsage;
  const resolved = device.createBuffer({ label, size, usage: QUERY_RESOLVE | COPY_SRC });
  const staging = device.createBuffer({ label, size, usage: MAP_READ | COPY_DST });
  return {
    writes: { querySet, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 },
    resolve(encoder: GPUCommandEncoder): void {
      encoder.resolveQuerySet(querySet, 0, 2, resolved, 0);
      encoder.copyBufferToBuffer(resolved, 0, staging, 0, size);
    },
    /** Milliseconds of the last pass; not above 0 where the clock is of no use. */
    async read(): Promise<number> {
      await staging.mapAsync(GPUMapMode.READ);
      const [began, ended] = new BigUint64Array(staging.getMappedRange().slice(0));
      staging.unmap();
      return Number(ended - began) / 1e6;
    },
    destroy(): void {
      for (const resource of [resolved, staging, querySet]) resource.destroy();
    },
  };
}

/** A kernel with its buffers, to be run some times in one pass. */
function prepareLaunch(device: GPUDevice, kernel: BuiltKernel, buffers: ReadonlyMap<string, GPUBuffer>) {
  const { label, code, entryPoint } = kernel;
  const missing = kernel.bindings.find((binding) => binding !== "params" && !buffers.has(binding));
  if (missing !== undefined) {
    throw new Error(`Cannot try kernel "${label}": its trial must have a buffer for "${missing}"`);
  }
  const module = device.createShaderModule({ label, code });
  const pipeline = device.createComputePipeline({ label, layout: "auto", compute: { module, entryPoint } });
  const params = device.createBuffer({
    label: `${label}.params`,
    size: Math.ceil(kernel.params.byteLength / 16) * 16,
    usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
  });
  device.queue.writeBuffer(params, 0, kernel.params);
  const clock = createClock(device);
  const group = device.createBindGroup({
    label,
    layout: pipeline.getBindGroupLayout(0),
    entries: kernel.bindings.map((binding, i) => ({
      binding: i,
      resource: { buffer: binding === "params" ? params : buffers.get(binding)! },
    })),
  });
  const submit = (times: number) => {
    const encoder = device.createCommandEncoder({ label });
    const pass = encoder.beginComputePass({ label, timestampWrites: clock?.writes });
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    for (let i = 0; i < times; i++) pass.dispatchWorkgroups(...kernel.workgroups);
    pass.end();
    clock?.resolve(encoder);
    device.queue.submit([encoder.finish()]);
  };
  const timeOf = async (times: number) => {
    const start = performance.now();
    submit(times);
    const ms = await clock?.read() ?? 0;
    if (ms > 0) return ms;
    await device.queue.onSubmittedWorkDone();
    return performance.now() - start;
  };
  return {
    submit,
    /**
     * One run gives the scale, then batches fill the budget: without timestamps, because completion is noticed on a 10 ms poll in Deno;
     * with them, because the first run finds cold caches and a slow clock.
     */
    async time({ budgetMs, bestMs = Infinity }: { budgetMs: number; bestMs?: number }): Promise<number> {
      const once = await timeOf(1);
      if (once > HOPELESS * bestMs + POLL_MS) return once;
      const times = Math.max(1, Math.min(MOST_RUNS, Math.round(budgetMs / REPEATS / Math.max(once, 0.02))));
      let best = Infinity;
      for (let i = 0; i < REPEATS; i++) best = Math.min(best, await timeOf(times) / times);
      return best;
    },
    destroy() {
      params.destroy();
      clock?.destroy();
    },
  };
}
