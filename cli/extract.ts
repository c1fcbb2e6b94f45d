/** `sidenet extract`: runs the frozen backbone once over the clips of a recipe, so that training need not. */
import { join } from "node:path";
import { writeFileWhole } from "../data/files.ts";
import { ConfigError } from "../lib/errors.ts";
import { RUN_FILES } from "../train/files/run_folder.ts";
import { keepLists } from "../train/run/class_folders.ts";
import { createModel } from "../models/mod.ts";
import { extractFeatures, type ExtractPlan, type ExtractResult } from "../train/features/writer.ts";
import { checkStorable, storedEpochs } from "../train/features/features.ts";
import { describeProblems } from "../train/feed/problems.ts";
import { formatBytes, formatCount, formatDuration, progressBar } from "../lib/text.ts";
import { modelSpec } from "../train/recipe/model.ts";
import { START_LIMIT_SECONDS, type World } from "../mpi/world.ts";
import type { Config } from "../train/recipe/config.ts";
import { joinWorld } from "./ranks/world.ts";
import { defineCommand, parseArguments } from "./shared/args.ts";
import { makeData } from "./shared/before_run.ts";
import { splitAssignments } from "./shared/overrides.ts";
import type { Io } from "./shared/output.ts";
import { findRecipe, fitRecipe, RECIPE_OPTIONS, settleFound, tellFolder } from "./shared/recipes.ts";
import { sourcesOf } from "./shared/sources.ts";
import { tellStages } from "./text/stages.ts";
import { measuredChoices, TUNE_OPTION, tunedChoices } from "./shared/tuned.ts";

export const command = defineCommand({
  name: "extract",
  summary: "Store what the frozen backbone gives, so that training need not run it",
  savesOnInterrupt: true,
  usage: "CONFIG|FOLDER|RUN --out DIR [--epochs N] [key=value …]",
  positionals: { min: 1 },
  details:
    `CONFIG is a recipe, FOLDER a folder as train takes it, with a recipe or without (its lists are kept in DIR), RUN a run folder.
Runs frame preparation and the frozen backbone over the training and validation lists of a recipe and writes the
tapped features, the prepared pictures and the labels to DIR. Training then takes data.features=DIR and skips the backbone.
Where views are drawn at random (data.random_shift, data.crop, data.flip, data.grey, data.rand_aug, data.colour_jitter),
--epochs says how many epochs of them are stored; training goes round them. A recipe whose views are always the same needs one.
Ranks that mpiexec has started take the shards in turn.
Ctrl-C stops after the batch under way and keeps what is done; the same command goes on from there. Every ten minutes what is done
is kept too.`,
  examples: [
    [
      "sidenet extract recipe.yaml --out features data.random_shift=false data.crop=centre data.flip=none data.grey=0",
      "one view of every clip",
    ],
    ["sidenet extract recipe.yaml --out features --epochs 5", "five epochs of random views"],
    ["sidenet train recipe.yaml data.features=features", "train from them"],
  ],
  options: {
    out: { type: "string", placeholder: "DIR", help: "where the features go; data.features by default" },
    ...RECIPE_OPTIONS,
    epochs: { type: "integer", min: 1, help: "epochs of random views to store" },
    ...TUNE_OPTION,
  },
});

