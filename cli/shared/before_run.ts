/** What comes before a run on a recipe's data: the synthetic set is made, and the backbone's file is looked at. */
import { isSynthesized, synthesize } from "../../data/synth/dataset.ts";
import { type Config, synthOptions } from "../../train/recipe/config.ts";
import { settleBackbone } from "../../train/files/backbone.ts";
import { checkKnownWeights } from "../../train/files/known_weights.ts";
import { formatCount } from "../../lib/text.ts";
import type { Io } from "./output.ts";
import { tellStages } from "../text/stages.ts";
import { type FindWeightsOptions, withWeightsFound } from "./weights.ts";

/**
 * Finds a backbone's file, which may be fetched, and says whether it is the published one that it is named after (where stored
 * features take its place, neither), and how it is read.
 *
 * @returns The recipe with the file's path, and the activation that the file is for.
 */
export async function settleWeights(
  recipe: Config,
  io: Io,
  options: FindWeightsOptions = {},
): Promise<Config> {
  const { network: { weights: given, init }, data } = recipe;
  if (given === null || !init) return recipe;
  // Stored features do without the file.
  const { config, sha256 } = data.features === null
    ? await withWeightsFound(recipe, io, options)
    : { config: recipe };
  const check = data.features === null ? await checkKnownWeights(config.network.weights!, { sha256 }) : null;
  if (check !== null) io.note(check.ok ? check.text : `warning: ${check.text}`);
  const settled = await settleBackbone(config, { sha256: check?.sha256 });
  for (const note of settled.notes) io.note(note);
  for (const warning of settled.warnings) io.note(`warning: ${warning}`);
  return settled.config;
}

/** Whether a recipe has a synthetic set that is not there yet. */
export async function isDataMissing(config: Config): Promise<boolean> {
  const options = synthOptions(config), { root } = config.data;
  return options !== null && root !== null && !await isSynthesized(root, options);
}

/** Makes the synthetic set of a recipe that has one, where it is not there yet. */
export async function makeData(config: Config, io: Io): Promise<void> {
  const options = synthOptions(config), { root } = config.data;
  if (options === null || root === null || await isSynthesized(root, options)) return;
  io.note(`making the data set ${root} (${formatCount(options.trainClips + options.valClips)} clips)`);
  using stages = tellStages(io);
  await synthesize(root, options, {
    signal: io.signal,
    onWait: (holder) => io.note(`waiting for the data set: ${holder}`),
    onProgress: (done, total) => {
      if (done % 10 === 0 || done === total) {
        stages.tell({ what: "making the data set", done, of: total, unit: "clips" });
      }
    },
  });
}
