/** The Vulkan drivers of this machine, each tried by itself; and whether an adapter came through Vulkan or OpenGL. */
import { basename, dirname, isAbsolute, join, resolve } from "node:path";
import type { AdapterAnswer, SeenAdapter } from "./adapter_worker.ts";

/** A driver file of the Vulkan loader. */
export interface VulkanDriver {
  readonly path: string;
  /** The variable that names it; null: it lies where the loader looks by itself. */
  readonly variable: string | null;
  /** What is wrong with the file or the library it names; null: nothing. */
  readonly problem: string | null;
  /** The adapter that it gives when it is the only one; null: none. */
  readonly adapter: string | null;
}

/** What the trials need of the process; replaced by tests. */
export interface VulkanPlaces {
  readonly env: (name: string) => string | undefined;
  /** Folders in which the loader looks by itself. */
  readonly folders: readonly string[];
  /** The adapter under these variables, of which null takes one away. */
  readonly see: (variables: Readonly<Record<string, string | null>>) => Promise<SeenAdapter | null>;
}

/** Variables that replace the loader's own search, the first that is set counts; and the one that adds to it. */
const CHOOSING = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"], ADDING = "VK_ADD_DRIVER_FILES";
/** The variable by which Deno chooses between Vulkan and OpenGL. */
export const BACKEND_VARIABLE = "DENO_WEBGPU_BACKEND";

/** Variables under which these drivers alone are seen, through Vulkan. */
const only = (paths: readonly string[]) => ({
  [BACKEND_VARIABLE]: "vulkan",
  VK_DRIVER_FILES: paths.join(":"),
  VK_ICD_FILENAMES: null,
  VK_ADD_DRIVER_FILES: null,
});

/** Drivers for the CPU, which WebGPU takes last. */
const FOR_CPU = /lvp_icd|swiftshader/;

/**
 * Finds the driver files and tries which of them give adapters. Changes the environment for as long as that takes.
 *
 * One after the other is taken away: what is then another adapter, or none, was that driver's. (Each by itself would be simpler, but
 * where a driver finds no GPU WebGPU complains on standard error.)
 */
export async function tryVulkanDrivers(places: VulkanPlaces): Promise<VulkanDriver[]> {
  const files: (Omit<VulkanDriver, "adapter">)[] = [];
  for (const file of await driverFiles(places)) files.push({ ...file, problem: await problemOf(file.path) });
  const usable = files.filter(({ problem }) => problem === null).map(({ path }) => path);
  let left = [
    ...usable.filter((path) => !FOR_CPU.test(path)),
    ...usable.filter((path) => FOR_CPU.test(path)),
  ];
  let seen = left.length === 0 ? null : await places.see(only(left));
  const adapters = new Map<string, string>();
  for (const path of [...left]) {
    if (seen === null) break;
    const others = left.filter((other) => other !== path);
    const without = others.length === 0 ? null : await places.see(only(others));
    if (without?.identity !== seen.identity) adapters.set(path, seen.name);
    if (without !== null) [left, seen] = [others, without];
  }
  // Of two for the CPU, one stands behind the other whatever is taken away; each computes on its own, too.
  const behind = adapters.size === 0
    ? []
    : usable.filter((path) => FOR_CPU.test(path) && !adapters.has(path));
  for (const path of behind) {
    const own = await places.see(only([path]));
    if (own !== null) adapters.set(path, own.name);
  }
  return files.map((file) => ({ ...file, adapter: adapters.get(file.path) ?? null }));
}

/** Whether the adapter that runs get is one of Vulkan's: then it is the same as where nothing else may be taken. */
export async function isOfVulkan(places: VulkanPlaces): Promise<boolean | null> {
  const taken = await places.see({});
  if (taken === null) return null;
  return taken.identity === (await places.see({ [BACKEND_VARIABLE]: "vulkan" }))?.identity;
}

/** The driver files that the loader would read, with the variable that names them. */
async function driverFiles(
  { env, folders }: VulkanPlaces,
): Promise<{ path: string; variable: string | null }[]> {
  const named = async (variable: string) => {
    const paths = (env(variable) ?? "").split(":").filter((path) => path !== "");
    const files = await Promise.all(paths.map(async (path) => {
      const inside = await jsonFilesIn(path); // the loader takes folders, too
      return inside.length > 0 ? inside : [path];
    }));
    return files.flat().map((path) => ({ path, variable }));
  };
  const choosing = CHOOSING.find((variable) => env(variable));
  if (choosing !== undefined) return await named(choosing);
  const found = (await Promise.all(folders.map(jsonFilesIn))).flat();
  return [...await named(ADDING), ...found.map((path) => ({ path, variable: null }))];
}

