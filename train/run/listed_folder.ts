/** Training on a folder that holds its lists beside its clips, such as what `synth` writes: the recipe's data become the folder. */
import { stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { detectTemplate } from "../../data/datasets/entries.ts";
import { readAnyList, readLabels } from "../../data/datasets/read.ts";
import { ConfigError } from "../../lib/errors.ts";
import { hasCaptions } from "../feed/lists.ts";
import type { LoadedConfig } from "../recipe/config.ts";
import { overrideOf } from "../recipe/overrides.ts";
import { type FolderRecipeOptions, randomRemarks, recipeReader } from "./class_folders.ts";

/** A folder with lists. */
export interface ListedFolder {
  path: string;
  train: string;
  val: string;
  /** null: clips have captions, or classes have no names. */
  labels: string | null;
  captioned: boolean;
  /** Whether its clips were made by `synth`. */
  isSynthetic: boolean;
}

/** The lists in a folder; null where there are none. */
export async function findListedFolder(path: string): Promise<ListedFolder | null> {
  const has = (name: string) => stat(join(path, name)).then((info) => info.isFile(), () => false);
  for (const ending of ["txt", "jsonl"]) {
    const [train, val] = [`train.${ending}`, `val.${ending}`];
    if (!await has(train) || !await has(val)) continue;
    return {
      path,
      train: join(path, train),
      val: join(path, val),
      labels: await has("labels.csv") ? join(path, "labels.csv") : null,
      captioned: ending === "jsonl",
      isSynthetic: await has("synth.json"),
    };
  }
  return null;
}

/** Reads a recipe, or the defaults, with its data replaced by a folder's lists. */
export async function loadListedRecipe(
  folder: ListedFolder,
  options: FolderRecipeOptions,
): Promise<LoadedConfig> {
  const { path, labels, captioned } = folder;
  if (captioned && options.config === null) throw otherKind(folder);
  const load = recipeReader(path, options);
  const keys: Record<string, string | number | null> = {
    root: resolve(path),
    train_root: null,
    val_root: null,
    synth: null,
    train_list: resolve(folder.train),
    val_list: resolve(folder.val),
    label_list: labels === null ? null : resolve(labels),
    modality: "either",
    num_classes: null,
  };
  const { clips } = await readAnyList(folder.train);
  if (!captioned) {
    keys.num_classes = labels !== null
      ? (await readLabels(labels)).length
      : 1 + clips.reduce((most, { label }) => Math.max(most, label), 0);
  }
  const isGiven = (key: string) => options.overrides.some((one) => one.startsWith(`${key}=`));
  // A mirrored clip of the synthetic sets moves the other way.
  if (folder.isSynthetic && options.config === null && !isGiven("data.flip")) keys.flip = "none";
  const template = isGiven("data.image_tmpl")
    ? null
    : await detectTemplate(path, clips.map((clip) => clip.path));
  if (template !== null) keys.image_tmpl = template;
  const given = Object.entries(keys).map(([key, value]) => overrideOf(`data.${key}`, value));
  let loaded: LoadedConfig;
  try {
    loaded = await load(given);
  } catch (error) {
    // A network that learns classes needs their number, one that learns from captions refuses it.
    if (error instanceof ConfigError && error.message.includes("data.num_classes")) throw otherKind(folder);
    throw error;
  }
  if (hasCaptions(loaded.config) !== captioned) throw otherKind(folder);
  return { ...loaded, warnings: [...loaded.warnings, ...randomRemarks(loaded.config)] };
}

function otherKind({ path, captioned }: ListedFolder): ConfigError {
  return new ConfigError(
    captioned
      ? `Cannot train on "${path}": its clips have captions, so a recipe for retrieval must come with it, such as ` +
        `configs/demo_retrieval.yaml`
      : `Cannot train on "${path}": its clips have classes, so the recipe must be one for classes`,
  );
}
