/** What comes before a run on a recipe's data: the synthetic set is made, and the backbone's file is looked at. */
import { isSynthesized, synthesize } from "../../data/synth/dataset.ts";
import { type Config, synthOptions } from "../../train/recipe/config.ts";
import { settleBackbone } from "../../train/files/backbone.ts";
import { checkKnownWeights } from "../../train/files/known_weights.ts";
import { formatCount } from "../../lib/text.ts";
import type { Io } from "./output.ts";
import { tellStages } from "./stages.ts";

/**
 * Says whether a backbone is the published file that it is named after (where stored features take its place, nothing), and how
 * its file is read.
 *
 * @returns The recipe with the activation that the file is for.
 */
export async function settleWeights(config: Config, io: Io): Promise<Config> {
  const { network, data } = config;
  if (network.weights === null || !network.init) return config;
  const check = data.features === null ? await checkKnownWeights(network.weights) : null;
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
