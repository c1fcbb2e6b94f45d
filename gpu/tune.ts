/**
 * The measured choice between matmul variants: every candidate is compared with plain loops on sampled outputs, then
 * timed; the fastest correct one is kept under adapter, kernel source and shape range. Where the choice is kept (a file,
 * the browser's storage) is the caller's matter.
 */

import { ACTIVATIONS } from "./ops/activation_functions.ts";
import { defaultVariant, matmulCandidates, splitLength } from "./ops/matmul_kernel.ts";
import type { MatmulAdapter, MatmulKernel, MatmulSpec, MatmulVariant } from "./ops/matmul_kernel.ts";

/** Where choices are kept between runs. */
export interface TuneCache {
  get(key: string): Promise<string | undefined> | string | undefined;
  set(key: string, value: string): unknown;
}

/** Settings of `chooseVariant`. */
export interface TuneOptions {
  cache: TuneCache;
  /** Names the adapter and its driver, for instance vendor, description and device joined. */
  adapterKey: string;
  /** GPU time to spend on each candidate. */
  budgetMs?: number;
}

/** Sizes within one power-of-two step (with two half steps) share a choice. */
function bucket(size: number): number {
  return Math.round(2 * Math.log2(size));
}

/** 53-bit FNV-like hash of a text, enough to notice that a kernel's source has changed. */
function hashText(text: string): string {
  let high = 0xdeadbeef;
  let low = 0x41c6ce57;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    high = Math.imul(high ^ unit, 0x9e3779b1);
    low = Math.imul(low ^ unit, 0x5f356495);
  }
  return (high >>> 0).toString(16) + (low >>> 0).toString(16);
}

/** The cache key of a choice: adapter, sources of all candidates, and what in the spec matters to speed. */
export function tuneKey(
  adapterKey: string,
  spec: MatmulSpec,
  candidates: readonly MatmulVariant[],
): string {
  const sources = hashText(candidates.map((variant) => variant.name + variant.build(spec).code).join("\n"));
  const shape = [spec.m, spec.n, spec.k, spec.batch, spec.splitK].map(bucket).join(".");
  return `${adapterKey}|matmul|${sources}|${shape}`;
}

/** Names the adapter and its driver in cache keys. */
export function adapterKeyOf(environment: MatmulAdapter): string {
  return [environment.vendor, environment.architecture, environment.description].join("/");
}

/** Variants chosen so far by spec, for one set of measured choices: building a key builds every candidate's source. */
const chosen = new WeakMap<ReadonlyMap<string, string>, Map<string, MatmulVariant>>();

/** The measured choice for a product where there is one, else the fixed default of the adapter's kind. */
export function tunedVariant(
  spec: MatmulSpec,
  environment: MatmulAdapter & { choices: ReadonlyMap<string, string> },
): MatmulVariant {
  const { choices } = environment;
  if (choices.size === 0) return defaultVariant(spec, environment);
  let known = chosen.get(choices);
  if (!known) chosen.set(choices, known = new Map());
  const id = JSON.stringify(spec);
  let variant = known.get(id);
  if (!variant) {
    const candidates = matmulCandidates(spec, environment);
    const name = choices.get(tuneKey(adapterKeyOf(environment), spec, candidates));
    variant = candidates.find((candidate) => candidate.name === name) ?? defaultVariant(spec, environment);
    known.set(id, variant);
  }
  return variant;
}

/** The fastest correct candidate on this device: from the cache, or measured and then cached. */
export async function chooseVariant(
  device: GPUDevice,
  spec: MatmulSpec,
  candidates: readonly MatmulVariant[],
  options: TuneOptions,
): Promise<MatmulVariant> {
  const key = tuneKey(options.adapterKey, spec, candidates);
  const known = await options.cache.get(key);
  const cached = candidates.find((variant) => variant.name === known);
  if (cached) return cached;
  let best: MatmulVariant | undefined;
  let bestMs = Infinity;
  const problems: string[] = [];
  const trial = createTrial(device, spec);
  try {
    for (const variant of candidates) {
      const result = await trial.measure(variant.build(spec), options.budgetMs ?? 100);
      if (typeof result === "string") problems.push(`${variant.name}: ${result}`);
      else if (result < bestMs) [best, bestMs] = [variant, result];
    }
  } finally {
    trial.destroy();
  }
  if (!best) {
    throw new Error(
      `Cannot choose a matmul kernel: at least one candidate must be right, current failures are ${
        problems.join("; ") || "none, because there is no candidate"
      }`,
    );
  }
  await options.cache.set(key, best.name);
  return best;
}

