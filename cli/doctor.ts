/** `sidenet doctor`: what works on this machine, and what to install for the rest. */
import { statfs } from "node:fs/promises";
import denow from "../denow" with { type: "text" };
import { decodeJpeg, encodeJpeg } from "../data/frames/jpeg.ts";
import { type Gpu, openGpu } from "../gpu/device.ts";
import { formatBytes } from "../lib/text.ts";
import { defineCommand, parseArguments } from "./shared/args.ts";
import { deviceLines } from "./ranks/devices.ts";
import { joinWorld, rankLines, tellCard } from "./ranks/world.ts";
import type { Io } from "./shared/output.ts";

export const command = defineCommand({
  name: "doctor",
  summary: "Say what works on this machine and what to install",
  usage: "",
  positionals: { max: 0 },
  details:
    "Exit code: 0 when training can run here, 3 without a GPU adapter, 1 when something else that is needed fails.",
  options: {},
});

const NO_ADAPTER_EXIT_CODE = 3;

/** Limits that decide what fits, as WebGPU names them. */
const REPORTED_LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupsPerDimension",
] as const;

/** What an optional feature is good for here. */
const FEATURE_USES: Readonly<Record<string, string>> = {
  "shader-f16": "half-precision kernels",
  "subgroups": "the fastest matrix products on some adapters",
  "timestamp-query": "exact kernel times",
};

const VENDORS: Readonly<Record<number, string>> = {
  0x1002: "AMD",
  0x106b: "Apple",
  0x10de: "NVIDIA",
  0x13b5: "Arm",
  0x5143: "Qualcomm",
  0x8086: "Intel",
  0x10005: "Mesa",
};

const VULKAN_DRIVER_FOLDERS = [
  "/usr/share/vulkan/icd.d",
  "/etc/vulkan/icd.d",
  "/usr/local/share/vulkan/icd.d",
];

/** The adapter as the report shows it. */
export interface AdapterFacts {
  readonly name: string;
  readonly vendor: string;
  readonly isSoftware: boolean;
  /** Granted features, the optional ones probed by asking for a device. */
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
}

/** Everything the report is made of. */
export interface Machine {
  readonly os: string;
  readonly adapter: AdapterFacts | null;
  /** Why the adapter cannot be used, where there is one. */
  readonly adapterError?: string;
  /** Driver files of the Vulkan loader; null where there is no such thing. */
  readonly vulkanDrivers: readonly string[] | null;
  readonly deno: string;
  readonly pinnedDeno: string;
  /** First line of `ffmpeg -version`, of `ffprobe -version`, and of `mpiexec --version`; null when absent. */
  readonly ffmpeg: string | null;
  readonly ffprobe: string | null;
  readonly mpi: string | null;
  /** Why the JPEG decoder fails; null when it works. */
  readonly jpegError: string | null;
  /** Free space in the working directory; null when it cannot be told. */
  readonly freeBytes: number | null;
}

/** One line of the report. */
export interface Finding {
  readonly topic: string;
  /** `missing` is needed; `optional` is absent but not needed for training. */
  readonly state: "ok" | "missing" | "optional" | "warning";
  readonly text: string;
  readonly advice?: string;
}

export async function run(args: string[], io: Io): Promise<number> {
  parseArguments(command, args);
  const world = await joinWorld(io);
  if (world.rank > 0) return await tellCard(world);
  const machine = await inspectMachine();
  const findings = findingsOf(machine);
  for (const line of formatFindings(findings)) io.print(line);
  for (const line of [...await deviceLines(), ...await rankLines(world)]) io.print(line);
  io.printJson(jsonOf(machine, findings));
  if (machine.adapter === null) return NO_ADAPTER_EXIT_CODE;
  return findings.some(({ state }) => state === "missing") ? 1 : 0;
}

/** Judges each part of a machine. */
export function findingsOf(machine: Machine): Finding[] {
  return [
    ...adapterFindings(machine),
    denoFinding(machine),
    machine.jpegError === null ? ok("JPEG decoder", "decodes") : {
      topic: "JPEG decoder",
      state: "missing",
      text: machine.jpegError,
      advice: "delete node_modules/ and run ./denow deno install",
    },
    ffmpegFinding(machine),
    machine.mpi !== null ? ok("MPI", machine.mpi) : {
      topic: "MPI",
      state: "optional",
      text:
        "mpiexec not found; for training on several GPUs, which mpiexec or srun starts (docs/clusters.md)",
      advice: "apt-get install mpich",
    },
    diskFinding(machine.freeBytes),
  ];
}

