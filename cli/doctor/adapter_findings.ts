/** What `doctor` says of the adapter: whether it computes right, how it is reached, and what is slow because of it. */
import { formatBytes } from "../../lib/text.ts";
import type { Finding } from "./finding.ts";
import type { AdapterFacts, Machine } from "./machine.ts";
import { BACKEND_VARIABLE, driverName, type VulkanDriver } from "./vulkan.ts";

/** Judges the adapter of a machine and its drivers. */
export function adapterFindings(machine: Machine): Finding[] {
  const { adapter, adapterError, os } = machine;
  if (adapter === null) {
    return [
      {
        topic: "GPU adapter",
        state: "missing",
        text: adapterError ?? "none found: nothing can be trained or run",
        advice: adapterAdvice(os),
      },
      ...driverFindings(machine),
    ];
  }
  return [
    nameFinding(adapter),
    ...driverFindings(machine),
    ...openGlFindings(machine, adapter),
    ...kernelFindings(adapter),
    limitsFinding(adapter),
    ...speedFindings(adapter),
  ];
}

function nameFinding({ name, vendor, isSoftware }: AdapterFacts): Finding {
  if (!isSoftware) {
    const maker = vendor && !name.toLowerCase().includes(vendor.toLowerCase()) ? ` (${vendor})` : "";
    return { topic: "GPU adapter", state: "ok", text: name + maker };
  }
  return {
    topic: "GPU adapter",
    state: "slow",
    text:
      `${name}: a software adapter, kernels run on the CPU; the demo trains, a published backbone wants a GPU`,
    advice: "on a machine with a GPU install its Vulkan driver (docs/troubleshooting.md)",
  };
}

function adapterAdvice(os: string): string {
  if (os !== "linux") return "update the graphics driver";
  return "install the Vulkan driver of your GPU, or Mesa's, which also has one for the CPU: " +
    "apt-get install --no-install-recommends mesa-vulkan-drivers libvulkan1; in a container pass the GPU on (docs/troubleshooting.md)";
}

/** The driver files: what each gives by itself, and a line for each that is wrong. */
function driverFindings({ vulkanDrivers: drivers, adapter }: Machine): Finding[] {
  if (drivers === null) return [];
  const topic = "Vulkan drivers";
  const needed = adapter === null ? "missing" as const : "warning" as const;
  if (drivers.length === 0) {
    return [{
      topic,
      state: needed,
      text: "none found",
      advice: "apt-get install --no-install-recommends mesa-vulkan-drivers libvulkan1",
    }];
  }
  const findings: Finding[] = [];
  const working = drivers.filter((driver) => driver.adapter !== null);
  if (working.length > 0) {
    const idle = drivers.filter((driver) => driver.adapter === null && driver.problem === null).length;
    const rest = idle === 0 ? "" : `; ${idle} more for GPUs that are not here`;
    const text = working.map((driver) => `${driverName(driver)} gives ${driver.adapter}`).join(", ") + rest;
    findings.push({ topic, state: "ok", text });
  } else if (drivers.every(({ variable, problem }) => variable === null && problem === null)) {
    findings.push({
      topic,
      state: needed,
      text: `${drivers.map(driverName).join(", ")}: none of them gives an adapter`,
      advice: "install the driver of your GPU, or Mesa's for the CPU, and the loader: " +
        "apt-get install --no-install-recommends mesa-vulkan-drivers libvulkan1",
    });
  }
  for (const driver of drivers) {
    const problem = driver.problem ??
      (driver.variable !== null && driver.adapter === null
        ? "gives no adapter: its library cannot be loaded, or it is for a GPU that is not here"
        : null);
    if (problem !== null) {
      const state = working.length > 0 ? "warning" : needed;
      findings.push({ topic, state, text: `${driver.path} ${problem}`, advice: driverAdvice(driver) });
    }
  }
  return findings;
}

function driverAdvice({ variable }: VulkanDriver): string {
  return variable === null
    ? "install the driver's package anew, or remove what is left of it"
    : `unset ${variable}, so that the drivers of this machine are found, or name a driver file that is there`;
}

/** What was measured on an adapter that has both: llvmpipe of Mesa 22.3 on two cores, the demo, 2026-11. */
const OPENGL_COST =
  "on one adapter that has both it took 12 s longer to the first step, and a quarter longer a step";

