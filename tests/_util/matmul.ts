/** Products of matrices by one kernel of the family, held against plain loops. */

import assert from "node:assert/strict";
import { plainSpec } from "../../bench/matmul.ts";
import type { KernelAdapter } from "../../gpu/op.ts";
import { ACTIVATIONS } from "../../gpu/ops/activation_functions.ts";
import { halfProductBound, MATMUL, MATMUL_VARIANTS } from "../../gpu/ops/matmul_kernel.ts";
import type { MatmulSpec, MatmulVariant } from "../../gpu/ops/matmul_kernel.ts";
import { defaultVariant, PLAIN_GPU } from "../../gpu/tuning/family.ts";
import { operandLengths } from "../../gpu/tuning/matmul_trial.ts";
import { createPrng } from "../../lib/random.ts";

export { plainSpec as spec };

export const defaultOf = (s: MatmulSpec, adapter: KernelAdapter) =>
  defaultVariant(MATMUL, s, adapter) as MatmulVariant;

/** Bytes before and after every tensor: of inputs NaN, which shows where one is read, of C a mark that no kernel may touch. */
const GUARD_BYTES = 256;
const MARK = 7;

type Inputs = Record<"a" | "b" | "bias" | "residual" | "preactivation", Float32Array>;

/** Random inputs, rounded to the storage type. What lies between batch entries is NaN: a kernel that reads it shows. */
export function randomInputs(s: MatmulSpec): Inputs {
  const prng = createPrng(s.m, s.n, s.k);
  const lengths = operandLengths(s);
  const fill = (length: number, type: "f32" | "f16", inUse: (index: number) => boolean = () => true) =>
    Float32Array.from({ length }, (_, index) => {
      const value = prng.uniform() * 2 - 1;
      if (!inUse(index)) return NaN;
      return type === "f16" ? Math.f16round(value) : value;
    });
  const within = (stride: number, size: number) => (index: number) => stride === 0 || index % stride < size;
  return {
    a: fill(lengths.a, s.typeA, within(s.strideA, s.m * s.k)),
    b: fill(lengths.b, s.typeB, within(s.strideB, s.k * s.n)),
    bias: fill(s.n, "f32"),
    residual: fill(lengths.c, s.typeC),
    preactivation: fill(lengths.c, s.typeC),
  };
}

/** An element of C; `size` is Σ|a·b|, `linear` what the activation is applied to. */
interface Expected {
  index: number;
  value: number;
  size: number;
  linear: number;
}

/** The definition: plain loops in f64. Returns C by split, batch, row and column, and the sums of op(A) by split and row. */
function reference(s: MatmulSpec, inputs: Inputs): { out: Expected[]; sums: number[] } {
  const out: Expected[] = [], sums: number[] = [];
  const chunk = s.splitK > 1 ? Math.ceil(Math.ceil(s.k / s.splitK) / 16) * 16 : s.k;
  for (let split = 0; split < s.splitK; split++) {
    for (let batch = 0; batch < s.batch; batch++) {
      const start = split * (s.batch > 1 ? s.batch * s.strideC : s.m * s.n) + batch * s.strideC;
      for (let row = 0; row < s.m; row++) {
        const end = Math.min(s.k, (split + 1) * chunk);
        const a = (k: number) => inputs.a[batch * s.strideA + (s.transposeA ? k * s.m + row : row * s.k + k)];
        sums.push(0);
        for (let k = split * chunk; k < end; k++) sums[sums.length - 1] += a(k);
        for (let column = 0; column < s.n; column++) {
          let sum = 0, size = 0;
          for (let k = split * chunk; k < end; k++) {
            const product = a(k) *
              inputs.b[batch * s.strideB + (s.transposeB ? column * s.k + k : k * s.n + column)];
            sum += product;
            size += Math.abs(product);
          }
          if (s.bias) sum += inputs.bias[column];
          const index = start + row * s.n + column, linear = sum;
          if (s.activation !== "none") {
            const { value, slope } = ACTIVATIONS[s.activation];
            sum = s.preactivation === "read" ? sum * slope(inputs.preactivation[index]) : value(sum);
          }
          if (s.residual) sum += inputs.residual[index];
          out.push({ index, value: sum, size, linear });
        }
      }
    }
  }
  return { out, sums };
}