/** Elements between the start and the end of one operand over the whole batch. */
export function operandLengths(spec: MatmulSpec): { a: number; b: number; c: number } {
  const span = (stride: number, size: number) => (spec.batch - 1) * stride + size;
  return {
    a: span(spec.strideA, spec.m * spec.k),
    b: span(spec.strideB, spec.k * spec.n),
    c: spec.splitK > 1 && spec.batch > 1
      ? spec.splitK * spec.batch * spec.strideC
      : (spec.splitK - 1) * spec.m * spec.n + span(spec.strideC, spec.m * spec.n),
  };
}

/** One set of buffers on which the candidates for a spec are checked and timed. */
export interface Trial {
  /** Milliseconds of one run, or what is wrong with the result. */
  measure(kernel: MatmulKernel, budgetMs: number): Promise<number | string>;
  destroy(): void;
}

/** Values that f16 holds exactly: multiples of 1/64 in [-0.5, 0.5), so that storage type does not blur the check. */
function testValue(index: number, salt: number): number {
  const mixed = Math.imul(index + 1, 0x9e3779b1) ^ Math.imul(salt, 0x85ebca6b);
  return ((Math.imul(mixed ^ (mixed >>> 15), 0x2c1b3c6d) >>> 20) % 64 - 32) / 64;
}

/** Creates inputs and output for `spec`. */
export function createTrial(device: GPUDevice, spec: MatmulSpec): Trial {
  const lengths = operandLengths(spec);
  const types = { a: spec.typeA, b: spec.typeB, c: spec.typeC, bias: "f32", residual: spec.typeC } as const;
  const counts = { ...lengths, bias: spec.n, residual: lengths.c };
  const salts = { a: 1, b: 2, c: 0, bias: 3, residual: 4 };
  const buffers = new Map<string, GPUBuffer>();
  const storage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  for (const name of ["a", "b", "c", "bias", "residual"] as const) {
    if ((name === "bias" && !spec.bias) || (name === "residual" && !spec.residual)) continue;
    const make = types[name] === "f16" ? Float16Array : Float32Array;
    const padded = Math.ceil(counts[name] / 4) * 4;
    const data = new make(padded);
    if (name === "c") data.fill(NaN); // an output left unwritten must not look right
    else for (let i = 0; i < padded; i++) data[i] = testValue(i, salts[name]);
    const buffer = device.createBuffer({
      label: `matmul.trial.${name}`,
      size: data.byteLength,
      usage: storage,
    });
    device.queue.writeBuffer(buffer, 0, data);
    buffers.set(name, buffer);
  }
  const outBytes = buffers.get("c")!.size;
  const readback = device.createBuffer({
    label: "matmul.trial.readback",
    size: outBytes,
    usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
  });

  async function readOutput(): Promise<ArrayLike<number>> {
    const encoder = device.createCommandEncoder({ label: "matmul.trial.read" });
    encoder.copyBufferToBuffer(buffers.get("c")!, 0, readback, 0, outBytes);
    device.queue.submit([encoder.finish()]);
    await readback.mapAsync(GPUMapMode.READ);
    const bytes = readback.getMappedRange().slice(0);
    readback.unmap();
    return spec.typeC === "f16" ? new Float16Array(bytes) : new Float32Array(bytes);
  }

  async function measure(kernel: MatmulKernel, budgetMs: number): Promise<number | string> {
    device.pushErrorScope("validation");
    const module = device.createShaderModule({ label: kernel.label, code: kernel.code });
    const pipeline = device.createComputePipeline({
      label: kernel.label,
      layout: "auto",
      compute: { module, entryPoint: kernel.entryPoint },
    });
    const params = device.createBuffer({
      label: `${kernel.label}.params`,
      size: kernel.params.byteLength,
      usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
    });
    device.queue.writeBuffer(params, 0, kernel.params);
    const group = device.createBindGroup({
      label: kernel.label,
      layout: pipeline.getBindGroupLayout(0),
      entries: kernel.bindings.map((name, binding) => ({
        binding,
        resource: { buffer: name === "params" ? params : buffers.get(name)! },
      })),
    });
    const submit = (times: number) => {
      const encoder = device.createCommandEncoder({ label: kernel.label });
      const pass = encoder.beginComputePass({ label: kernel.label });
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      for (let i = 0; i < times; i++) pass.dispatchWorkgroups(...kernel.workgroups);
      pass.end();
      device.queue.submit([encoder.finish()]);
    };
    const timeOf = async (times: number) => {
      const start = performance.now();
      submit(times);
      await device.queue.onSubmittedWorkDone();
      return performance.now() - start;
    };
    try {
      submit(1);
      const error = await device.popErrorScope();
      if (error) return error.message;
      const wrong = checkSamples(spec, await readOutput());
      if (wrong) return wrong;
      // Completion is noticed on a 10 ms poll in Deno: one run gives the scale, then a batch fills the budget.
      const once = await timeOf(1);
      const times = Math.max(1, Math.min(1000, Math.round(budgetMs / 3 / Math.max(once, 0.02))));
      let best = Infinity;
      for (let i = 0; i < 3; i++) best = Math.min(best, await timeOf(times) / times);
      return best;
    } finally {
      params.destroy();
    }
  }

  return {
    measure,
    destroy() {
      for (const buffer of buffers.values()) buffer.destroy();
      readback.destroy();
    },
  };
}

