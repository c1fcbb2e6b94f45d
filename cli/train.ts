/** `sidenet train`: trains a side network from a recipe, end to end, with pictures at the end. */
import { readError } from "../data/files.ts";
import { ConfigError } from "../lib/errors.ts";
import { type Config, loadConfig, type LoadedConfig, parseConfig } from "../train/recipe/config.ts";
import { formatBytes, formatCount, formatDuration } from "../lib/text.ts";
import { formatBest, formatEvaluation, formatProgressLine } from "../train/run/progress.ts";
import { describeProblems } from "../train/feed/problems.ts";
import { writeReport } from "../pages/report_data.ts";
import {
  createRunFolder,
  discardUnstarted,
  openRunFolder,
  requireRunFolder,
  RUN_FILES,
  type RunFolder,
} from "../train/files/run_folder.ts";
import { loadRunConfig } from "../train/files/run_config.ts";
import { savedState } from "../train/files/checkpoint.ts";
import { type FolderRecipe, keepLists, loadFolderRecipe } from "../train/run/class_folders.ts";
import { trainingSpec } from "../train/recipe/model.ts";
import { EarlyDevice } from "../train/runtime/open_session.ts";
import { sessionOptions, taskOfRecipe } from "../train/tasks/session_options.ts";
import { createModel } from "../models/mod.ts";
import { formatMetric } from "../train/tasks/metric_text.ts";
import type { MetricColumn } from "../train/tasks/task.ts";
import { train, type TrainResult } from "../train/run/trainer.ts";
import { defineCommand, parseArguments } from "./shared/args.ts";
import { tellLeftOut } from "./shared/clips.ts";
import { isDataMissing, makeData, settleWeights } from "./shared/before_run.ts";
import { tellKept } from "./shared/interruption.ts";
import type { Io } from "./shared/output.ts";
import { type Stages, tellStages } from "./shared/stages.ts";
import { TrainingLine } from "./shared/training_line.ts";
import { PUBLISHED_RECIPE, PUBLISHED_TITLE } from "./shared/published.ts";
import { splitAssignments } from "./shared/overrides.ts";
import { printPlan } from "./shared/plan_text.ts";
import { tunedChoices } from "./shared/tuned.ts";

export const command = defineCommand({
  name: "train",
  summary: "Train a side network from a recipe; without one, the demo",
  savesOnInterrupt: true,
  usage: "[CONFIG] [FOLDER] [key=value …]",
  details:
    `CONFIG is a YAML recipe; without it the demo recipe runs, which makes its own data set on the first run. Any key of
the recipe can be given on the command line, with dots: solver.lr=1e-3 data.train_root=/data/ssv2. Where CONFIG is a published
file with upper-case keys and parents in _BASE, its own keys can be given too, each in front of its value: TRAIN.BATCH_SIZE 64.
FOLDER holds a folder for each class with its clips, videos or folders of frames, and takes the place of the recipe's
data, or of a recipe: then the defaults apply (${PUBLISHED_TITLE}, ViT-B/16, 8 frames). A share of each class (data.val_share) is kept
for validation, unless folders named train and val hold the classes. The lists made are kept with the run.
Everything a run leaves behind is in its run folder: config, metrics, weights, summary and report.html.
Ctrl-C stops after the step under way with everything saved; --resume goes on exactly where it stopped. A state is also saved
after the first steps, every ten minutes (logging.checkpoint_minutes) and at the end of every epoch, for a run that is killed.`,
  examples: [
    ["sidenet train", "the demo"],
    [
      `sidenet train ${PUBLISHED_RECIPE} network.weights=ViT-B-16.safetensors`,
      "a published recipe",
    ],
    [
      "sidenet train videos network.weights=ViT-B-16.pt",
      "a folder of videos for each class, without a recipe",
    ],
    ["sidenet train --resume runs/demo", "go on with an interrupted run"],
    [`sidenet train ${PUBLISHED_RECIPE} --plan-only`, "what it would take"],
  ],
  options: {
    resume: { type: "string", placeholder: "RUN", help: "go on with the run of this folder" },
    "plan-only": { type: "boolean", help: "print the plan and stop" },
  },
});

/** The demo recipe; it lies beside the sources, whatever the working folder. */
const DEMO_CONFIG = new URL("../configs/demo.yaml", import.meta.url);

