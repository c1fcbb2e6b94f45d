/**
 * Settles what a recipe leaves open (`auto`, null) from its other values, and refuses combinations that cannot be run.
 */
import { systemOf, SYSTEMS } from "../../models/registry.ts";
import { type Family, FLOAT_FAMILY } from "../../models/system.ts";
import { givesSizes } from "../../models/tower.ts";
import { towerSizes } from "../../models/towers.ts";
import { basicRequirements, runRequirements, systemRequirements } from "./_checks.ts";
import type { Config } from "./_settled.ts";
import { settleSynth } from "./_synth.ts";
import { requireAll } from "./errors.ts";
import type { ParsedConfig } from "./schema.ts";

const DEFAULT_ARCH = "ViT-B/16";
const GREY_PROBABILITY = 0.2;
/**
 * Names of the data sets whose published loaders leave out clips of which the list states fewer frames, as `isPublished` compares
 * them: Something-Something in full or short (ssv2, sthv1, sthsthv2), and Kinetics (k400, kinetics600).
 */
const SOMETHING = /something|^(ss|sth|sthsth|smth|smthsmth)v[12]$/;
const PUBLISHED_SETS = new RegExp(`${SOMETHING.source}|^k(inetics)?[467]00$|^kinetics$`);
export const PUBLISHED_MIN_FRAMES = 8;
/** Classes of Something-Something, of either version. */
const SOMETHING_CLASSES = 174;

/**
 * Settles a parsed recipe.
 *
 * @param origin The recipe's file, for messages, and the name of a run that has none.
 * @throws {ConfigError} where the recipe cannot be run.
 */
export function settleConfig(parsed: ParsedConfig, origin: { source: string; runName: string }): Config {
  const ids = SYSTEMS.map(({ id }) => JSON.stringify(id)).join(", ");
  requireAll([[parsed.system !== null, "system", `be one of ${ids}`, parsed.system]], origin.source);
  const config = settleSystem(settleCommon(parsed, origin.runName));
  // The others may rely on these: that there is a tower, for one.
  requireAll(basicRequirements(parsed, config), origin.source);
  requireAll([...systemRequirements(config), ...runRequirements(config)], origin.source);
  return config;
}

/** Keys that every recipe has. */
function settleCommon(parsed: ParsedConfig, runName: string): Config {
  const { data, network } = parsed, { captions = false } = systemOf(parsed.system!);
  const family = data.family !== "auto"
    ? data.family
    : systemOf(parsed.system!).recipe.family ?? (data.dataset.includes("something") ? "sth" : "kinetics");
  const synth = data.synth === null ? null : settleSynth(data.synth);
  // A synthetic set has its lists beside it.
  const made = (split: string) =>
    synth === null || data.root === null ? null : `${data.root}/${split}.${captions ? "jsonl" : "txt"}`;
  const arch = network.arch ?? (givesSizes(network.backbone) ? "custom" : DEFAULT_ARCH);
  const hasTower = arch !== "custom" || givesSizes(network.backbone);
  const inputSize = data.input_size ?? (hasTower ? towerSizes({ ...network, arch }).imageSize : 0);
  return {
    ...parsed,
    system: parsed.system!,
    name: parsed.name ?? runName,
    data: {
      ...data,
      synth,
      train_list: data.train_list ?? made("train"),
      val_list: data.val_list ?? made("val"),
      min_frames: data.min_frames !== "auto"
        ? data.min_frames
        : isPublished(data.dataset)
        ? PUBLISHED_MIN_FRAMES
        : 0,
      family,
      drop_last: data.drop_last === "auto" ? captions : data.drop_last,
      test_side: family === FLOAT_FAMILY ? data.test_side ?? inputSize : data.test_side,
      resize: data.resize !== "auto" ? data.resize : captions || family === FLOAT_FAMILY ? "short" : family,
      crop: data.crop !== "auto" ? data.crop : captions ? "centre" : "random_resized",
      // A caption may speak of sides and colours.
      flip: data.flip !== "auto" ? data.flip : captions ? "none" : flipOf(family, data),
      grey: data.grey !== "auto" ? data.grey : captions || family === "sth" ? 0 : GREY_PROBABILITY,
      input_size: inputSize,
      num_classes: captions ? 0 : data.num_classes ?? synth?.classes?.length ?? 0,
    },
    network: { ...network, arch, n_emb: network.n_emb ?? network.side_dim },
    solver: settleSolver(parsed),
  };
}

/** The optimiser and what goes with it. */
function settleSolver({ solver, system }: ParsedConfig): Config["solver"] {
  const published = systemOf(system!);
  const optimizer = solver.optimizer === "auto" ? published.optimizer ?? "adamw" : solver.optimizer;
  const usual = optimizer === "bert_adam" ? "warmup_cosine" : "cosine";
  return {
    ...solver,
    optimizer,
    type: solver.type === "auto" ? published.schedule ?? usual : solver.type,
    betas: solver.betas ?? (optimizer === "bert_adam" ? [0.9, 0.98] : [0.9, 0.999]),
  };
}

/** Whether a data set is a published one by its name, whatever its case, and what stands between its letters and digits. */
function isPublished(dataset: string): boolean {
  return PUBLISHED_SETS.test(plainName(dataset));
}

function plainName(dataset: string): string {
  return dataset.toLowerCase().replaceAll(/[^\p{L}\d]/gu, "");
}

/** The keys of the recipe's own system. */
function settleSystem(config: Config): Config {
  const own = systemOf(config.system).recipe.settle?.(config);
  return {
    ...config,
    data: { ...config.data, ...own?.data },
    network: { ...config.network, ...own?.network },
  };
}

/** A mirrored clip keeps its class in Kinetics; in Something-Something left becomes right, and only its own labels can tell. */
function flipOf(
  family: Family,
  { dataset, num_classes: classes }: Pick<ParsedConfig["data"], "dataset" | "num_classes">,
): Config["data"]["flip"] {
  if (family === "kinetics" || family === FLOAT_FAMILY && !SOMETHING.test(plainName(dataset))) return "plain";
  return classes === SOMETHING_CLASSES ? "sth" : "none";
}
