/** What `check` is to read: one list, the lists of a recipe or a run, or the clips of a folder. */
import { isAbsolute } from "node:path";
import type { UnusableClip } from "../../data/datasets/entries.ts";
import { readClassFolders } from "../../data/datasets/folders.ts";
import type { ClipRecord } from "../../data/datasets/list.ts";
import { readAnyList, readLabels } from "../../data/datasets/read.ts";
import { ConfigError } from "../../lib/errors.ts";
import { shorten } from "../../lib/text.ts";
import { loadRunConfig } from "../../train/files/run_config.ts";
import { type Config, dataRoots, loadConfig } from "../../train/recipe/config.ts";
import { sourceAt } from "./sources.ts";

/** Clips that are read as one list. */
export interface CheckedList {
  name: string;
  clips: readonly ClipRecord[];
  root: string;
  /** null: not known. */
  classes: number | null;
  /** null: found out. */
  template: string | null;
  firstFrame: number | null;
  repairedLines: readonly number[];
  /** What of a folder is no clip. */
  unusable: readonly UnusableClip[];
}

/** Flags that say more about a list. */
export interface ListFlags {
  root?: string;
  classes?: number;
  labels?: string;
  template?: string;
  "first-frame"?: number;
}

/** Characters of a path that are printed. */
const MOST_SHOWN = 400;

/** The lists that a path stands for. @throws {ConfigError} where flags say what the path says already */
export async function checkedLists(
  path: string,
  flags: ListFlags,
  signal: AbortSignal,
): Promise<CheckedList[]> {
  const source = await sourceAt(path);
  if (source === null || source.kind === "recipe" && !/\.ya?ml$/i.test(path)) {
    return [await listAt(path, flags)];
  }
  for (const flag of ["root", "classes", "labels"] as const) {
    if (flags[flag] === undefined) continue;
    throw new ConfigError(`Cannot check "${path}": --${flag} must be left out, it says that itself`);
  }
  const { template = null, "first-frame": firstFrame = null } = flags;
  if (source.kind === "classes") {
    const folder = await readClassFolders(path, { valShare: 1, seed: 0, template, signal });
    const clips = folder.clips.map(({ path, label }, i) => ({ path, label, frames: null, line: i + 1 }));
    const { unusable, classes, template: names } = folder;
    return [{
      name: path,
      clips,
      root: path,
      classes: classes.length,
      template: names,
      firstFrame,
      repairedLines: [],
      unusable,
    }];
  }
  if (source.kind === "lists") {
    const { train, val, labels } = source.lists;
    return await Promise.all(
      [train, val].map((list) => listAt(list, { ...flags, root: path, labels: labels ?? undefined })),
    );
  }
  const { config } = source.kind === "run" ? await loadRunConfig(path) : await loadConfig(path);
  return await listsOf(config, path, flags);
}

/** Both lists of a recipe. */
async function listsOf(config: Config, path: string, flags: ListFlags): Promise<CheckedList[]> {
  const { data } = config, roots = dataRoots(config), lists: CheckedList[] = [];
  for (const split of ["train", "val"] as const) {
    const list = data[`${split}_list`];
    if (list === null) throw new ConfigError(`Cannot check "${path}": data.${split}_list must be given`);
    const classes = data.num_classes > 0 ? data.num_classes : undefined;
    const own = {
      template: data.image_tmpl,
      "first-frame": data.first_frame ?? undefined,
      root: roots[split],
      classes,
    };
    lists.push(await listAt(list, { ...own, ...flags }));
  }
  return lists;
}

async function listAt(list: string, flags: ListFlags): Promise<CheckedList> {
  const { clips, repairedLines } = await readAnyList(list, flags.root);
  const root = await requireRoot(flags.root, clips);
  const classes = flags.classes ??
    (flags.labels === undefined ? null : (await readLabels(flags.labels)).length);
  const { template = null, "first-frame": firstFrame = null } = flags;
  return { name: list, clips, root, classes, template, firstFrame, repairedLines, unusable: [] };
}

/** The root, which a list of absolute paths does not need. */
async function requireRoot(root: string | undefined, clips: readonly ClipRecord[]): Promise<string> {
  if (root !== undefined) {
    await requireFolder("--root", root);
    return root;
  }
  const relative = clips.find(({ path }) => !isAbsolute(path));
  if (relative === undefined) return ".";
  throw new ConfigError(
    `Cannot check: --root must name the folder that the list's paths are relative to, such as "${
      shorten(relative.path, MOST_SHOWN)
    }"`,
  );
}

/** @throws {ConfigError} where a flag names no folder */
export async function requireFolder(flag: string, path: string): Promise<void> {
  if (await Deno.stat(path).then((info) => info.isDirectory, () => false)) return;
  throw new ConfigError(`Cannot check: ${flag} must be a folder, current value is "${path}"`);
}