export async function run(args: string[], io: Io): Promise<number> {
  const { values, positionals } = parseArguments(command, args);
  const { overrides, others } = splitAssignments(positionals);
  const resume = values.resume ?? null, sources = await sourcesOf(others);
  if (resume !== null && (sources.config !== null || sources.folder !== null)) {
    throw new ConfigError(
      "Cannot train: --resume takes the config and the data of its run, so CONFIG and FOLDER must be left out",
    );
  }
  const loaded = await loadRecipe({ ...sources, resume, overrides }, io);
  const { started_in: home } = loaded.config;
  const started = { ...loaded.config, started_in: resume === null || home === null ? Deno.cwd() : home };
  for (const warning of loaded.warnings) io.note(`warning: ${warning}`);
  if (values["plan-only"]) return printPlan(started, io);
  const from = resume ?? loaded.config.resume;
  const recipe = await settleWeights(started, io);
  using stages = tellStages(io);
  await using early = await earlyDevice(recipe);
  await makeData(recipe, io);
  io.signal.throwIfAborted();
  using folder = await openFolder(recipe, from, io);
  try {
    const state = from === null ? null : await findState(folder);
    keepsState(folder, state?.step ?? null);
    if (from !== null && state === null) {
      io.note(`${from} holds no saved state yet: the run begins again in it`);
    }
    const config = "folder" in loaded ? await keepLists(recipe, loaded.folder, folder) : recipe;
    const result = await trainInto(config, folder, state, { early, stages }, io);
    const task = taskOfRecipe(config);
    await writeReport({ config, task, folder, ...result });
    finish(result, { folder, columns: task.metrics }, io);
    return 0;
  } catch (error) {
    await discardUnstarted(folder.path);
    throw error;
  }
}

/** The recipe and the folder of class folders among the arguments. */
async function sourcesOf(
  paths: readonly string[],
): Promise<{ config: string | null; folder: string | null }> {
  const isFolder = await Promise.all(
    paths.map((path) =>
      Deno.stat(path).then((info) => info.isDirectory, (error) => {
        if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return false;
        throw readError(path, error);
      })
    ),
  );
  const folders = paths.filter((_, i) => isFolder[i]), configs = paths.filter((_, i) => !isFolder[i]);
  for (const path of configs) {
    if (/\.ya?ml$/i.test(path) || await Deno.stat(path).then(() => true, () => false)) continue;
    throw new ConfigError(
      `Cannot train on "${path}": it must be a recipe or a folder of class folders, there is no such file or folder`,
    );
  }
  for (const [what, given] of [["config", configs], ["folder", folders]] as const) {
    if (given.length <= 1) continue;
    throw new ConfigError(
      `Cannot train: there must be one ${what}, current count is ${given.length} (${given.join(", ")})`,
    );
  }
  const [folder = null] = folders, [config = null] = configs;
  if (folder !== null && await Deno.stat(`${folder}/${RUN_FILES.config}`).then(() => true, () => false)) {
    throw new ConfigError(
      `Cannot train on "${folder}": it must hold a folder for each class, this is a run; go on with --resume ${folder}`,
    );
  }
  return { config, folder };
}

async function loadRecipe(
  { config, folder, resume, overrides }: {
    config: string | null;
    folder: string | null;
    resume: string | null;
    overrides: readonly string[];
  },
  io: Io,
): Promise<LoadedConfig | FolderRecipe> {
  if (resume !== null) {
    await requireRunFolder(resume);
    return await loadRunConfig(resume, overrides);
  }
  if (folder === null) {
    return config !== null
      ? await loadConfig(config, overrides)
      : parseConfig(await Deno.readTextFile(DEMO_CONFIG), { source: "demo.yaml", overrides });
  }
  const recipe = await loadFolderRecipe(folder, {
    config,
    overrides,
    signal: io.signal,
    onProgress: (done, total) => {
      if (done % 200 === 0) io.status(`${formatCount(done)}/${formatCount(total)} clips`);
    },
  });
  io.status("");
  tellLeftOut(recipe.folder.unusable, io, { where: `sidenet prepare ${folder} --out DIR` });
  const { classes, clips } = recipe.folder;
  const countOf = (split: string) => clips.filter((clip) => clip.split === split).length;
  io.note(
    `${folder}: ${formatCount(classes.length)} classes, ${formatCount(countOf("train"))} ${
      countOf("train") === 1 ? "clip" : "clips"
    } for training and ${formatCount(countOf("val"))} for validation` +
      (countOf("test") > 0 ? `; ${formatCount(countOf("test"))} test clips stay unused` : ""),
  );
  return recipe;
}

