/** What `doctor` looks at and tries on this machine, as facts. */
import { stat, statfs } from "node:fs/promises";
import { dirname, join } from "node:path";
import denow from "../../denow" with { type: "text" };
import { decodeJpeg, encodeJpeg } from "../../data/frames/jpeg.ts";
import { tryVideoPrograms, type VideoTrial } from "../../data/video/trial.ts";
import { adapterVendor } from "../../gpu/adapter.ts";
import { type Gpu, openGpu } from "../../gpu/device.ts";
import { type KernelTrial, tryKernels } from "../../gpu/cases/trial.ts";
import { WEIGHTS_ENDINGS } from "../../train/files/named_weights.ts";
import { KNOWN_FILES, UNCHECKED_FILES, weightsName } from "../../models/known_files.ts";
import { formatCount } from "../../lib/text.ts";
import type { World } from "../../mpi/world.ts";
import { givenVariable, type ListedDevice, listedDevices } from "../ranks/devices.ts";
import { userCache } from "../shared/cache.ts";
import { weightsPlaces } from "../shared/weights.ts";
import { type MpiFacts, mpiFacts } from "./mpi.ts";
import {
  BACKEND_VARIABLE,
  isOfVulkan,
  seeUnder,
  tryVulkanDrivers,
  type VulkanDriver,
  vulkanFolders,
} from "./vulkan.ts";

/** Limits that decide what fits, as WebGPU names them. */
const REPORTED_LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupsPerDimension",
] as const;

/** The adapter as the report shows it. */
export interface AdapterFacts {
  readonly name: string;
  readonly vendor: string;
  readonly isSoftware: boolean;
  /** Granted features, the optional ones probed by asking for a device. */
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
  /** Whether it was reached through Vulkan; null where that is not the question (macOS, Windows). */
  readonly isVulkan: boolean | null;
  /** Small kernels that were run on it. */
  readonly trials: readonly KernelTrial[];
}

/** A folder that this tool keeps things in, or is given. */
export interface FolderFacts {
  /** null: there is none. */
  readonly path: string | null;
  /** Why it cannot be used; null: it can. */
  readonly problem: string | null;
  /** Published weights that lie in it, by their names. */
  readonly weights: readonly string[];
}

/** Everything the report is made of. */
export interface Machine {
  readonly os: string;
  readonly adapter: AdapterFacts | null;
  /** Why the adapter cannot be used, where there is one. */
  readonly adapterError?: string;
  /** Driver files of the Vulkan loader; null where there is no such thing. */
  readonly vulkanDrivers: readonly VulkanDriver[] | null;
  /** What can be computed on, by the numbers that --device takes. */
  readonly devices: readonly ListedDevice[];
  /** What DENO_WEBGPU_BACKEND asks for; null: nothing. */
  readonly backend: string | null;
  readonly deno: string;
  readonly pinnedDeno: string;
  readonly video: VideoTrial;
  readonly mpi: MpiFacts;
  /** Why the JPEG decoder fails; null when it works. */
  readonly jpegError: string | null;
  /** Free space in the working directory; null when it cannot be told. */
  readonly freeBytes: number | null;
  /** The host's memory, and what of it is free; null when it cannot be told. */
  readonly memory: { readonly total: number; readonly available: number } | null;
  /** The folder of weights that SIDENET_WEIGHTS names. */
  readonly weightsFolder: FolderFacts;
  /** The folder that fetched weights and measured kernels are kept in. */
  readonly cacheFolder: FolderFacts;
}

/** Looks at this machine and tries what is needed. */
export async function inspectMachine(world: Pick<World, "mpi" | "size">): Promise<Machine> {
  const isLinux = Deno.build.os === "linux";
  const env = (name: string) => Deno.env.get(name);
  const vulkan = { env, folders: vulkanFolders(env), see: seeUnder };
  // One after the other: the trials of the drivers change the environment meanwhile. A device that was chosen hides no driver.
  const vulkanDrivers = isLinux ? await tryVulkanDrivers({ ...vulkan, env: givenVariable }) : null;
  const gpu = await inspectAdapter(isLinux ? await isOfVulkan(vulkan) : null);
  const [video, mpi, jpegError, freeBytes, weightsFolder, cacheFolder] = await Promise.all([
    tryVideoPrograms(),
    mpiFacts({
      run: (program) => versionText(program, "--version"),
      world: world.mpi === null ? null : `${formatCount(world.size)} ranks of ${world.mpi}`,
      isRoot: Deno.uid() === 0,
      env,
    }),
    jpegFailure(),
    statfs(".").then(({ bavail, bsize }) => bavail * bsize, () => null),
    folderFacts(weightsPlaces().folder, { written: false }),
    cacheFacts(),
  ]);
  return {
    os: Deno.build.os,
    ...gpu,
    vulkanDrivers,
    devices: await listedDevices(),
    backend: env(BACKEND_VARIABLE) || null,
    deno: Deno.version.deno,
    pinnedDeno: pinnedDenoVersion(denow),
    video,
    mpi,
    jpegError,
    freeBytes,
    memory: hostMemory(),
    weightsFolder,
    cacheFolder,
  };
}

