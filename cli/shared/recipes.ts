/** The recipe that verbs work with: a file, that of a run, or the one that is picked for a folder of clips. */
import type { DeviceInfo } from "../../gpu/runtime.ts";
import { AdapterError, ConfigError } from "../../lib/errors.ts";
import { formatCount } from "../../lib/text.ts";
import { systemOf } from "../../models/registry.ts";
import type { ClassFolders } from "../../data/datasets/folders.ts";
import { MissingWeightsError } from "../../train/files/named_weights.ts";
import { loadRunConfig } from "../../train/files/run_config.ts";
import { type Config, loadConfig, type LoadedConfig } from "../../train/recipe/config.ts";
import { loadFolderRecipe } from "../../train/run/class_folders.ts";
import { fitToAdapter, requireFittingFrames, type SplitClips } from "../../train/run/fit_recipe.ts";
import { loadListedRecipe } from "../../train/run/listed_folder.ts";
import { readSplit } from "../../train/feed/lists.ts";
import type { ExpectedFrame } from "../../train/runtime/frame_buffers.ts";
import { tellStages } from "../text/stages.ts";
import type { OptionSpec } from "./args.ts";
import { settleWeights } from "./before_run.ts";
import { tellLeftOut } from "./clips.ts";
import type { Io } from "./output.ts";
import type { Sources } from "./sources.ts";
import { tunedChoices } from "./tuned.ts";
import { findWeights, requireNameOfBackbone, requireSmallWeights, WEIGHTS_OPTIONS } from "./weights.ts";

/** Flags of verbs that pick a recipe for a folder. */
export const RECIPE_OPTIONS = {
  ...WEIGHTS_OPTIONS,
  tiny: {
    type: "boolean",
    help: "for a folder without a recipe: a small network on a random backbone, to see that all works",
  },
} as const satisfies Record<string, OptionSpec>;

/** The recipes for folders that come without one; they lie beside the sources, whatever the working folder. */
const OWN = {
  usual: { name: "configs/own_videos.yaml", url: new URL("../../configs/own_videos.yaml", import.meta.url) },
  tiny: {
    name: "configs/own_videos_tiny.yaml",
    url: new URL("../../configs/own_videos_tiny.yaml", import.meta.url),
  },
};

/** A recipe, with what is known of the folder that it is for. */
export interface FoundRecipe extends LoadedConfig {
  /** Class folders, whose lists are still to be kept; absent: the recipe has lists. */
  folder?: ClassFolders;
  /** The recipe was picked, not given. */
  isPicked: boolean;
  isRecorded?: boolean;
}

/** What the flags say. */
interface PickOptions {
  tiny?: boolean;
  offline?: boolean;
  overrides: readonly string[];
  /** The weights are looked for, so that a small network stands in where they cannot be had. */
  needsWeights: boolean;
}

/**
 * Reads or picks the recipe for what was given, and says which it is.
 *
 * @returns null where nothing was given
 */
export async function findRecipe(
  sources: Sources,
  options: PickOptions,
  io: Io,
): Promise<FoundRecipe | null> {
  const { recipe, folder, run } = sources, { overrides } = options;
  if (options.tiny && (recipe !== null || folder === null)) {
    throw new ConfigError(
      "Cannot use --tiny: it picks the recipe for a folder of clips, so a folder must be given, and no recipe",
    );
  }
  if (run !== null && recipe !== null) {
    throw new ConfigError(`Cannot use "${recipe}": the run "${run}" has its own recipe`);
  }
  if (run !== null) {
    return { ...await loadRunConfig(run, overrides), isPicked: false, isRecorded: true };
  }
  if (folder === null) {
    return recipe === null ? null : { ...await loadConfig(recipe, overrides), isPicked: false };
  }
  if (recipe !== null) {
    return { ...await loadFor(folder, { config: recipe, overrides }, io), isPicked: false };
  }
  const isSynthetic = folder.kind === "lists" && folder.lists.isSynthetic;
  const isTiny = options.tiny || isSynthetic && !asksForNetwork(overrides);
  const pick = async (which: "usual" | "tiny") => {
    const base = await Deno.readTextFile(OWN[which].url);
    return { ...await loadFor(folder, { config: null, base, overrides }, io), isPicked: true };
  };
  if (isTiny) {
    const found = await pick("tiny");
    requireNameOfBackbone(found.config);
    requireSmallWeights(found.config);
    if (!options.tiny) io.note("the set is synthetic: a small network is enough for it");
    tellPicked(found.config, "tiny", io);
    return found;
  }
  const usual = await pick("usual");
  requireNameOfBackbone(usual.config);
  tellPicked(usual.config, "usual", io);
  const { weights, init } = usual.config.network;
  if (!options.needsWeights || weights === null || !init || usual.config.data.features !== null) return usual;
  try {
    await findWeights(weights, io, { offline: options.offline });
    return usual;
  } catch (error) {
    // Only where all was left to the tool: who asks for a network gets that or an error.
    if (!(error instanceof MissingWeightsError) || asksForNetwork(overrides)) throw error;
    io.note(`warning: ${error.message}`);
    io.note("warning: A SMALL RANDOM NETWORK STANDS IN until then, as with --tiny");
    const found = await pick("tiny");
    tellPicked(found.config, "tiny", io);
    return found;
  }
}