function ok(topic: string, text: string): Finding {
  return { topic, state: "ok", text };
}

function adapterFindings({ adapter, adapterError, vulkanDrivers, os }: Machine): Finding[] {
  const drivers: Finding[] = vulkanDrivers === null
    ? []
    : vulkanDrivers.length > 0
    ? [ok("Vulkan drivers", vulkanDrivers.join(", "))]
    : [{
      topic: "Vulkan drivers",
      state: adapter === null ? "missing" : "warning",
      text: adapter === null
        ? "none found"
        : "none found: the adapter works through OpenGL, on which sidenet is not tested",
      advice: "apt-get install mesa-vulkan-drivers libvulkan1",
    }];
  if (adapter === null) {
    return [
      {
        topic: "GPU adapter",
        state: "missing",
        text: adapterError ?? "none found: nothing can be trained or run",
        advice: adapterAdvice(os),
      },
      ...drivers,
    ];
  }
  const { limits, features } = adapter;
  return [
    {
      topic: "GPU adapter",
      ...(adapter.isSoftware
        ? { state: "ok", text: `${adapter.name}: a software adapter, kernels run on the CPU` }
        : { state: "ok", text: `${adapter.name}${adapter.vendor ? ` (${adapter.vendor})` : ""}` }),
    },
    ...drivers,
    ok(
      "limits",
      `buffer ${formatBytes(limits.maxBufferSize)}, binding ${
        formatBytes(limits.maxStorageBufferBindingSize)
      }, ` +
        `workgroup memory ${formatBytes(limits.maxComputeWorkgroupStorageSize)}, ` +
        `${limits.maxComputeInvocationsPerWorkgroup} invocations a workgroup`,
    ),
    ...Object.entries(FEATURE_USES).map(([feature, use]): Finding =>
      features.includes(feature)
        ? ok(feature, use)
        : { topic: feature, state: "optional", text: `the adapter does not offer ${use}` }
    ),
  ];
}

function adapterAdvice(os: string): string {
  if (os !== "linux") return "update the graphics driver";
  return "install the Vulkan driver of your GPU, or Mesa's, which also has one for the CPU: " +
    "apt-get install mesa-vulkan-drivers libvulkan1; in a container pass the GPU on (docs/troubleshooting.md)";
}

function denoFinding({ deno, pinnedDeno }: Machine): Finding {
  if (deno === pinnedDeno) return ok("Deno", deno);
  return {
    topic: "Deno",
    state: "warning",
    text: `${deno}; tested with ${pinnedDeno}`,
    advice: "start through ./denow, which fetches that version",
  };
}

function ffmpegFinding({ ffmpeg, ffprobe }: Machine): Finding {
  if (ffmpeg !== null && ffprobe !== null) return ok("ffmpeg", ffmpeg);
  return {
    topic: "ffmpeg",
    state: "optional",
    text: `${
      ffmpeg === null ? "ffmpeg" : "ffprobe"
    } not found; needed only to read video files, not frame folders`,
    advice: "apt-get install ffmpeg",
  };
}

/** A demo run with its data set takes about a tenth of this. */
const LITTLE_SPACE_BYTES = 2 ** 30;

function diskFinding(freeBytes: number | null): Finding {
  if (freeBytes === null) return { topic: "disk", state: "optional", text: "free space unknown" };
  const text = `${formatBytes(freeBytes)} free here`;
  if (freeBytes >= LITTLE_SPACE_BYTES) return ok("disk", text);
  return {
    topic: "disk",
    state: "warning",
    text,
    advice: "free some space: runs and checkpoints are written here",
  };
}

/** The report as aligned lines. */
export function formatFindings(findings: readonly Finding[]): string[] {
  const width = Math.max(...findings.map(({ topic }) => topic.length));
  return findings.flatMap(({ topic, state, text, advice }) => {
    const line = `${state.padEnd(8)}  ${topic.padEnd(width)}  ${text}`;
    return advice === undefined ? [line] : [line, `${" ".repeat(width + 12)}→ ${advice}`];
  });
}