export async function run(args: string[], io: Io): Promise<number> {
  const { values, positionals } = parseArguments(command, args);
  const world = await joinWorld(io);
  if (world.rank > 0) return await follow(world, io);
  const { overrides, others } = splitAssignments(positionals), sources = await sourcesOf(others, "extract");
  const { tiny, offline } = values;
  const found = await findRecipe(sources, { tiny, offline, overrides, needsWeights: true }, io);
  if (found === null) {
    throw new ConfigError(
      "Cannot extract features: a recipe, a folder of clips or a run must be given, current count is 0",
    );
  }
  if (found.folder !== undefined) tellFolder(sources.folder!.path, found.folder, io);
  const { config } = found;
  const out = values.out ?? config.data.features;
  if (out === null) throw new ConfigError(`Cannot extract features: --out must name the folder they go to`);
  for (const warning of found.warnings) io.note(`warning: ${warning}`);
  // Features given in the recipe are what is to be made.
  const asked = { ...config, data: { ...config.data, features: null } };
  checkStorable(asked, createModel(modelSpec(asked)));
  const epochs = storedEpochs(asked, values.epochs);
  const fitted = sources.folder === null
    ? asked
    : (await fitRecipe({ ...found, config: asked }, overrides, io)).config;
  const settled = await settleFound(found, fitted, { offline }, io);
  await makeData(settled, io);
  const own = found.folder === undefined ? settled : await keepLists(settled, found.folder, {
    file: (which) => join(out, RUN_FILES[which]),
    write: (which, content) => writeFileWhole(join(out, RUN_FILES[which]), content),
  });
  await world.share<SharedExtract>({ config: own, out, epochs }, START);
  if (world.size > 1) {
    io.note(`${formatCount(world.size)} ranks take the missing shards in turn; rank 0 tells of its own`);
  }
  using stages = tellStages(io);
  const result = await extractFeatures({
    config: own,
    out,
    epochs,
    world,
    signal: io.signal,
    // Ranks that chose apart would store clips that differ in their last bits.
    choices: world.size > 1 ? await tunedChoices(io) : await measuredChoices(values, io),
    events: {
      planned: (plan) => io.note(describePlan(plan)),
      stage: stages.tell,
      opened: ({ adapter, allocatedBytes, clips }) => {
        stages.end();
        io.note(`adapter: ${adapter}`);
        io.note(`GPU memory: ${formatBytes(allocatedBytes)}, ${formatCount(clips)} clips a batch`);
      },
      progress: ({ entries, of, clipsPerSecond }) =>
        io.status(
          `▕${progressBar(entries / of, 20)}▏ ${formatCount(entries)}/${formatCount(of)} clips  ${
            clipsPerSecond.toFixed(1)
          } clips/s  ${formatDuration((of - entries) / clipsPerSecond)} left`,
        ),
      wrote: (file, bytes, done) =>
        io.note(
          `${file}  ${formatBytes(bytes)}  (${formatCount(done.entries)}/${formatCount(done.of)} clips)`,
        ),
      note: (text) => io.note(`warning: ${text}`),
    },
  });
  finish(result, out, io);
  return 0;
}

/** What rank 0 has settled for all. */
type SharedExtract = { config: Config; out: string; epochs: number };

/** What the others wait for at first. */
const START = "the start of the extraction";

/** Extracts as a rank that rank 0 speaks for. */
async function follow(world: World, io: Io): Promise<number> {
  const limit = { limitSeconds: START_LIMIT_SECONDS };
  const { config, out, epochs } = await world.share<SharedExtract>(null, START, limit);
  await extractFeatures({ config, out, epochs, world, signal: io.signal, choices: await tunedChoices(io) });
  return 0;
}

function describePlan({ entries, shards, bytes, kept, keptClips, freeBytes, epochs }: ExtractPlan): string {
  const begun = keptClips > 0 ? `${formatCount(keptClips)} clips of a shard that is not whole` : null;
  const parts = [kept > 0 ? `${formatCount(kept)} shards` : null, begun].filter((part) => part !== null);
  const there = parts.length > 0 ? `${parts.join(" and ")} are there already; ` : "";
  if (shards === 0) return `${there}nothing is missing`;
  const views = epochs > 1 ? ` (${formatCount(epochs)} epochs of training views)` : "";
  return `${there}${formatCount(entries)} clips to extract${views}: ${formatCount(shards)} shards, ${
    formatBytes(bytes)
  }; the disk has ${formatBytes(freeBytes)} free`;
}

function finish(result: ExtractResult, out: string, io: Io): void {
  const { clips, shards, bytes, extracted, seconds, clips_per_second: speed, broken, bad } = result;
  io.print(
    `${formatCount(clips)} clips in ${formatCount(shards)} shards, ${formatBytes(bytes)}: ${out}` +
      (extracted > 0
        ? `  (${formatCount(extracted)} in ${formatDuration(seconds)}, ${speed.toFixed(1)} clips/s)`
        : ""),
  );
  if (broken.length > 0) {
    io.print(`${describeProblems(broken.length)}; ${formatCount(bad)} whole clips are black`);
  }
  io.print(`train from them with data.features=${out}`);
  io.printJson(result);
}
