/** `sidenet eval`: accuracy of a trained model on a list, by the published multi-view protocol. */
import { requireWritableFolder } from "../data/files.ts";
import { ConfigError } from "../lib/errors.ts";
import {
  EVALUATION_FILES,
  type EvaluationFigures,
  evaluationName,
  writeEvaluation,
} from "../train/evaluation/evaluation_files.ts";
import { writeEvaluationReport } from "../pages/report_data.ts";
import { describeProblems } from "../train/feed/problems.ts";
import { formatCount } from "../lib/text.ts";
import type { DataProblem } from "../train/feed/problems.ts";
import { evaluateModel } from "../train/evaluation/evaluate_model.ts";
import { type EvaluationSet, readEvaluationSet } from "../train/evaluation/evaluation_set.ts";
import { findTrainedModel, type TrainedModel } from "../train/evaluation/trained_model.ts";
import { formatMetric } from "../train/tasks/metric_text.ts";
import type { MetricColumn, Task } from "../train/tasks/task.ts";
import { columnLines, defineCommand, parseArguments } from "./shared/args.ts";
import { START_LIMIT_SECONDS } from "../mpi/world.ts";
import { joinWorld, silent } from "./ranks/world.ts";
import { createIo, type Io, processStreams } from "./shared/output.ts";
import { tellStages } from "./text/stages.ts";
import { measuredChoices, TUNE_OPTION, tunedChoices } from "./shared/tuned.ts";
import { findTarget, WEIGHTS_OPTIONS } from "./shared/weights.ts";
import { tellLeftOut } from "./shared/clips.ts";
import { splitAssignments } from "./shared/overrides.ts";
import { describeViews, MODEL_OPTIONS, viewsOfFlags } from "./shared/trained.ts";

/** Problems of the data named on the terminal. */
const PROBLEMS_NAMED = 100;

export const command = defineCommand({
  name: "eval",
  summary: "Evaluate a run or a checkpoint with the published multi-view protocol",
  usage: "RUN|CHECKPOINT [FOLDER] [key=value …]",
  positionals: { min: 1 },
  details:
    `RUN is a run folder, of which the best weights are taken; CHECKPOINT is a safetensors file, with --config where it
holds no recipe. FOLDER holds other clips in folders named like the model's classes, as for train; where it has folders val or test,
those clips count alone. A clip is seen in crops x clips views, and its probabilities are averaged. Without --test-crops and
--test-clips it is seen once, by the rule of validation inside training, and clips shorter than data.min_frames are left
out as there. Figures (eval.json), predictions (predictions.csv and predictions.jsonl, one line a clip) and a report are written
beside the weights. Ranks that mpiexec has started share the clips. --probabilities adds those of all classes to the JSON lines, of which two runs can be averaged.`,
  examples: [
    ["sidenet eval runs/demo", "one view a clip"],
    ["sidenet eval runs/ssv2_vitb16_f8 --test-crops 3 --test-clips 2", "the protocol of Something-Something"],
    ["sidenet eval runs/k400_vitb16_f8 --test-crops 3 --test-clips 4 --list test.txt", "another list"],
    ["sidenet eval runs/videos other_videos", "other clips of the same classes"],
  ],
  options: {
    ...MODEL_OPTIONS,
    ...WEIGHTS_OPTIONS,
    ...TUNE_OPTION,
    list: { type: "string", placeholder: "FILE", help: "list of clips instead of data.val_list" },
    out: { type: "string", placeholder: "FOLDER", help: "where the results go" },
    probabilities: { type: "boolean", help: "write those of every class into predictions.jsonl" },
    "per-class": { type: "boolean", help: "also print a line for every class" },
  },
});