function openGlFindings({ vulkanDrivers, backend }: Machine, adapter: AdapterFacts): Finding[] {
  if (adapter.isVulkan !== false) return [];
  const lacks = [
    !adapter.features.includes("shader-f16") && "half precision",
    !adapter.features.includes("subgroups") && "subgroups",
  ].filter(Boolean).join(" and ");
  const variable = vulkanDrivers?.find((driver) => driver.variable !== null)?.variable;
  return [{
    topic: "OpenGL",
    state: "slow",
    text: `the adapter is reached through OpenGL, not Vulkan: ${
      lacks ? `without ${lacks}, ` : ""
    }slow to compile (${OPENGL_COST}), and little tested`,
    advice: backend !== null
      ? `unset ${BACKEND_VARIABLE}, which is "${backend}"`
      : variable
      ? `unset ${variable}, or name a Vulkan driver that works`
      : "install a Vulkan driver that works for it: apt-get install --no-install-recommends mesa-vulkan-drivers libvulkan1",
  }];
}

/** Whether the kernels that were tried are right. */
function kernelFindings({ trials }: AdapterFacts): Finding[] {
  const right = trials.filter(({ error }) => error === null).map(({ what }) => what);
  const wrong = trials.filter(({ error }) => error !== null).map(({ what, needs, error }): Finding => ({
    topic: "kernels",
    state: needs === null ? "missing" : "warning",
    text: `${what}: ${error}`,
    advice: needs === "shader-f16"
      ? "stay with precision=f32; another or a newer graphics driver may do it right"
      : needs === "timestamp-query"
      ? "do not trust kernel times of bench; another or a newer graphics driver may do it right"
      : "install another or a newer graphics driver: nothing that is trained with this one is right",
  }));
  if (right.length === 0) return wrong;
  return [{ topic: "kernels", state: "ok", text: `ran and are right: ${right.join(", ")}` }, ...wrong];
}

/** What WebGPU promises of every adapter, and kernels here are written for. */
const PROMISED: readonly { name: string; least: number; words: (value: number) => string }[] = [
  {
    name: "maxComputeWorkgroupStorageSize",
    least: 16384,
    words: (value) => `workgroup memory ${formatBytes(value)}`,
  },
  {
    name: "maxComputeInvocationsPerWorkgroup",
    least: 256,
    words: (value) => `${value} invocations a workgroup`,
  },
  {
    name: "maxStorageBuffersPerShaderStage",
    least: 8,
    words: (value) => `${value} storage buffers a kernel`,
  },
];

function limitsFinding({ limits }: AdapterFacts): Finding {
  const text = [
    `buffer ${formatBytes(limits.maxBufferSize)}`,
    `binding ${formatBytes(limits.maxStorageBufferBindingSize)}`,
    ...PROMISED.map(({ name, words }) => words(limits[name])),
  ].join(", ");
  const small = PROMISED.filter(({ name, least }) => limits[name] < least);
  if (small.length === 0) return { topic: "limits", state: "ok", text };
  return {
    topic: "limits",
    state: "warning",
    text: `${text}: ${small.map(({ words, least }) => words(least)).join(", ")} is what WebGPU promises; ` +
      "some kernels cannot be compiled here",
    advice: "install another or a newer graphics driver",
  };
}

/** Below this a batch of a published recipe goes through in parts. */
const SMALL_BINDING_BYTES = 2 ** 29;

/** What is slow or cannot be done because of the adapter, a line each with the consequence. */
function speedFindings({ limits, features, isSoftware }: AdapterFacts): Finding[] {
  const findings: Finding[] = [];
  const add = (topic: string, state: Finding["state"], text: string) => findings.push({ topic, state, text });
  if (features.includes("shader-f16")) add("shader-f16", "ok", "half precision");
  else {
    add(
      "shader-f16",
      "slow",
      "no half precision: a backbone takes twice the memory (precision=f16 is refused), features cannot be stored by extract",
    );
  }
  if (features.includes("subgroups")) add("subgroups", "ok", "offered");
  else if (isSoftware) {
    add("subgroups", "slow", "none: matrix products on this adapter go without its widest registers");
  } else add("subgroups", "ok", "none, which costs nothing: kernels for GPUs do without");
  if (features.includes("timestamp-query")) add("timestamp-query", "ok", "exact kernel times");
  else add("timestamp-query", "optional", "no clock on the adapter: bench cannot time single kernels");
  const binding = limits.maxStorageBufferBindingSize;
  if (binding < SMALL_BINDING_BYTES) {
    add(
      "binding",
      "slow",
      `no tensor may be larger than ${
        formatBytes(binding)
      }: larger batches go through in parts, with the same result (plan says how many)`,
    );
  }
  return findings;
}
