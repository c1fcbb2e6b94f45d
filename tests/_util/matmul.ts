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

type Inputs = Record<"a" | "b" | "bias" | "residual", Float32Array>;

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
  };
}

/** The definition: plain loops in f64. Returns C by split, batch, row and column; `size` is Σ|a·b| of each. */
function reference(s: MatmulSpec, inputs: Inputs): { index: number; value: number; size: number }[] {
  const out: { index: number; value: number; size: number }[] = [];
  const chunk = s.splitK > 1 ? Math.ceil(Math.ceil(s.k / s.splitK) / 16) * 16 : s.k;
  for (let split = 0; split < s.splitK; split++) {
    for (let batch = 0; batch < s.batch; batch++) {
      const start = split * (s.batch > 1 ? s.batch * s.strideC : s.m * s.n) + batch * s.strideC;
      for (let row = 0; row < s.m; row++) {
        for (let column = 0; column < s.n; column++) {
          let sum = 0, size = 0;
          for (let k = split * chunk; k < Math.min(s.k, (split + 1) * chunk); k++) {
            const product = inputs.a[batch * s.strideA + (s.transposeA ? k * s.m + row : row * s.k + k)] *
              inputs.b[batch * s.strideB + (s.transposeB ? column * s.k + k : k * s.n + column)];
            sum += product;
            size += Math.abs(product);
          }
          if (s.bias) sum += inputs.bias[column];
          if (s.activation !== "none") sum = ACTIVATIONS[s.activation].value(sum);
          const index = start + row * s.n + column;
          if (s.residual) sum += inputs.residual[index];
          out.push({ index, value: sum, size });
        }
      }
    }
  }
  return out;
}

/** Runs one kernel and returns C with its guards, `guard` elements on either side. */
export async function runKernel(
  device: GPUDevice,
  variant: MatmulVariant,
  s: MatmulSpec,
  inputs: Inputs,
): Promise<{ out: Float32Array; guards: Float32Array }> {
  const kernel = variant.build(s);
  const lengthC = operandLengths(s).c;
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
    c: upload(new Float32Array(lengthC).fill(NaN), s.typeC, MARK),
    bias: upload(inputs.bias, "f32"),
    residual: upload(inputs.residual, s.typeC),
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
  const readback = device.createBuffer({
    label: "readback",
    size: buffers.c.buffer.size,
    usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
  });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, group);
  pass.dispatchWorkgroups(...kernel.workgroups);
  pass.end();
  encoder.copyBufferToBuffer(buffers.c.buffer, 0, readback, 0, readback.size);
  device.queue.submit([encoder.finish()]);
  await readback.mapAsync(GPUMapMode.READ);
  const bytes = readback.getMappedRange().slice(0);
  for (const buffer of [readback, params, ...owned]) buffer.destroy();
  const all = s.typeC === "f16" ? Float32Array.from(new Float16Array(bytes)) : new Float32Array(bytes);
  const guard = GUARD_BYTES / (s.typeC === "f16" ? 2 : 4), end = guard + lengthC;
  return {
    out: all.slice(guard, end),
    guards: Float32Array.of(...all.slice(0, guard), ...all.slice(end, end + guard)),
  };
}

/** Runs a variant and compares all of C, and the guards, with the definition. @returns The largest error over its bound. */
export async function check(device: GPUDevice, variant: MatmulVariant, s: MatmulSpec): Promise<number> {
  const what = `${variant.name} ${JSON.stringify(s)}`;
  const inputs = randomInputs(s);
  const { out, guards } = await runKernel(device, variant, s, inputs);
  // Sums of k products in f32 err by about sqrt(k) half steps; f16 results by half a step of f16.
  const absolute = 2e-6 * Math.sqrt(s.k) + 2e-6;
  const relative = s.typeC === "f16" ? 2 ** -10 : 2e-6;
  const chunk = Number(/-chunk(\d)/.exec(variant.name)?.[1] ?? 0);
  let most = 0;
  for (const { index, value, size } of reference(s, inputs)) {
    assert.ok(
      Number.isFinite(out[index]),
      `${what}: C[${index}] must be finite, current value is ${out[index]}`,
    );
    const error = Math.abs(out[index] - value);
    const allowed = absolute + relative * Math.abs(value) + halfProductBound(s, { chunk, size });
    assert.ok(error <= allowed, `${what}: C[${index}] must be ${value}, current value is ${out[index]}`);
    most = Math.max(most, error / allowed);
  }
  assert.ok(guards.every((value) => value === MARK), `${what}: wrote outside C`);
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

/** Variants for software adapters that the device has the features for. */
export function runnable(device: GPUDevice): MatmulVariant[] {
  return MATMUL_VARIANTS.filter(({ name, needs }) =>
    name.startsWith("register") && needs.every((feature) => device.features.has(feature as GPUFeatureName))
  );
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

const EPILOGUES: Partial<MatmulSpec>[] = [
  { bias: true, residual: true, activation: "gelu" },
  { bias: true, activation: "quickGelu" },
  { residual: true },
  { bias: true, residual: true, activation: "relu" },
];

/**
 * What a variant for GPUs is tried with, as far as it suits it: every transposition on sizes that allow wide reads, in a batch, and on odd
 * ones with an epilogue; a split sum; and sizes below a vector's. Storage types take turns.
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
  return [...cases, plainSpec(rows ? 7 : 33, 36, 131, split), plainSpec(3, 5, 2, tiny)];
}
