/** `sidenet train`: trains a side network from a recipe, end to end, with pictures at the end. */
import { ConfigError } from "../lib/errors.ts";
import { type Config, formatConfig, parseConfig } from "../train/recipe/config.ts";
import { formatBytes, formatCount, formatDuration } from "../lib/text.ts";
import { formatBest, formatEvaluation, formatProgressLine } from "../train/run/progress.ts";
import { describeProblems } from "../train/feed/problems.ts";
import { writeReport } from "../pages/report_data.ts";
import {
  createRunFolder,
  discardUnstarted,
  openRunFolder,
  requireRunFolder,
  type RunFolder,
} from "../train/files/run_folder.ts";
import { loadRunConfig } from "../train/files/run_config.ts";
import { runOfKeptState } from "../train/files/kept_epochs.ts";
import { savedState } from "../train/files/checkpoint.ts";
import { keepLists, withKeptLists } from "../train/run/class_folders.ts";
import { trainingSpec } from "../train/recipe/model.ts";
import { EarlyDevice } from "../train/runtime/open_session.ts";
import { halvesNeed, sessionOptions, taskOfRecipe } from "../train/tasks/session_options.ts";
import { createModel } from "../models/mod.ts";
import { formatMetric } from "../train/tasks/metric_text.ts";
import type { MetricColumn } from "../train/tasks/task.ts";
import { requireFeatures } from "../train/features/reader.ts";
import { requireClipsForRanks } from "../train/run/open_run.ts";
import { unfinishedRun } from "../train/run/outcome.ts";
import { train, type TrainResult } from "../train/run/trainer.ts";
import { defineCommand, parseArguments } from "./shared/args.ts";
import { isDataMissing, makeData } from "./shared/before_run.ts";
import { tellKept } from "./shared/interruption.ts";
import type { Io } from "./shared/output.ts";
import { requireNewRun, sweepRates } from "./extras/rate_sweep.ts";
import { type Stages, tellStages } from "./text/stages.ts";
import { TrainingLine } from "./text/training_line.ts";
import { PUBLISHED_RECIPE } from "./shared/published.ts";
import { splitAssignments } from "./shared/overrides.ts";
import {
  findRecipe,
  fitRecipe,
  type FoundRecipe,
  RECIPE_OPTIONS,
  recipeToPlan,
  settleFound,
  tellFolder,
} from "./shared/recipes.ts";
import { type Sources, sourcesOf } from "./shared/sources.ts";
import { printPlan } from "./shared/plan_text.ts";
import { START_LIMIT_SECONDS, type World } from "../mpi/world.ts";
import { quietFolder } from "../train/files/quiet_folder.ts";
import { joinWorld } from "./ranks/world.ts";
import type { TunedChoices } from "../train/runtime/device/tuned.ts";
import { measuredChoices, TUNE_OPTION, tunedChoices } from "./shared/tuned.ts";

export const command = defineCommand({
  name: "train",
  summary: "Train a side network from a recipe; without one, the demo",
  savesOnInterrupt: true,
  usage: "[CONFIG] [FOLDER] [key=value …]",
  details:
    `CONFIG is a YAML recipe; without it the demo recipe runs, which makes its own data set on the first run. Any key of
the recipe can be given on the command line, with dots: solver.lr=1e-3 data.train_root=/data/ssv2. Where CONFIG is a published
file with upper-case keys and parents in _BASE, its own keys can be given too, each in front of its value: TRAIN.BATCH_SIZE 64.
FOLDER holds a folder for each class with its clips, videos or folders of frames, or is what synth wrote, and takes the place
of the recipe's data. Without a recipe configs/own_videos.yaml is taken: its weights (ViT-B-16) are fetched where they are not here,
and batch and precision are chosen for the adapter. --tiny takes a small network on a random backbone instead, and so does a machine
without network; such a run shows that all works, and its accuracy is that of a toy. A share of each class (data.val_share) is kept for
validation, unless folders named train and val hold the classes. The lists made are kept with the run.
network.weights is a file, or the name of published weights: ViT-B-32, ViT-B-16, ViT-L-14 or ViT-L-14-336px. They are looked for in
the folder SIDENET_WEIGHTS and in the cache (SIDENET_CACHE, or ~/.cache/sidenet), and else fetched; --offline fetches nothing.
Started by mpiexec or srun (mpiexec -n 4 ./denow train RECIPE), ranks share every batch, each on a card of its own (docs/clusters.md).
Everything a run leaves behind is in its run folder: config, metrics, weights, summary and report.html.
Ctrl-C stops after the step under way with everything saved; --resume goes on exactly where it stopped. A state is also saved
after the first steps, every ten minutes (logging.checkpoint_minutes) and at the end of every epoch, for a run that is killed. The
same command again begins another run (NAME-2), and names the one that has not ended.`,
  examples: [
    ["sidenet train", "the demo"],
    [
      `sidenet train ${PUBLISHED_RECIPE} network.weights=ViT-B-16`,
      "a published recipe",
    ],
    ["sidenet train videos", "a folder of videos for each class, without a recipe"],
    ["sidenet train videos --tiny", "the same with a small network, to see that all works"],
    ["sidenet train --resume runs/demo", "go on with an interrupted run"],
    [`sidenet train ${PUBLISHED_RECIPE} --plan-only`, "what it would take"],
    [
      "sidenet train videos solver.find_lr=100",
      "which learning rate suits, from 100 short steps; nothing is trained",
    ],
  ],
  options: {
    resume: {
      type: "string",
      placeholder: "RUN",
      help:
        "go on with the run of this folder, or from a state that it has kept (RUN/kept/epoch-0003.state.safetensors)",
    },
    "plan-only": { type: "boolean", help: "print the plan and stop" },
    ...RECIPE_OPTIONS,
    ...TUNE_OPTION,
  },
});

