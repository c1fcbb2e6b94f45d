/**
 * Training on a folder of class folders without lists: the recipe's data become the folder, and the lists made of it are kept
 * with the run, so that resuming, evaluation and prediction find the same clips and classes.
 */

import { basename, join, resolve } from "node:path";
import { formatLabels } from "../../data/datasets/entries.ts";
import { type ClassFolders, readClassFolders, remarkOnSplits } from "../../data/datasets/folders.ts";
import { formatClipList } from "../../data/datasets/list.ts";
import type { WalkOptions } from "../../data/datasets/walk.ts";
import { ConfigError, DataError } from "../../lib/errors.ts";
import { publishedFile, weightsName } from "../../models/known_files.ts";
import { type Config, loadConfig, type LoadedConfig, parseConfig } from "../recipe/config.ts";
import { overrideOf } from "../recipe/overrides.ts";
import { RUN_FILES, type RunFolder } from "../files/run_folder.ts";

/** A recipe on a folder of class folders. */
export interface FolderRecipe extends LoadedConfig {
  folder: ClassFolders;
}

/** Keys that the folder decides. */
const FOLDER_KEYS = [
  "data.root",
  "data.train_root",
  "data.val_root",
  "data.train_list",
  "data.val_list",
  "data.label_list",
  "data.synth",
  "data.num_classes",
  "data.modality",
];
/** Names of classes that tell a side or a turn, which a mirror swaps. */
const SIDED = /(^|[^a-z])(left|right|(anti|counter)?-?clockwise)($|[^a-z])/i;
/** Classes that a remark names. */
const CLASSES_NAMED = 10;

/** Which recipe a folder's clips take the place of the data of. */
export interface FolderRecipeOptions {
  /** Its file; null: the defaults, for a run named like the folder. */
  config: string | null;
  /** The text of a recipe in place of the defaults. */
  base?: string;
  /** `key=value` arguments. */
  overrides: readonly string[];
}

/** The recipe for a folder, read with more arguments at a time. @throws {ConfigError} for an argument that the folder decides */
export function recipeReader(
  path: string,
  { config, base = "", overrides }: FolderRecipeOptions,
): (more: readonly string[]) => LoadedConfig | Promise<LoadedConfig> {
  for (const override of overrides) {
    const key = override.split("=", 1)[0];
    if (FOLDER_KEYS.some((one) => key === one || key.startsWith(`${one}.`))) {
      throw new ConfigError(`Cannot use argument "${override}": ${key} follows from the folder "${path}"`);
    }
  }
  const source = basename(resolve(path));
  return (more) =>
    config === null
      ? parseConfig(base, { source, overrides: [...ownTower(overrides), ...overrides, ...more] })
      : loadConfig(config, [...overrides, ...more]);
}

/**
 * Without a recipe the weights follow the tower that the arguments ask for: the published ones of its name, or none where they
 * describe one, unless they name a file.
 */
function ownTower(overrides: readonly string[]): string[] {
  const given = new Map(overrides.map((one) => [one.split("=", 1)[0], one.slice(one.indexOf("=") + 1)]));
  const arch = given.get("network.arch"),
    hasSizes = [...given.keys()].some((key) =>
      /^network\.backbone(\.(image_size|patch_size|width|layers|heads))?$/.test(key)
    );
  if (given.has("network")) return [];
  if (hasSizes) return ["network.arch=custom", "network.weights=null"];
  const file = arch === undefined ? undefined : publishedFile(arch);
  return arch === undefined ? [] : [`network.weights=${file === undefined ? "null" : weightsName(file)}`];
}

/**
 * Reads a recipe, or the defaults, with its data replaced by a folder's.
 */
export async function loadFolderRecipe(
  path: string,
  options: FolderRecipeOptions & WalkOptions,
): Promise<FolderRecipe> {
  const { overrides } = options, load = recipeReader(path, options);
  // The seed and the share are the recipe's, the number of classes is known only with the clips.
  const { config: before } = await load(["data.synth=null", "data.num_classes=1"]);
  if (before.resume !== null) {
    throw new ConfigError(
      `Cannot train on "${path}": the recipe goes on with the run "${before.resume}" and its data; leave out resume`,
    );
  }
  const givenTemplate = overrides.some((override) => override.startsWith("data.image_tmpl="));
  const folder = await readClassFolders(path, {
    valShare: before.data.val_share,
    seed: before.seed,
    template: givenTemplate ? before.data.image_tmpl : null,
    likelyTemplate: before.data.image_tmpl,
    signal: options.signal,
    onProgress: options.onProgress,
  });
  const counts = { train: countOf(folder, "train"), val: countOf(folder, "val") };
  requireClips(path, counts, folder);
  const root = resolve(path), list = (name: string) => join(before.run_root, before.name, name);
  const keys: Record<string, string | number | null> = {
    root,
    train_root: null,
    val_root: null,
    synth: null,
    train_list: list(RUN_FILES.trainList),
    val_list: list(RUN_FILES.valList),
    label_list: list(RUN_FILES.labels),
    num_classes: folder.classes.length,
    modality: folder.clips.every(({ kind }) => kind === "video") ? "video" : "either",
    image_tmpl: folder.template,
  };
  const remarks = remarksOn(folder);
  const batch = fittingBatch(before, counts.train);
  if (batch < before.data.batch_size) {
    keys.batch_size = batch;
    remarks.push(
      `data.batch_size is lowered from ${before.data.batch_size} to ${batch}: ${
        counts.train === 1 ? "there is 1 training clip" : `there are ${counts.train} training clips`
      }`,
    );
  }
  // Settled for one class: "auto" must not become "sth" because a set has as many classes as Something-Something.
  keys.flip = before.data.flip;
  if (before.data.flip === "sth") {
    keys.flip = "none";
    remarks.push(
      "data.flip is none: with sth, left and right classes are swapped by Something-Something's own numbers",
    );
  }
  const sided = folder.classes.filter((name) => SIDED.test(name));
  const isAsked = options.config !== null || overrides.some((one) => one.startsWith("data.flip="));
  if (keys.flip === "plain" && !isAsked && sided.length > 0) {
    keys.flip = "none";
    remarks.push(
      `data.flip is none: a mirrored clip of ${
        JSON.stringify(sided[0])
      } would show another class; data.flip=plain mirrors all the same`,
    );
  }
  remarks.push(...randomRemarks(before));
  const loaded = await load(Object.entries(keys).map(([key, value]) => overrideOf(`data.${key}`, value)));
  return { ...loaded, warnings: [...loaded.warnings, ...remarks], folder };
}