/** Compares outputs at the corners, and at places spread over the whole, with plain loops; says what differs. */
function checkSamples(spec: MatmulSpec, out: ArrayLike<number>): string | undefined {
  const places = 256;
  const total = spec.m * spec.n * spec.batch * spec.splitK;
  const chunk = splitLength(spec);
  for (let place = 0; place < places; place++) {
    const index = place === places - 1 ? total - 1 : Math.floor(place * total / places);
    const column = index % spec.n;
    const row = Math.floor(index / spec.n) % spec.m;
    const slice = Math.floor(index / (spec.n * spec.m));
    const batch = slice % spec.batch;
    const split = Math.floor(slice / spec.batch);
    const baseA = batch * spec.strideA;
    const baseB = batch * spec.strideB;
    const at = split * (spec.batch > 1 ? spec.batch * spec.strideC : spec.m * spec.n) + batch * spec.strideC +
      row * spec.n + column;
    let sum = 0;
    let size = 0;
    for (let k = split * chunk; k < Math.min(spec.k, (split + 1) * chunk); k++) {
      const a = testValue(baseA + (spec.transposeA ? k * spec.m + row : row * spec.k + k), 1);
      const b = testValue(baseB + (spec.transposeB ? column * spec.k + k : k * spec.n + column), 2);
      sum += a * b;
      size += Math.abs(a * b);
    }
    const linear = sum + (spec.bias ? testValue(column, 3) : 0);
    const active = spec.activation === "none" ? linear : ACTIVATIONS[spec.activation].value(linear);
    const expected = active + (spec.residual ? testValue(at, 4) : 0);
    const tolerance = 1e-5 + 1e-6 * size + (spec.typeC === "f16" ? 1e-3 * (1 + Math.abs(expected)) : 0);
    if (!(Math.abs(out[at] - expected) <= tolerance)) {
      return `C[${slice} ${row} ${column}] must be ${expected}, current value is ${out[at]}`;
    }
  }
  return undefined;
}