export async function run(args: string[], io: Io): Promise<number> {
  const { values, positionals } = parseArguments(command, args);
  const { overrides, others: [target, data, extra] } = splitAssignments(positionals);
  if (extra !== undefined) {
    throw new ConfigError(`Cannot run "${io.program} eval": there is no place for the argument "${extra}"`);
  }
  if (data !== undefined && values.list !== undefined) {
    throw new ConfigError(
      `Cannot evaluate on "${data}": --list names other clips, so one of them must be left out`,
    );
  }
  const world = await joinWorld(io), isFirst = world.rank === 0;
  if (!isFirst) io = createIo(silent(processStreams()), { json: false, signal: io.signal });
  const views = viewsOfFlags(values);
  using stages = tellStages(io);
  stages.tell({ what: "reading the model" });
  // What has to be fetched is fetched once.
  if (!isFirst) await world.meet("the model", { limitSeconds: START_LIMIT_SECONDS });
  const { locate } = await findTarget(target, io, { offline: values.offline });
  const model = await findTrainedModel(target, { config: values.config, overrides, locate });
  for (const remark of model.remarks) io.note(`warning: ${remark}`);
  const set = data === undefined ? undefined : await evaluationSet(data, model, io);
  const folder = values.out ?? model.resultPath(evaluationName(views, values.list ?? data ?? null));
  if (isFirst) {
    await requireWritableFolder(folder);
    await world.meet("the model", { limitSeconds: START_LIMIT_SECONDS });
  }
  const evaluated = {
    ...await evaluateModel(model, {
      views,
      list: values.list,
      set,
      signal: io.signal,
      world,
      choices: world.size > 1 ? await tunedChoices(io) : await measuredChoices(values, io),
      stage: stages.tell,
      onOpened: (adapter) => io.note(`adapter: ${adapter}`),
      onProgress: (done, of) => stages.tell({ what: "evaluating", done, of, unit: "clips" }),
      onNote: (text) => io.note(`warning: ${text}`),
    }),
    everything: values.probabilities,
  };
  stages.end();
  if (!isFirst) return 0;
  const { evaluation, labels, weights, list, task } = evaluated;
  tellProblems(evaluation.problems, folder, io);
  if (values["per-class"] && !task.rows) {
    io.note(`warning: --per-class has no effect: ${task.id} knows no classes`);
  }
  if (values.probabilities && !task.shares) {
    io.note(`warning: --probabilities has no effect: ${task.id} gives classes no probabilities`);
  }
  const figures = await writeEvaluation(folder, evaluated);
  await writeEvaluationReport(folder, evaluated, figures, { command: io.command });
  io.print(`${weights} on ${formatCount(figures.clips)} clips of ${list}, ${describeViews(views)}`);
  printFigures(figures, task, io);
  const rows = values["per-class"] ? task.rows?.(evaluation.details, labels) : undefined;
  for (const line of columnLines(rows?.lines ?? [])) io.print(line);
  io.print(`report: ${folder}/${EVALUATION_FILES.report}`);
  io.printJson(rows ? { ...figures, per_class: rows.json } : figures);
  return 0;
}

/** The clips of a folder, with the labels that the model has for their classes. */
async function evaluationSet(path: string, model: TrainedModel, io: Io): Promise<EvaluationSet> {
  const { set, unusable, unknown } = await readEvaluationSet(path, model, { signal: io.signal });
  tellLeftOut(unusable, io, { where: `sidenet prepare ${path} --out DIR` });
  if (unknown.length > 0) {
    io.note(`warning: the model has no such classes, their clips are left out: ${unknown.join(", ")}`);
  }
  io.note(`${path}: ${formatCount(set.clips.length)} clips of the model's classes`);
  return set;
}

/** Names the first problems; all of them are in the figures. */
function tellProblems(problems: readonly DataProblem[], folder: string, io: Io): void {
  for (const { path, problem } of problems.slice(0, PROBLEMS_NAMED)) {
    io.note(`warning: ${path}: ${problem}`);
  }
  const more = problems.length - PROBLEMS_NAMED;
  if (more > 0) {
    io.note(`warning: ${formatCount(more)} more, see "broken" in ${folder}/${EVALUATION_FILES.figures}`);
  }
}

/** Metrics and further figures in one line, shares first. */
function printFigures(figures: EvaluationFigures, task: Task, io: Io): void {
  const columns = [...task.metrics, ...task.figures ?? []];
  const isShare = ({ format }: MetricColumn) => format === "share";
  const texts = [...columns.filter(isShare), ...columns.filter((column) => !isShare(column))].map(
    (column) => {
      const value = figures[column.key] as number;
      return `${column.name} ${formatMetric(column, value, { digits: 2 })}`;
    },
  );
  io.print(`${texts.join("  ")}  (${figures.clips_per_second.toFixed(1)} clips/s)`);
  if (figures.broken.length > 0) io.print(describeProblems(figures.broken.length));
}