/** The demo recipe; it lies beside the sources, whatever the working folder. */
const DEMO_CONFIG = new URL("../configs/demo.yaml", import.meta.url);

export async function run(args: string[], io: Io): Promise<number> {
  const { values, positionals } = parseArguments(command, args);
  const world = await joinWorld(io);
  if (world.rank > 0) return await follow(world, io);
  const { overrides, others } = splitAssignments(positionals);
  const resumed = resumedFrom(values.resume),
    resume = resumed.run,
    sources = await sourcesOf(others, "train on");
  const { recipe: given, folder: data, run } = sources;
  if (resume !== null && (given !== null || data !== null || run !== null)) {
    throw new ConfigError(
      "Cannot train: --resume takes the config and the data of its run, so CONFIG and FOLDER must be left out",
    );
  }
  if (run !== null) {
    throw new ConfigError(
      `Cannot train on "${run}": it must hold a folder for each class, this is a run; go on with --resume ${run}`,
    );
  }
  const { tiny, offline, "plan-only": planOnly } = values;
  const loaded = await loadRecipe({ sources, resume, overrides, tiny, offline, planOnly }, io);
  const { started_in: home } = loaded.config;
  const startedIn = resume === null || home === null ? Deno.cwd() : home;
  for (const warning of loaded.warnings) io.note(`warning: ${warning}`);
  if (planOnly) {
    await world.share<SharedStart>(null, START);
    return printPlan({ ...await recipeToPlan(loaded, overrides, io), started_in: startedIn }, io);
  }
  const fitted = data === null ? loaded.config : (await fitRecipe(loaded, overrides, io)).config;
  const started = { ...fitted, started_in: startedIn };
  const from = resumed.run ?? loaded.config.resume;
  requireNewRun(loaded.config, { resumes: from !== null });
  requireClipsForRanks(started, world);
  await requireFeatures(started);
  const choices = await measuredChoices(values, io);
  const isSweep = started.solver.find_lr !== null;
  if (isSweep && world.size > 1) {
    throw new ConfigError(
      `Cannot look for a learning rate with ${world.size} ranks: solver.find_lr must run in one process; start it without mpiexec`,
    );
  }
  if (from === null && !isSweep) await tellUnfinished(started, io);
  // Before weights are fetched and data is made or looked at.
  await using opened = await EarlyDevice.open({
    choices,
    halves: halvesNeed(started, { stored: started.data.features !== null }),
  });
  const early = world.size === 1 ? opened : undefined;
  if (early === undefined) await opened[Symbol.asyncDispose]();
  const recipe = await settleFound(loaded, started, { offline }, io);
  using stages = tellStages(io);
  if (early !== undefined && !isSweep) await compileEarly(early, recipe);
  await makeData(recipe, io);
  io.signal.throwIfAborted();
  if (isSweep) return await sweepRates(recipe, loaded.folder ?? null, { early, io });
  using folder = await openFolder(recipe, from, io);
  let hasBegun = from !== null;
  try {
    const state = from === null ? null : await findState(folder, resumed.state);
    keepsState(folder, state?.step ?? null);
    if (from !== null && state === null) {
      io.note(`${from} holds no saved state yet: the run begins again in it`);
    }
    const config = loaded.folder !== undefined ? withKeptLists(recipe, folder) : recipe;
    // First of all, so that what a killed process leaves is a run, which can be begun again.
    if (from === null) await folder.write("config", formatConfig(config));
    if (loaded.folder !== undefined) await keepLists(config, loaded.folder, folder);
    await world.share<SharedStart>({ config, folder: folder.path, resume: state?.path }, START);
    const begun = () => void (hasBegun = true);
    const result = await trainInto(config, folder, state, { early, stages, world, choices, begun }, io);
    const task = taskOfRecipe(config);
    await writeReport({ config, task, folder, origin: { command: io.command }, ...result });
    finish(result, { folder, columns: task.metrics }, io);
    return 0;
  } catch (error) {
    if (!hasBegun) await discardUnstarted(folder.path);
    throw error;
  }
}

