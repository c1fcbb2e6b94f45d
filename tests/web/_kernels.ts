/** Every kernel that the systems use, as shader texts, for kinds of adapters. */
import type { Page } from "playwright-core";
import type { KernelSpec } from "../../gpu/lower.ts";
import type { KernelEnvironment } from "../../gpu/op.ts";
import { ENABLES_SUBGROUPS } from "../../gpu/shader.ts";
import { createModel } from "../../models/mod.ts";
import { SYSTEMS } from "../../models/registry.ts";
import { kernelsOf } from "../../train/runtime/device/compile.ts";
import { lowerPlans } from "../../train/runtime/device_model.ts";
import { planSession } from "../../train/runtime/session_plan.ts";
import { RULES } from "../../train/runtime/update_rules.ts";
import { taskOf } from "../../train/tasks/registry.ts";
import type { TaskRecipe } from "../../train/tasks/task.ts";
import { ROOMY } from "../_util/tiny_model.ts";
import { PLAIN_GPU } from "../../gpu/tuning/family.ts";

const FIXTURES = new URL("../fixtures/", import.meta.url);
/** A case of each system, for its sizes. */
export const SYSTEM_CASES = [
  "dist/small",
  "side4video/tiny",
  "side4video-eva/tiny-L14-options",
  "side4video-retrieval/small-wti",
  "side4video-retrieval/small-eva-wti",
  "tds-clip/odd",
];

const adapter = (environment: Partial<KernelEnvironment>): KernelEnvironment => ({
  ...PLAIN_GPU,
  features: new Set(["subgroups", ENABLES_SUBGROUPS]),
  ...environment,
});

/** Adapters whose kernels differ: GPUs, CPUs, and CPUs that tell the lanes of their subgroups. */
export const ADAPTERS: Readonly<Record<string, KernelEnvironment>> = {
  "a GPU": adapter({ vendor: "nvidia" }),
  "a GPU with large limits and subgroups of one size": adapter({
    vendor: "nvidia",
    features: new Set(["shader-f16", "subgroups", ENABLES_SUBGROUPS]),
    workgroupBytes: 65536,
    workgroupInvocations: 1024,
    subgroupSizes: { min: 32, max: 32 },
  }),
  "a CPU": adapter({ isSoftware: true, architecture: "swiftshader" }),
  "a CPU with known lanes": adapter({ isSoftware: true, description: "llvmpipe (LLVM 15.0.6, 256 bits)" }),
};

/** The kernels of a case's training and evaluation on an adapter, each once. */
export async function kernelsOfCase(name: string, environment: KernelEnvironment): Promise<KernelSpec[]> {
  const { system: form, case: label, config } = JSON.parse(
    await Deno.readTextFile(new URL(`${name}.json`, FIXTURES)),
  );
  const system = SYSTEMS.find(({ cases }) => cases.some((one) => one.system === form))!;
  const record = system.cases.find((one) => one.system === form)!;
  const model = createModel({ system: system.id, sizes: record.sizes(config, label), backboneDtype: "f32" });
  const { num_classes: classes = 0, batch } = config;
  const task = taskOf(system.task),
    recipe = {
      system: system.id,
      precision: "f32",
      data: { num_classes: classes, balance: "none" },
      solver: { smoothing: 0, mixup: false },
      seed: 0,
      ...record.recipe?.(config, label),
    } as TaskRecipe;
  const { inputs, objective } = task.training(recipe), { rule, eps } = RULES[system.optimizer ?? "adamw"];
  const plan = planSession(model, {
    inputs,
    objective,
    optimizer: { rule, options: { betas: [0.9, 0.98], eps }, groups: record.groups(config) },
    collects: task.collects,
    leftAlone: system.leftAlone,
    trainClips: [batch],
    evalClips: batch,
    recompute: true,
    accumulation: 1,
    clipGradNorm: 1,
    skipNonFinite: 3,
    limits: ROOMY,
    largestFrame: null,
  }, environment);
  const kernels = kernelsOf(lowerPlans(plan, environment));
  return [...new Map(kernels.map((kernel) => [`${kernel.entryPoint}\n${kernel.code}`, kernel])).values()];
}

/**
 * What a browser says of kernels that it does not take.
 *
 * @param options.pipelines Whether pipelines are made of them, which is machine code: seconds each.
 */
export async function complaintsAbout(
  page: Page,
  kernels: readonly { label: string; code: string; entryPoint?: string }[],
  { pipelines = false }: { pipelines?: boolean } = {},
): Promise<string[]> {
  const plain = kernels.map(({ label, code, entryPoint = "main" }) => ({ label, code, entryPoint }));
  return await page.evaluate(async ([kernels, pipelines]) => {
    const adapter = (await navigator.gpu.requestAdapter())!, { limits } = adapter;
    const device = await adapter.requestDevice({
      requiredFeatures: ["subgroups" as GPUFeatureName],
      requiredLimits: {
        maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
        maxStorageBuffersPerShaderStage: limits.maxStorageBuffersPerShaderStage,
        maxComputeInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
      },
    });
    const complaints: string[] = [];
    const complain = (label: string, error: { message: string } | null) => {
      if (error) complaints.push(`${label}: ${error.message}`);
    };
    const modules: GPUShaderModule[] = [];
    for (const { label, code } of kernels) {
      device.pushErrorScope("validation");
      modules.push(device.createShaderModule({ label, code }));
      complain(label, await device.popErrorScope());
    }
    if (pipelines) {
      await Promise.all(
        kernels.map(({ label, entryPoint }, i) =>
          device.createComputePipelineAsync({
            label,
            layout: "auto",
            compute: { module: modules[i], entryPoint },
          })
            .catch((error) => complain(label, error))
        ),
      );
    }
    device.destroy();
    return complaints;
  }, [plain, pipelines] as const);
}
