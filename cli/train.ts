/** `sidenet train`: trains a side network from a recipe, end to end, with pictures at the end. */
import { isSynthesized, synthesize } from "../data/synth.ts";
import { ConfigError } from "../lib/errors.ts";
import { type Config, loadConfig, parseConfig, synthOptions } from "../train/config.ts";
import {
  formatBytes,
  formatCount,
  formatDuration,
  formatEvaluation,
  formatProgressLine,
  formatShare,
  formatTerminalLine,
} from "../train/progress.ts";
import { writeReport } from "../train/report_data.ts";
import {
  createRunFolder,
  discardUnstarted,
  openRunFolder,
  RUN_FILES,
  type RunFolder,
  truncateMetrics,
} from "../train/run_folder.ts";
import { savedState } from "../train/checkpoint.ts";
import { checkKnownWeights } from "../train/known_weights.ts";
import { train, type TrainResult } from "../train/trainer.ts";
import { defineCommand, parseArguments } from "./_args.ts";
import type { Io } from "./_output.ts";
import { printPlan } from "./_plan_text.ts";
import { tunedChoices } from "./_tuned.ts";

export const command = defineCommand({
  name: "train",
  summary: "Train a side network from a recipe; without one, the demo",
  usage: "[CONFIG] [key=value …]",
  details:
    `CONFIG is a YAML recipe; without it the demo recipe runs, which makes its own data set on the first run. Any key of
the recipe can be given on the command line, with dots: solver.lr=1e-3 data.train_root=/data/ssv2.
Everything a run leaves behind is in its run folder: config, metrics, weights, summary and report.html.
Ctrl-C stops after the step under way with everything saved; --resume goes on exactly where it stopped.`,
  examples: [
    ["sidenet train", "the demo"],
    [
      "sidenet train configs/side4video/ssv2_vitb16_f8.yaml network.weights=ViT-B-16.safetensors",
      "a published recipe",
    ],
    ["sidenet train --resume runs/demo", "go on with an interrupted run"],
    ["sidenet train configs/side4video/ssv2_vitb16_f8.yaml --plan-only", "what it would take"],
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
  const overrides = positionals.filter((argument) => argument.includes("="));
  const files = positionals.filter((argument) => !argument.includes("="));
  if (files.length > 1) {
    throw new ConfigError(
      `Cannot train: there must be one config, current count is ${files.length} (${files.join(", ")})`,
    );
  }
  const resume = values.resume ?? null;
  if (resume !== null && files.length > 0) {
    throw new ConfigError("Cannot train: --resume takes the config of its run, so CONFIG must be left out");
  }
  const loaded = resume !== null
    ? await loadConfig(`${resume}/${RUN_FILES.config}`, overrides)
    : files.length > 0
    ? await loadConfig(files[0], overrides)
    : parseConfig(await Deno.readTextFile(DEMO_CONFIG), { source: "demo.yaml", overrides });
  const { config } = loaded;
  for (const warning of loaded.warnings) io.note(`warning: ${warning}`);
  if (values["plan-only"]) return printPlan(config, io);
  const from = resume ?? config.resume;
  await reportKnownWeights(config, io);
  await makeData(config, io);
  using folder = await openFolder(config, from);
  io.note(`run folder: ${folder.path}`);
  const result = await trainInto(config, folder, from, io).catch(async (error) => {
    await discardUnstarted(folder.path);
    throw error;
  });
  await writeReport({ config, folder, ...result });
  finish(result, folder, io);
  return 0;
}

/** The folder of the run: a new one, or the one that is resumed, cut back to its last saved state. */
async function openFolder(config: Config, resume: string | null): Promise<RunFolder> {
  if (resume === null) return await createRunFolder(config.run_root, config.name);
  const state = await savedState(`${resume}/${RUN_FILES.state}`);
  await truncateMetrics(resume, state.step, state.evaluated);
  return await openRunFolder(resume);
}

/** Says whether a backbone is the published file that it is named after. */
async function reportKnownWeights({ network }: Config, io: Io): Promise<void> {
  if (network.weights === null || !network.init) return;
  const check = await checkKnownWeights(network.weights);
  if (check !== null) io.note(check.ok ? check.text : `warning: ${check.text}`);
}

async function makeData(config: Config, io: Io): Promise<void> {
  const options = synthOptions(config), { root } = config.data;
  if (options === null || root === null || await isSynthesized(root, options)) return;
  io.note(`making the data set ${root} (${formatCount(options.trainClips + options.valClips)} clips)`);
  await synthesize(root, options, {
    signal: io.signal,
    onProgress: (done, total) => {
      if (done % 50 === 0) io.status(`  ${formatCount(done)} of ${formatCount(total)} clips`);
    },
  });
}

async function trainInto(
  config: Config,
  folder: RunFolder,
  resume: string | null,
  io: Io,
): Promise<TrainResult> {
  return await train({
    config,
    folder,
    resume: resume === null ? undefined : `${resume}/${RUN_FILES.state}`,
    signal: io.signal,
    choices: await tunedChoices(),
    events: {
      opened: ({ adapter, memory, allocatedBytes, launches }, { steps, trainable, frozen }) => {
        io.note(`adapter: ${adapter}`);
        io.note(
          `${config.system} on ${config.network.arch}: ${formatCount(trainable)} trainable and ${
            formatCount(frozen)
          } frozen parameters; ` +
            `${formatCount(steps)} steps of ${launches} launches`,
        );
        io.note(`GPU memory: ${formatBytes(memory.total)} planned, ${formatBytes(allocatedBytes)} allocated`);
      },
      step: (record, { steps, epochs, secondsPerStep }) => {
        const progress = { record, totalSteps: steps, epochs, secondsPerStep };
        if (io.isTerminal) io.status(formatTerminalLine(progress, io.columns));
        else io.note(formatProgressLine(progress));
        io.printJson(record);
      },
      evaluating: (done, total) => io.status(`evaluating ${formatCount(done)}/${formatCount(total)}`),
      evaluated: (record, { best }) => {
        io.note(formatEvaluation(record, { epochs: config.solver.epochs, best }));
        io.printJson(record);
      },
      note: (text) => io.note(`warning: ${text}`),
    },
  });
}

function finish({ summary, problems }: TrainResult, folder: RunFolder, io: Io): void {
  io.print(
    `top-1 ${formatShare(summary.top1)}  top-5 ${formatShare(summary.top5)}  loss ${
      summary.loss.toFixed(4)
    }  ` +
      `after ${formatCount(summary.steps)} steps in ${formatDuration(summary.seconds)} (${
        summary.clips_per_second.toFixed(1)
      } clips/s)`,
  );
  if (problems.length > 0) {
    io.print(
      `${formatCount(problems.length)} frames or clips were replaced: see "broken" in ${
        folder.file("summary")
      }`,
    );
  }
  io.print(`report: ${folder.file("report")}`);
  io.printJson(summary);
}