/** What a kernel has written: C, what its activation was applied to, sums of op(A), and the guards on either side of each. */
export interface Written {
  out: Float32Array;
  preactivation: Float32Array;
  sums: Float32Array;
  guards: Float32Array;
}

/** Runs one kernel. */
export async function runKernel(
  device: GPUDevice,
  variant: MatmulVariant,
  s: MatmulSpec,
  inputs: Inputs,
): Promise<Written> {
  const kernel = variant.build(s);
  const lengthC = operandLengths(s).c, lengthSums = s.splitK * s.m;
  const blank = (length: number) => new Float32Array(length).fill(NaN);
  const storage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
  const owned: GPUBuffer[] = [];
  const upload = (data: Float32Array, type: "f32" | "f16", around = NaN) => {
    const guard = GUARD_BYTES / (type === "f16" ? 2 : 4);
    const size = Math.ceil(data.length / 8) * 8 + 2 * guard;
    const padded = (type === "f16" ? new Float16Array(size) : new Float32Array(size)).fill(around);
    padded.set(data, guard);
    const buffer = device.createBuffer({ label: kernel.label, size: padded.byteLength, usage: storage });
    device.queue.writeBuffer(buffer, 0, padded);
    owned.push(buffer);
    return { buffer, offset: GUARD_BYTES };
  };
  const params = device.createBuffer({
    label: `${kernel.label}.params`,
    size: kernel.params.byteLength,
    usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
  });
  device.queue.writeBuffer(params, 0, kernel.params);
  const buffers = {
    params: { buffer: params },
    a: upload(inputs.a, s.typeA),
    b: upload(inputs.b, s.typeB),
    c: upload(blank(lengthC), s.typeC, MARK),
    bias: upload(inputs.bias, "f32"),
    residual: upload(inputs.residual, s.typeC),
    preactivation: s.preactivation === "written"
      ? upload(blank(lengthC), s.typeC, MARK)
      : upload(inputs.preactivation, s.typeC, MARK),
    sums: upload(blank(lengthSums), "f32", MARK),
  };
  const module = device.createShaderModule({ label: kernel.label, code: kernel.code });
  const pipeline = device.createComputePipeline({
    label: kernel.label,
    layout: "auto",
    compute: { module, entryPoint: kernel.entryPoint },
  });
  const group = device.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: kernel.bindings.map((name, binding) => ({ binding, resource: buffers[name] })),
  });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, group);
  pass.dispatchWorkgroups(...kernel.workgroups);
  pass.end();
  device.queue.submit([encoder.finish()]);
  const guards: number[] = [];
  const read = async ({ buffer }: { buffer: GPUBuffer }, type: "f32" | "f16", length: number) => {
    const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
    const readback = device.createBuffer({ label: "readback", size: buffer.size, usage });
    const copy = device.createCommandEncoder();
    copy.copyBufferToBuffer(buffer, 0, readback, 0, readback.size);
    device.queue.submit([copy.finish()]);
    await readback.mapAsync(GPUMapMode.READ);
    const bytes = readback.getMappedRange().slice(0);
    readback.destroy();
    const all = type === "f16" ? Float32Array.from(new Float16Array(bytes)) : new Float32Array(bytes);
    const guard = GUARD_BYTES / (type === "f16" ? 2 : 4), end = guard + length;
    guards.push(...all.slice(0, guard), ...all.slice(end, end + guard));
    return all.slice(guard, end);
  };
  const out = await read(buffers.c, s.typeC, lengthC);
  const preactivation = await read(buffers.preactivation, s.typeC, lengthC);
  const sums = await read(buffers.sums, "f32", lengthSums);
  for (const buffer of [params, ...owned]) buffer.destroy();
  return { out, preactivation, sums, guards: Float32Array.from(guards) };
}

