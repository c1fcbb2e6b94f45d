/** `sidenet eval`: accuracy of a trained model on a list, by the published multi-view protocol. */
import { requireWritableFolder } from "../data/files.ts";
import { evaluateClips } from "../train/evaluation/evaluate.ts";
import { dataRoots } from "../train/recipe/config.ts";
import {
  EVALUATION_FILES,
  type EvaluationFigures,
  evaluationName,
  writeEvaluation,
} from "../train/evaluation/evaluation_files.ts";
import { writeEvaluationReport } from "../pages/report_data.ts";
import { openFrameCache } from "../train/feed/frame_cache.ts";
import { describeProblems } from "../train/feed/problems.ts";
import { formatCount, formatShare, formatValue } from "../lib/text.ts";
import { requireReadable } from "../train/feed/readable.ts";
import type { DataProblem } from "../train/feed/problems.ts";
import { readSplit } from "../train/feed/lists.ts";
import { findTrainedModel, openTrainedModel, viewBatch } from "../train/evaluation/trained_model.ts";
import type { ClassificationMetrics } from "../train/evaluation/metrics.ts";
import { defineCommand, parseArguments, twoColumns } from "./_args.ts";
import { printable } from "./_clips.ts";
import type { Io } from "./_output.ts";
import { tunedChoices } from "./_tuned.ts";
import { describeViews, MODEL_OPTIONS, onlyModel, viewsOfFlags } from "./_trained.ts";

/** Problems of the data named on the terminal. */
const PROBLEMS_NAMED = 100;

export const command = defineCommand({
  name: "eval",
  summary: "Evaluate a run or a checkpoint with the published multi-view protocol",
  usage: "RUN|CHECKPOINT [key=value …]",
  positionals: { min: 1 },
  details:
    `RUN is a run folder, of which the best weights are taken; CHECKPOINT is a safetensors file, with --config where it
holds no recipe. A clip is seen in crops x clips views, and its probabilities are averaged. Without --test-crops and
--test-clips it is seen once, by the rule of validation inside training, and clips shorter than 8 frames are left out as
there. Figures (eval.json), predictions (predictions.csv and predictions.jsonl, one line a clip) and a report are written
beside the weights. --probabilities adds those of all classes to the JSON lines, of which two runs can be averaged.`,
  examples: [
    ["sidenet eval runs/demo", "one view a clip"],
    ["sidenet eval runs/ssv2_vitb16_f8 --test-crops 3 --test-clips 2", "the protocol of Something-Something"],
    ["sidenet eval runs/k400_vitb16_f8 --test-crops 3 --test-clips 4 --list test.txt", "another list"],
  ],
  options: {
    ...MODEL_OPTIONS,
    list: { type: "string", placeholder: "FILE", help: "list of clips instead of data.val_list" },
    out: { type: "string", placeholder: "FOLDER", help: "where the results go" },
    probabilities: { type: "boolean", help: "write those of every class into predictions.jsonl" },
    "per-class": { type: "boolean", help: "also print a line for every class" },
  },
});

export async function run(args: string[], io: Io): Promise<number> {
  const { values, positionals } = parseArguments(command, args);
  const { model: target, overrides } = onlyModel(positionals, "eval");
  const views = viewsOfFlags(values);
  const model = await findTrainedModel(target, { config: values.config, overrides });
  const { config, labels, weights } = model;
  const folder = values.out ?? model.resultPath(evaluationName(views, values.list ?? null));
  await requireWritableFolder(folder);
  const clips = await readSplit(config, "val", { path: values.list, keepShort: views !== null });
  const list = values.list ?? config.data.val_list!;
  const root = dataRoots(config).val, batch = viewBatch(config, views, clips.length);
  const choices = await tunedChoices();
  await using frameCache = await openFrameCache(config, (text) => io.note(`warning: ${text}`));
  await using client = await openTrainedModel(model, { clips, root, batch, choices });
  await requireReadable(config, clips, { list, root, signal: io.signal });
  io.note(`adapter: ${client.opened.adapter}`);
  const started = performance.now();
  const evaluation = await evaluateClips(client, config, {
    clips,
    views,
    frameCache,
    batch,
    signal: io.signal,
    onProgress: (done, total) => io.status(`evaluating ${formatCount(done)}/${formatCount(total)}`),
  });
  const seconds = (performance.now() - started) / 1000;
  tellProblems(evaluation.problems, folder, io);
  const { adapter } = client.opened;
  const evaluated = {
    config,
    labels,
    weights,
    list,
    views,
    evaluation,
    seconds,
    adapter,
    allProbabilities: values.probabilities,
  };
  const figures = await writeEvaluation(folder, evaluated);
  await writeEvaluationReport(folder, evaluated, figures);
  io.print(`${weights} on ${formatCount(figures.clips)} clips of ${list}, ${describeViews(views)}`);
  printFigures(figures, io);
  if (values["per-class"]) printClasses(evaluation.metrics, labels, io);
  io.print(`report: ${folder}/${EVALUATION_FILES.report}`);
  io.printJson(
    values["per-class"] ? { ...figures, per_class: classRows(evaluation.metrics, labels) } : figures,
  );
  return 0;
}

/** Names the first problems; all of them are in the figures. */
function tellProblems(problems: readonly DataProblem[], folder: string, io: Io): void {
  for (const { path, problem } of problems.slice(0, PROBLEMS_NAMED)) {
    io.note(`warning: ${printable(path)}: ${problem}`);
  }
  const more = problems.length - PROBLEMS_NAMED;
  if (more > 0) {
    io.note(`warning: ${formatCount(more)} more, see "broken" in ${folder}/${EVALUATION_FILES.figures}`);
  }
}

function printFigures(figures: EvaluationFigures, io: Io): void {
  const { top1, top5, mean_class_accuracy: mean, loss, clips_per_second: speed, broken } = figures;
  io.print(
    `top-1 ${formatShare(top1, 2)}  top-5 ${formatShare(top5, 2)}  mean class accuracy ${
      formatShare(mean, 2)
    }  loss ${formatValue(loss)}  (${speed.toFixed(1)} clips/s)`,
  );
  if (broken.length > 0) io.print(describeProblems(broken.length));
}

/** The classes that occur, as data. */
function classRows(metrics: ClassificationMetrics, labels: readonly string[]) {
  return metrics.perClass().flatMap(({ clips, top1, top5, confusedWith }, index) =>
    clips === 0 ? [] : [{
      label: labels[index],
      index,
      clips,
      top1,
      top5,
      confused_with: confusedWith === null ? null : labels[confusedWith],
    }]
  );
}

function printClasses(metrics: ClassificationMetrics, labels: readonly string[], io: Io): void {
  const rows = classRows(metrics, labels).map(({ label, clips, top1, top5, confused_with: other }) =>
    [
      label,
      `${formatCount(clips).padStart(6)} clips  top-1 ${formatShare(top1).padStart(7)}  top-5 ${
        formatShare(top5).padStart(7)
      }${other === null ? "" : `  most often taken for ${other}`}`,
    ] as const
  );
  io.print(twoColumns(rows));
}