/** What rank 0 has settled for all; null: there is nothing for the others to do. */
type SharedStart = { config: Config; folder: string; resume?: string } | null;

/** What the others wait for at first. */
const START = "the start of the run";

/** Trains as a rank that rank 0 speaks and writes for. */
async function follow(world: World, io: Io): Promise<number> {
  const options = { limitSeconds: START_LIMIT_SECONDS };
  const start = await world.share<SharedStart>(null, START, options);
  if (start === null) return 0;
  const { config, folder, resume } = start;
  await train({
    config,
    folder: quietFolder(folder),
    resume,
    world,
    signal: io.signal,
    choices: await tunedChoices(io),
  });
  return 0;
}

/** The recipe of a run to go on with, what was given or picked, or the demo. */
async function loadRecipe(
  { sources, resume, overrides, tiny, offline, planOnly }: {
    sources: Sources;
    resume: string | null;
    overrides: readonly string[];
    tiny?: boolean;
    offline?: boolean;
    planOnly?: boolean;
  },
  io: Io,
): Promise<FoundRecipe> {
  if (resume !== null) {
    await requireRunFolder(resume);
    return { ...await loadRunConfig(resume, overrides), isPicked: false, isRecorded: true };
  }
  const found = await findRecipe(sources, { tiny, offline, overrides, needsWeights: !planOnly }, io);
  if (found?.folder !== undefined) tellFolder(sources.folder!.path, found.folder, io);
  return found ?? {
    ...parseConfig(await Deno.readTextFile(DEMO_CONFIG), { source: "demo.yaml", overrides }),
    isPicked: false,
  };
}

/** Where the data set must be made first, the device compiles meanwhile. */
async function compileEarly(early: EarlyDevice, config: Config): Promise<void> {
  if (!await isDataMissing(config)) return;
  const { synth, num_sample: copies, batch_size: batch } = config.data;
  const lastBatch = (synth?.train_clips ?? 0) % batch * copies;
  const frame = synth ?? { width: config.data.input_size, height: config.data.input_size };
  const options = sessionOptions(config, { lastBatch, largestFrame: frame });
  early.compile(createModel(trainingSpec(config)), options, { clipsPerVideo: copies });
}

/** Names an earlier run of the same name that could be gone on with instead: this one is a new run. */
async function tellUnfinished({ run_root: root, name }: Config, io: Io): Promise<void> {
  const run = await unfinishedRun(root, name);
  if (run === null) return;
  const { path, outcome, savedStep } = run;
  const saved = savedStep === null
    ? "before a state was saved"
    : `its state is of step ${formatCount(savedStep)}`;
  io.note(
    `note: ${path} has not ended (${
      outcome === "failed" ? "killed or failed" : outcome
    }, ${saved}), and this is a new run; to go on with that one: ` +
      `${io.program} train --resume ${path}`,
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

/** The run to go on with, and the state of an epoch that it has kept where that was named instead. */
function resumedFrom(path: string | undefined): { run: string | null; state: string | null } {
  const run = path === undefined ? null : runOfKeptState(path);
  return run === null ? { run: path ?? null, state: null } : { run, state: path! };
}

/** The state of a run to go on from; null where it has none yet. @param kept One that was named instead of the run's last. */
async function findState(
  run: RunFolder,
  kept: string | null,
): Promise<{ path: string; step: number } | null> {
  if (kept !== null) return { path: kept, step: (await savedState(kept)).step };
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
  { early, stages, world, choices, begun }: {
    early: EarlyDevice | undefined;
    stages: Stages;
    world: World;
    choices: TunedChoices;
    /** Told when a step has been made. */
    begun: () => void;
  },
  io: Io,
): Promise<TrainResult> {
  using line = new TrainingLine(io);
  return await train({
    config,
    folder,
    early,
    world,
    resume: state?.path,
    signal: io.signal,
    choices,
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
        begun();
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