/** The report as one object. */
export function jsonOf(machine: Machine, findings: readonly Finding[]): Record<string, unknown> {
  const { adapter } = machine;
  return {
    adapter: adapter?.name ?? null,
    software: adapter?.isSoftware ?? null,
    features: adapter?.features ?? [],
    limits: adapter?.limits ?? {},
    deno: machine.deno,
    ffmpeg: machine.ffprobe === null ? null : machine.ffmpeg,
    mpi: machine.mpi,
    jpeg: machine.jpegError === null,
    free_bytes: machine.freeBytes,
    ok: findings.every(({ state }) => state !== "missing"),
    findings,
  };
}

async function inspectMachine(): Promise<Machine> {
  const [gpu, ffmpeg, ffprobe, mpi, jpegError, freeBytes] = await Promise.all([
    inspectAdapter(),
    firstLine("ffmpeg", "-version"),
    firstLine("ffprobe", "-version"),
    firstLine("mpiexec", "--version"),
    jpegFailure(),
    statfs(".").then(({ bavail, bsize }) => bavail * bsize, () => null),
  ]);
  return {
    os: Deno.build.os,
    ...gpu,
    vulkanDrivers: Deno.build.os === "linux" ? await vulkanDrivers() : null,
    deno: Deno.version.deno,
    pinnedDeno: pinnedDenoVersion(denow),
    ffmpeg,
    ffprobe,
    mpi,
    jpegError,
    freeBytes,
  };
}

async function inspectAdapter(): Promise<Pick<Machine, "adapter" | "adapterError">> {
  if (!(await navigator.gpu.requestAdapter())) return { adapter: null };
  try {
    using gpu = await openGpu();
    return { adapter: adapterFacts(gpu) };
  } catch (error) {
    return { adapter: null, adapterError: (error as Error).message };
  }
}

function adapterFacts(gpu: Gpu): AdapterFacts {
  const { limits, features } = gpu.device;
  return {
    name: gpu.name,
    vendor: VENDORS[Number(gpu.info.vendor)] ?? gpu.info.vendor,
    isSoftware: gpu.isSoftware,
    features: [...new Set([...features, ...gpu.features])].sort(),
    limits: Object.fromEntries(REPORTED_LIMITS.map((name) => [name, limits[name]])),
  };
}

/** The version that `denow` fetches. */
export function pinnedDenoVersion(script: string): string {
  const version = script.match(/^DENO_VERSION=(\S+)$/m)?.[1];
  if (version === undefined) {
    throw new Error("Cannot tell the pinned Deno: denow must have a DENO_VERSION line");
  }
  return version;
}

/** First line that a program prints; null when it cannot be run. */
async function firstLine(program: string, flag: string): Promise<string | null> {
  try {
    const { stdout, success } = await new Deno.Command(program, {
      args: [flag],
      stdin: "null",
      stderr: "null",
    }).output();
    return success ? new TextDecoder().decode(stdout).trim().split("\n")[0] : null;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.PermissionDenied) return null;
    throw error;
  }
}

/** Encodes and decodes a small grey picture. */
async function jpegFailure(): Promise<string | null> {
  const rgb = new Uint8Array(16 * 8 * 3).fill(128);
  try {
    const decoded = await decodeJpeg(await encodeJpeg({ width: 16, height: 8, rgb }, { quality: 90 }));
    const isRight = decoded.width === 16 && decoded.height === 8 &&
      decoded.rgb.every((value) => Math.abs(value - 128) <= 2);
    return isRight ? null : "decodes a grey picture into something else";
  } catch (error) {
    return (error as Error).message;
  }
}

/** Names of the driver files that the Vulkan loader would find, or the variable that replaces its search. */
async function vulkanDrivers(): Promise<string[]> {
  const chosen = Deno.env.get("VK_DRIVER_FILES") ?? Deno.env.get("VK_ICD_FILENAMES");
  if (chosen) return chosen.split(":");
  const found: string[] = [];
  for (const folder of VULKAN_DRIVER_FOLDERS) {
    try {
      for await (const { name } of Deno.readDir(folder)) if (name.endsWith(".json")) found.push(name);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return found.sort();
}