/** Says loudly that a backbone is random. */
export function randomRemarks({ data, network }: Config): string[] {
  if (data.features !== null || network.weights !== null && network.init) return [];
  return [
    "the frozen backbone has random weights, which know nothing of pictures: accuracy will be that of a toy; take one of CLIP's, " +
    `${
      network.arch === "custom" ? "without --tiny, or by a recipe with " : "with "
    }network.weights=ViT-B-16 for network.arch=ViT-B/16`,
  ];
}

/**
 * Writes the lists into a folder and points its recipe there.
 *
 * @param run The folder of the run, or another one.
 */
export async function keepLists(
  config: Config,
  folder: ClassFolders,
  run: Pick<RunFolder, "file" | "write">,
): Promise<Config> {
  for (const [file, split] of [["trainList", "train"], ["valList", "val"]] as const) {
    // Without counts: the published rule drops clips that state few frames, and here every clip is meant.
    const clips = folder.clips.filter((clip) => clip.split === split).map((clip) => ({
      ...clip,
      frames: null,
    }));
    await run.write(file, formatClipList(clips));
  }
  await run.write("labels", formatLabels(folder.classes));
  return withKeptLists(config, run);
}

/** The recipe on the lists that `keepLists` writes. */
export function withKeptLists(config: Config, run: Pick<RunFolder, "file">): Config {
  const data = {
    ...config.data,
    train_list: resolve(run.file("trainList")),
    val_list: resolve(run.file("valList")),
    label_list: resolve(run.file("labels")),
  };
  return { ...config, data };
}

function countOf({ clips }: ClassFolders, split: "train" | "val"): number {
  return clips.filter((clip) => clip.split === split).length;
}

function requireClips(
  path: string,
  counts: { train: number; val: number },
  { classes, clips, template, unusable }: ClassFolders,
): void {
  if (clips.length === 0) {
    const [first] = unusable;
    const example = first === undefined ? "" : `; ${first.path}: ${first.reason}`;
    throw new DataError(
      `Cannot train on "${path}": it must hold clips in a folder for each class, videos or folders of frames named "${template}", current count is 0${example}`,
    );
  }
  if (classes.length === 1) {
    throw new DataError(
      `Cannot train on "${path}": it must hold two classes or more, a folder for each, current count is 1 ("${
        classes[0]
      }")`,
    );
  }
  if (counts.train > 0 && counts.val > 0) return;
  const split = counts.train === 0 ? "training" : "validation";
  throw new DataError(
    `Cannot train on "${path}": there must be a usable ${split} clip (a class of two or more gives one to validation), current count is 0 of ${clips.length}`,
  );
}

/** The batch, no larger than there are clips; even where mixup needs it. */
function fittingBatch({ data, solver }: Config, clips: number): number {
  const batch = Math.min(data.batch_size, clips);
  return solver.mixup && batch * data.num_sample % 2 === 1 ? Math.max(1, batch - 1) : batch;
}

function remarksOn(folder: ClassFolders): string[] {
  const { classes, clips, emptyClasses } = folder;
  const remarks = [remarkOnSplits(folder)].filter((one) => one !== null);
  const remark = (names: readonly string[], what: string) => {
    if (names.length === 0) return;
    const more = names.length > CLASSES_NAMED ? ` and ${names.length - CLASSES_NAMED} more` : "";
    const named = names.slice(0, CLASSES_NAMED).map((name) => JSON.stringify(name)).join(", ") + more;
    remarks.push(`${what}: ${named}`);
  };
  remark(emptyClasses, "folders without a usable clip are no classes");
  for (const [split, word] of [["train", "training"], ["val", "validation"]] as const) {
    const present = new Set(clips.filter((clip) => clip.split === split).map(({ label }) => label));
    remark(classes.filter((_, label) => !present.has(label)), `classes without a ${word} clip`);
  }
  return remarks;
}