/** Where the data set must be made first, a device that compiles meanwhile. */
async function earlyDevice(config: Config): Promise<EarlyDevice | undefined> {
  if (!await isDataMissing(config)) return undefined;
  const { synth, num_sample: copies, batch_size: batch } = config.data;
  const lastBatch = (synth?.train_clips ?? 0) % batch * copies;
  const frame = synth ?? { width: config.data.input_size, height: config.data.input_size };
  return new EarlyDevice(
    createModel(trainingSpec(config)),
    sessionOptions(config, { lastBatch, largestFrame: frame }),
    {
      clipsPerVideo: copies,
      halves: null,
      choices: await tunedChoices(),
    },
  );
}

/** The folder of the run: a new one, or the one that is resumed. */
async function openFolder(config: Config, resume: string | null, io: Io): Promise<RunFolder> {
  const folder = resume === null
    ? await createRunFolder(config.run_root, config.name)
    : await openRunFolder(resume);
  if (folder.warning !== null) io.note(`warning: ${folder.warning}`);
  return folder;
}

/** The state of a run to go on from; null where it has none yet. */
async function findState(run: RunFolder): Promise<{ path: string; step: number } | null> {
  const path = run.file("state");
  if (!await Deno.stat(path).then(() => true, () => false)) return null;
  return { path, step: (await savedState(path)).step };
}

/** Says what of a run is kept when the process is stopped at once. @param step Of its state; null: it has none. */
function keepsState({ path }: RunFolder, step: number | null): void {
  tellKept(() =>
    step === null
      ? "no state has been saved"
      : `the state of step ${step} is kept: go on with --resume ${path}`
  );
}

async function trainInto(
  config: Config,
  folder: RunFolder,
  state: { path: string; step: number } | null,
  { early, stages }: { early: EarlyDevice | undefined; stages: Stages },
  io: Io,
): Promise<TrainResult> {
  using line = new TrainingLine(io);
  return await train({
    config,
    folder,
    early,
    resume: state?.path,
    signal: io.signal,
    choices: await tunedChoices(),
    events: {
      opened: ({ adapter, memory, allocatedBytes, launches }, { steps, trainable, frozen }) => {
        stages.end();
        io.note(`run folder: ${folder.path}`);
        io.note(`adapter: ${adapter}`);
        io.note(
          `${config.system} on ${config.network.arch}: ${formatCount(trainable)} trainable and ${
            formatCount(frozen)
          } frozen parameters; ` +
            `${formatCount(steps)} steps of ${launches} launches`,
        );
        io.note(`GPU memory: ${formatBytes(memory.total)} planned, ${formatBytes(allocatedBytes)} allocated`);
        if (state !== null && state.step >= steps) {
          const key = config.solver.max_steps === null ? "solver.epochs=N" : "solver.max_steps=null";
          io.note(`the run was at its last step already; ${key} takes it further`);
        }
      },
      stage: stages.tell,
      moved: (at) => {
        stages.end();
        line.moved(at);
      },
      step: (record, totals) => {
        line.recorded(record, totals);
        if (!io.isTerminal) io.note(formatProgressLine({ record, totalSteps: totals.steps, ...totals }));
        io.printJson(record);
      },
      saved: (step) => keepsState(folder, step),
      evaluating: (done, of) => {
        line.pause();
        stages.tell({ what: "evaluating", done, of, unit: "clips" });
      },
      evaluated: (record, { best }) => {
        stages.end();
        io.note(
          formatEvaluation(record, {
            epochs: config.solver.epochs,
            best,
            columns: taskOfRecipe(config).metrics,
          }),
        );
        io.printJson(record);
      },
      note: (text) => io.note(`warning: ${text}`),
      info: io.note,
    },
  });
}

function finish(
  { summary, problems }: TrainResult,
  { folder, columns }: { folder: RunFolder; columns: readonly MetricColumn[] },
  io: Io,
): void {
  const figures = columns.filter(({ detail }) => !detail)
    .map((column) => `${column.name} ${formatMetric(column, summary[column.key] as number)}  `);
  const best = formatBest(summary, { columns });
  io.print(
    figures.join("") +
      `after ${formatCount(summary.steps)} steps in ${formatDuration(summary.seconds)} (${
        summary.clips_per_second.toFixed(1)
      } clips/s)${best === "" ? "" : `; ${best}`}`,
  );
  if (problems.length > 0) {
    io.print(`${describeProblems(problems.length)}: see "broken" in ${folder.file("summary")}`);
  }
  io.print(`report: ${folder.file("report")}`);
  io.printJson(summary);
}