async function inspectAdapter(
  isVulkan: boolean | null,
): Promise<Pick<Machine, "adapter" | "adapterError">> {
  try {
    if (!(await navigator.gpu.requestAdapter())) return { adapter: null };
    using gpu = await openGpu();
    const trials = await tryKernels(gpu);
    return { adapter: adapterFacts(gpu, { isVulkan, trials }) };
  } catch (error) {
    return { adapter: null, adapterError: (error as Error).message };
  }
}

function adapterFacts(gpu: Gpu, more: Pick<AdapterFacts, "isVulkan" | "trials">): AdapterFacts {
  const { limits, features } = gpu.device;
  return {
    name: gpu.name,
    vendor: adapterVendor(gpu.info),
    isSoftware: gpu.isSoftware,
    features: [...new Set([...features, ...gpu.features])].sort(),
    limits: Object.fromEntries(REPORTED_LIMITS.map((name) => [name, limits[name]])),
    ...more,
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

/** What a program prints; null when it cannot be run. */
async function versionText(program: string, flag: string): Promise<string | null> {
  try {
    const { stdout, success } = await new Deno.Command(program, {
      args: [flag],
      stdin: "null",
      stderr: "null",
    }).output();
    return success ? new TextDecoder().decode(stdout).trim() : null;
  } catch {
    return null;
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

function hostMemory(): Machine["memory"] {
  try {
    const { total, available } = Deno.systemMemoryInfo();
    return { total, available };
  } catch {
    return null;
  }
}

/** A folder that is read, or written into as soon as something is to be kept. */
async function folderFacts(path: string | null, options: { written: boolean }): Promise<FolderFacts> {
  if (path === null) return { path, problem: null, weights: [] };
  return { path, problem: await folderProblem(path, options), weights: await weightsIn(path) };
}

/** Tries it: reads the folder, or writes an empty file into it, which goes at once. */
async function folderProblem(path: string, { written }: { written: boolean }): Promise<string | null> {
  for (let at = path;; at = dirname(at)) {
    try {
      if (!(await stat(at)).isDirectory()) return at === path ? "is no folder" : `${at} is no folder`;
      if (written) await Deno.remove(await Deno.makeTempFile({ dir: at, prefix: ".sidenet-doctor-" }));
      else await Array.fromAsync(Deno.readDir(at));
      return null;
    } catch (error) {
      const { code } = error as { code?: string };
      // A folder that is written is made when it is needed: then the nearest one above counts.
      if (code === "ENOENT" && !written) return "does not exist";
      if (code !== "ENOENT" || dirname(at) === at) return `cannot be ${written ? "written" : "read"}`;
    }
  }
}

async function cacheFacts(): Promise<FolderFacts> {
  const path = Deno.env.get("SIDENET_CACHE") || userCache();
  const facts = await folderFacts(path, { written: true });
  return path === null ? facts : { ...facts, weights: await weightsIn(join(path, "weights")) };
}

/** Names of published weights whose files lie in a folder; whether they are whole is found out when they are used. */
async function weightsIn(folder: string): Promise<string[]> {
  const isThere = (name: string) => stat(join(folder, name)).then((info) => info.isFile(), () => false);
  const found: string[] = [];
  for (const published of [...KNOWN_FILES, ...UNCHECKED_FILES]) {
    const name = weightsName(published);
    const files = [published.file, ...WEIGHTS_ENDINGS.map((ending) => name + ending)];
    if ((await Promise.all(files.map(isThere))).includes(true)) found.push(name);
  }
  return found;
}