function asksForNetwork(overrides: readonly string[]): boolean {
  return overrides.some((one) => /^(network\b|system=)/.test(one));
}

function tellPicked({ system, network, data }: Config, which: keyof typeof OWN, io: Io): void {
  const weights = network.init ? network.weights : null;
  io.note(
    `recipe: ${systemOf(system).title} on ${network.arch === "custom" ? "a small ViT" : network.arch}, ${
      weights === null ? "RANDOM WEIGHTS" : `weights ${weights}`
    }, ${data.num_segments} frames a clip (${OWN[which].name})`,
  );
}

async function loadFor(
  folder: NonNullable<Sources["folder"]>,
  options: { config: string | null; base?: string; overrides: readonly string[] },
  io: Io,
): Promise<LoadedConfig & { folder?: ClassFolders }> {
  if (folder.kind === "lists") return await loadListedRecipe(folder.lists, options);
  return await loadFolderRecipe(folder.path, {
    ...options,
    signal: io.signal,
    onProgress: (done, total) => {
      if (done % 200 === 0) io.status(`${formatCount(done)}/${formatCount(total)} clips`);
    },
  });
}

/** Says what a folder of class folders holds. */
export function tellFolder(path: string, { classes, clips, unusable }: ClassFolders, io: Io): void {
  io.status("");
  tellLeftOut(unusable, io, { where: `sidenet prepare ${path} --out DIR` });
  const countOf = (split: string) => clips.filter((clip) => clip.split === split).length;
  io.note(
    `${path}: ${formatCount(classes.length)} classes, ${formatCount(countOf("train"))} ${
      countOf("train") === 1 ? "clip" : "clips"
    } for training and ${formatCount(countOf("val"))} for validation` +
      (countOf("test") > 0 ? `; ${formatCount(countOf("test"))} test clips stay unused` : ""),
  );
}

/** A recipe that suits its clips, and what it was suited to. */
export interface SuitedRecipe {
  config: Config;
  /** The largest frame that is expected; absent where no clip is looked at. */
  frame?: ExpectedFrame;
  /** Absent where nothing is chosen for it. */
  adapter?: DeviceInfo;
}

/**
 * Looks at a folder's clips before anything is made of them: refuses those that the recipe cannot take, and, where the recipe
 * was picked, suits it to the adapter.
 */
export async function fitRecipe(
  found: FoundRecipe,
  overrides: readonly string[],
  io: Io,
): Promise<SuitedRecipe> {
  const { config, folder } = found, { signal } = io;
  if (config.data.features !== null) return { config };
  using stages = tellStages(io);
  stages.tell({ what: "looking at the clips" });
  const clips = folder === undefined ? await listedClips(config) : clipsOf(folder);
  const frame = await requireFittingFrames(config, clips, { signal, stage: stages.tell });
  if (!found.isPicked) return { config, frame };
  const given = (key: string) => overrides.some((one) => one.startsWith(`${key}=`));
  const { config: fitted, notes, adapter } = await fitToAdapter(config, {
    clips: clips.train.length,
    frame,
    signal,
    stage: stages.tell,
    may: {
      batch: !given("data.batch_size"),
      precision: !given("precision"),
      choices: await tunedChoices(io),
    },
  });
  stages.end();
  for (const note of notes) io.note(note);
  if (adapter.environment.isSoftware && config.network.arch !== "custom") {
    io.note(
      `warning: there is no GPU, and on a software adapter a step of ${config.network.arch} takes minutes; --tiny takes a small network`,
    );
  }
  return { config: fitted, frame, adapter };
}

/**
 * The recipe to plan: one that was picked as a run would have it. Without an adapter it is the recipe's own.
 */
export async function recipeToPlan(
  found: FoundRecipe,
  overrides: readonly string[],
  io: Io,
): Promise<Config> {
  if (!found.isPicked) return found.config;
  try {
    return (await fitRecipe(found, overrides, io)).config;
  } catch (error) {
    if (!(error instanceof AdapterError)) throw error;
    io.note(
      "a run chooses its batch for the adapter, and there is none here: what follows is the recipe's own",
    );
    return found.config;
  }
}

async function listedClips(config: Config): Promise<SplitClips> {
  return { train: await readSplit(config, "train"), val: await readSplit(config, "val") };
}

function clipsOf({ clips }: ClassFolders): SplitClips {
  const of = (split: string) =>
    clips.filter((clip) => clip.split === split).map(({ path, label }, i) => ({
      path,
      label,
      frames: null,
      line: i + 1,
    }));
  return { train: of("train"), val: of("val") };
}

/** `settleWeights` for a recipe that was found. */
export async function settleFound(
  found: FoundRecipe,
  config: Config,
  options: { offline?: boolean },
  io: Io,
): Promise<Config> {
  return await settleWeights(config, io, { offline: options.offline, isRecorded: found.isRecorded });
}
