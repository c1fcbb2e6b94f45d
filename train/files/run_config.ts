/**
 * The recipe of a run as its folder holds it, which may have been moved or copied, and may be opened from another working folder:
 * what lies in the folder is found there, and relative paths are those of the folder that the run was started in.
 */
import { isFolder } from "../recipe/frame_cache.ts";
import { basename, dirname, isAbsolute, join, resolve } from "node:path";
import { type Config, loadConfig, type LoadedConfig } from "../recipe/config.ts";
import { RUN_FILES } from "./run_folder.ts";

/** Keys that hold paths. */
const DATA_PATHS = [
  "root",
  "train_root",
  "val_root",
  "train_list",
  "val_list",
  "label_list",
  "features",
  "frame_cache",
] as const;
/** The lists that a run on a folder of class folders keeps. */
const OWN_LISTS = { train_list: "trainList", val_list: "valList", label_list: "labels" } as const;

/**
 * Reads the recipe of a run folder.
 *
 * @param overrides `key=value` arguments; their paths are those of the working folder.
 */
export async function loadRunConfig(path: string, overrides: readonly string[] = []): Promise<LoadedConfig> {
  const loaded = await loadConfig(join(path, RUN_FILES.config), overrides);
  return { ...loaded, config: await locateRunFiles(loaded.config, { folder: path, overrides }) };
}

/**
 * Points a run's recipe to where its files are now.
 *
 * @param at.folder The run's folder, or where one of its checkpoints lies.
 */
export async function locateRunFiles(
  config: Config,
  at: { folder: string; overrides: readonly string[] },
): Promise<Config> {
  const given = (key: string) => at.overrides.some((one) => one === key || one.startsWith(`${key}=`));
  const { started_in: home } = config, isElsewhere = home !== null && resolve(home) !== resolve(".");
  const paths = [config.pretrain, config.network.weights, ...DATA_PATHS.map((key) => config.data[key])];
  const relative = paths.filter((path): path is string => path !== null && !isAbsolute(path));
  const isThere = isElsewhere &&
    (await Promise.all(relative.map((path) => exists(join(home, path))))).some(Boolean);
  const located = (path: string | null, key: string): string | null => {
    if (path === null || isAbsolute(path) || !isElsewhere) return path;
    if (key === "data.frame_cache" && !isFolder(path)) return path;
    // An argument's path is meant here, and must still be when the run is opened again from where it was started.
    if (given(key)) return resolve(path);
    return isThere ? join(home, path) : path;
  };
  const data = { ...config.data };
  for (const key of DATA_PATHS) data[key] = located(data[key], `data.${key}`);
  for (const [key, file] of Object.entries(OWN_LISTS) as [keyof typeof OWN_LISTS, keyof typeof RUN_FILES][]) {
    const path = data[key], own = join(at.folder, RUN_FILES[file]);
    if (path === null || basename(path) !== RUN_FILES[file] || given(`data.${key}`)) continue;
    const isRunsOwn = !await exists(path) || await exists(join(dirname(path), RUN_FILES.config));
    if (isRunsOwn && await exists(own)) data[key] = resolve(own);
  }
  return {
    ...config,
    pretrain: located(config.pretrain, "pretrain"),
    data,
    network: { ...config.network, weights: located(config.network.weights, "network.weights") },
  };
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}