/** Runs a variant and compares all of C, and the guards, with the definition. @returns The largest error over its bound. */
export async function check(device: GPUDevice, variant: MatmulVariant, s: MatmulSpec): Promise<number> {
  const what = `${variant.name} ${JSON.stringify(s)}`;
  const inputs = randomInputs(s);
  const { out, preactivation, sums, guards } = await runKernel(device, variant, s, inputs);
  // Sums of k products in f32 err by about sqrt(k) half steps; f16 results by half a step of f16.
  const absolute = 2e-6 * Math.sqrt(s.k) + 2e-6;
  const relative = s.typeC === "f16" ? 2 ** -10 : 2e-6;
  const chunk = Number(/-chunk(\d)/.exec(variant.name)?.[1] ?? 0), expected = reference(s, inputs);
  let most = 0;
  const compare = (name: string, actual: number, value: number, allowed: number) => {
    assert.ok(Number.isFinite(actual), `${what}: ${name} must be finite, current value is ${actual}`);
    const error = Math.abs(actual - value);
    assert.ok(error <= allowed, `${what}: ${name} must be ${value}, current value is ${actual}`);
    most = Math.max(most, error / allowed);
  };
  for (const { index, value, size, linear } of expected.out) {
    const halves = halfProductBound(s, { chunk, size });
    compare(`C[${index}]`, out[index], value, absolute + relative * Math.abs(value) + halves);
    if (s.preactivation !== "written") continue;
    const allowed = absolute + relative * Math.abs(linear) + halves;
    compare(`preactivation[${index}]`, preactivation[index], linear, allowed);
  }
  if (s.sums) expected.sums.forEach((sum, i) => compare(`sums[${i}]`, sums[i], sum, absolute));
  assert.ok(guards.every((value) => value === MARK), `${what}: wrote outside its outputs`);
  return most;
}

let family: GPUDevice | undefined;

/** The test device, or one with every feature of the family when the adapter grants more than the engine asked for. */
export async function familyDevice(device: GPUDevice): Promise<GPUDevice> {
  if (family) return family;
  const needs = ["shader-f16", ...new Set(MATMUL_VARIANTS.flatMap((variant) => variant.needs))];
  if (needs.every((feature) => device.features.has(feature as GPUFeatureName))) return family = device;
  const adapter = await navigator.gpu.requestAdapter();
  try {
    family = await adapter!.requestDevice({
      requiredFeatures: needs as GPUFeatureName[],
      requiredLimits: {
        maxComputeWorkgroupStorageSize: adapter!.limits.maxComputeWorkgroupStorageSize,
        maxComputeInvocationsPerWorkgroup: adapter!.limits.maxComputeInvocationsPerWorkgroup,
        maxComputeWorkgroupSizeX: adapter!.limits.maxComputeWorkgroupSizeX,
      },
    });
  } catch {
    family = device;
  }
  return family;
}

/** Variants for software adapters that the device has the features and the lanes for. */
export function runnable(device: GPUDevice, info: GPUAdapterInfo): MatmulVariant[] {
  const adapter = adapterOf(device, info);
  const found = MATMUL_VARIANTS.filter(({ name, needs, suits }) =>
    name.startsWith("register") && needs.every((feature) => device.features.has(feature as GPUFeatureName)) &&
    suits(plainSpec(8, 8, 8), adapter)
  );
  assert.ok(found.length > 0, "some variant must run on this driver");
  return found;
}

/** The adapter as if it were a GPU with its limits and lanes. */
export function hardwareOf(device: GPUDevice, info: GPUAdapterInfo): KernelAdapter {
  const { subgroupMinSize: min, subgroupMaxSize: max } = info, { limits } = device;
  return {
    ...adapterOf(device, info),
    isSoftware: false,
    workgroupBytes: limits.maxComputeWorkgroupStorageSize,
    workgroupInvocations: limits.maxComputeInvocationsPerWorkgroup,
    subgroupSizes: device.features.has("subgroups" as GPUFeatureName) && min > 0 ? { min, max } : null,
  };
}

export const TYPES: Pick<MatmulSpec, "typeA" | "typeB" | "typeC">[] = [
  { typeA: "f32", typeB: "f32", typeC: "f32" },
  { typeA: "f32", typeB: "f16", typeC: "f32" },
  { typeA: "f16", typeB: "f16", typeC: "f16" },
  { typeA: "f16", typeB: "f32", typeC: "f16" },
];