async function jsonFilesIn(folder: string): Promise<string[]> {
  try {
    const names: string[] = [];
    for await (const { name } of Deno.readDir(folder)) if (name.endsWith(".json")) names.push(name);
    return names.sort().map((name) => join(folder, name));
  } catch {
    return []; // not there, not readable, or no folder: the loader finds nothing there either
  }
}

/** Folders that the loader looks into by itself. */
export function vulkanFolders(env: (name: string) => string | undefined): string[] {
  const home = env("HOME") ?? "";
  const data = env("XDG_DATA_HOME") || join(home, ".local/share");
  const config = env("XDG_CONFIG_HOME") || join(home, ".config");
  const shared = [
    "/usr/local/etc",
    "/etc/xdg",
    "/etc",
    "/usr/local/share",
    "/usr/share",
    "/run/opengl-driver/share",
  ];
  return [...new Set([config, ...shared, data])].map((folder) => join(folder, "vulkan/icd.d"));
}

/** Most bytes of a driver file; they have a few hundred. */
const MOST_BYTES = 2 ** 20;

/** What is wrong with a driver file, as far as it can be told without loading its library. */
export async function problemOf(path: string): Promise<string | null> {
  let text: string;
  try {
    const { isFile, size } = await Deno.stat(path);
    if (!isFile) return "is no file";
    if (size > MOST_BYTES) return "is no driver file: it is far too large";
    text = await Deno.readTextFile(path);
  } catch (error) {
    return error instanceof Deno.errors.NotFound ? "does not exist" : "cannot be read";
  }
  let library: unknown;
  try {
    library = JSON.parse(text)?.ICD?.library_path;
  } catch {
    return "is no JSON";
  }
  if (typeof library !== "string" || library === "") return "names no library (ICD.library_path)";
  // A bare name is looked for by the system's linker, which only the trial asks.
  if (!library.includes("/")) return null;
  return await libraryProblem(isAbsolute(library) ? library : resolve(dirname(path), library));
}

/** Machines by their numbers in ELF files. */
const ELF_MACHINES: Readonly<Record<string, number>> = { x86_64: 62, aarch64: 183 };

async function libraryProblem(path: string): Promise<string | null> {
  const head = new Uint8Array(20);
  try {
    using file = await Deno.open(path);
    if (!(await file.stat()).isFile) return `names ${path}, which is no file`;
    await file.read(head);
  } catch (error) {
    const why = error instanceof Deno.errors.NotFound ? "does not exist" : "cannot be opened";
    return `names the library ${path}, which ${why}`;
  }
  if (String.fromCharCode(...head.subarray(0, 4)) !== "\x7fELF") return `names ${path}, which is no library`;
  const machine = ELF_MACHINES[Deno.build.arch];
  if (machine !== undefined && (head[18] | head[19] << 8) !== machine) {
    return `names ${path}, a library for another kind of processor`;
  }
  return null;
}

/** A driver file as people call it: its name, or its path where a variable gives it. */
export function driverName({ path, variable }: Pick<VulkanDriver, "path" | "variable">): string {
  return variable === null ? basename(path) : path;
}

/** Time that WebGPU has to look for an adapter. */
const SEE_TIMEOUT_MS = 20_000;
/** See `WORKER_END_MS` of the GPU Worker: a thread that ends takes its drivers down. */
const WORKER_END_MS = 100;

/** Looks for an adapter in a thread of its own, under other variables, which are put back behind that. */
export async function seeUnder(
  variables: Readonly<Record<string, string | null>>,
): Promise<SeenAdapter | null> {
  const before = Object.keys(variables).map((name) => [name, Deno.env.get(name) ?? null] as const);
  const set = (name: string, value: string | null) =>
    value === null ? Deno.env.delete(name) : Deno.env.set(name, value);
  const worker = new Worker(new URL("./adapter_worker.ts", import.meta.url), { type: "module" });
  const { promise, resolve, reject } = Promise.withResolvers<SeenAdapter | null>();
  const timer = setTimeout(() => reject(new Error("no answer from the driver")), SEE_TIMEOUT_MS);
  worker.onmessage = ({ data }: MessageEvent<AdapterAnswer>) =>
    "seen" in data ? resolve(data.seen) : reject(new Error(data.error));
  worker.onerror = (event) => {
    event.preventDefault();
    reject(new Error(event.message));
  };
  try {
    for (const [name, value] of Object.entries(variables)) set(name, value);
    worker.postMessage(null);
    return await promise;
  } catch {
    return null; // a driver that fails gives no adapter
  } finally {
    clearTimeout(timer);
    for (const [name, value] of before) set(name, value);
    worker.terminate();
    await new Promise((done) => setTimeout(done, WORKER_END_MS));
  }
}