export const TRANSPOSES = [0, 1, 2, 3].map((i) => ({ transposeA: i % 2 === 1, transposeB: i >= 2 }));

export function typesFor(device: GPUDevice): typeof TYPES {
  return device.features.has("shader-f16") ? TYPES : TYPES.slice(0, 1);
}

export function adapterOf(device: GPUDevice, info: GPUAdapterInfo): KernelAdapter {
  const { vendor, architecture, description } = info;
  const isSoftware = /llvmpipe|swiftshader/i.test(description);
  const features = new Set<string>(device.features);
  return { ...PLAIN_GPU, vendor, architecture, description, isSoftware, features };
}

/** The variants that a GPU with this adapter's features and limits would have a use for. */
export function hardwareVariants(hardware: KernelAdapter): MatmulVariant[] {
  return MATMUL_VARIANTS.filter((variant) =>
    variant.needs.every((feature) => hardware.features.has(feature)) &&
    hardwareCases(variant, hardware).length > 0
  );
}

/** Numbers of the turns below a count that `SIDENET_VARIANTS` asks for, such as 8-15: a driver may take a minute for one. */
export function variantTurns(count: number): number[] {
  const [first, last] = (Deno.env.get("SIDENET_VARIANTS") ?? "0-").split("-").map(Number);
  return Array.from({ length: count }, (_, turn) => turn).slice(first, (last || Infinity) + 1);
}

/** What may end a product. */
export const EPILOGUES: Partial<MatmulSpec>[] = [
  { bias: true, residual: true, activation: "gelu" },
  { bias: true, activation: "quickGelu" },
  { residual: true },
  { bias: true, residual: true, activation: "relu" },
  { bias: true, activation: "gelu", preactivation: "written" },
  { activation: "quickGelu", preactivation: "read" },
  { bias: true, residual: true, activation: "relu", preactivation: "read" },
];

/**
 * What a variant for GPUs is tried with, as far as it suits it: every transposition on sizes that allow wide reads, in a batch, on odd
 * ones with an epilogue, and with a sum of whole blocks; a split sum, of whole blocks or not; sums of A's rows, whole and in parts; and sizes below a vector's. Storage types take turns.
 */
export function hardwareCases(variant: MatmulVariant, hardware: KernelAdapter, turn = 0): MatmulSpec[] {
  const rows = variant.traits.includes("rows");
  const types = (hardware.features.has("shader-f16") ? TYPES : TYPES.slice(0, 1)).filter((one) =>
    variant.suits(plainSpec(4, 72, 36, { ...one, halfProducts: true }), hardware)
  );
  if (types.length === 0) return [];
  const cases = TRANSPOSES.flatMap((transposes, i) => {
    const common = (j: number) => ({
      ...transposes,
      ...types[(turn + i + j) % types.length],
      halfProducts: true,
    });
    const [m, n, k] = [rows ? 8 : 68, 72, 36], shared = (turn + i) % 2 === 1;
    const batch = { batch: 3, strideA: m * k + 8, strideB: shared ? 0 : k * n, strideC: m * n };
    return [
      plainSpec(m, n, k, { ...common(0), ...batch }),
      plainSpec(rows ? 7 : 67, 71, 37, { ...common(1), ...EPILOGUES[(turn + i) % EPILOGUES.length] }),
      plainSpec(m, n, 96, common(2)),
    ];
  });
  const split = {
    ...TRANSPOSES[turn % 4],
    ...types[turn % types.length],
    splitK: 3,
    batch: 2,
    halfProducts: true,
  };
  const tiny = { ...TRANSPOSES[(turn + 1) % 4], ...types[(turn + 1) % types.length], halfProducts: true };
  const sums = [0, 1].map((odd) =>
    plainSpec(68 - odd, 40, 131 + odd, {
      transposeA: true,
      transposeB: turn % 2 === odd,
      splitK: 2 - odd,
      sums: true,
    })
  ).filter((one) => variant.suits(one, hardware) && types.some(({ typeA }) => typeA === "f32"));
  const splitOf = turn % 2 === 0 ? 131 : 192;
  return [...cases, ...sums, plainSpec(rows ? 7 : 33, 36, splitOf, split), plainSpec(3, 5, 2, tiny)];
}
