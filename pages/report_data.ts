/** Gathers what a run's report shows, and writes the report. */

import { join } from "node:path";
import { createClipSource } from "../data/clip_source.ts";
import { writeFileWhole } from "../data/files.ts";
import { encodeJpeg } from "../data/frames/jpeg.ts";
import { type Config, dataRoots } from "../train/recipe/config.ts";
import { type ClipPrediction, type Evaluation, viewSampler } from "../train/evaluation/evaluate.ts";
import {
  EVALUATION_FILES,
  type EvaluationFigures,
  type EvaluationRun,
} from "../train/evaluation/evaluation_files.ts";
import { topClasses } from "../train/evaluation/metrics.ts";
import { clipModality } from "../train/feed/sampling.ts";
import type { DataProblem } from "../train/feed/problems.ts";
import { type ExampleClip, renderReport } from "./report.ts";
import {
  type EvalRecord,
  readMetrics,
  type RunFolder,
  type StepRecord,
  type Summary,
} from "../train/run/run_folder.ts";

/** Classes shown with an example. */
const TOP = 5;
const JPEG_QUALITY = 85;

/** What a report is about. */
interface Reported {
  config: Config;
  summary: Partial<Summary>;
  evaluation: Evaluation | null;
  labels: readonly string[];
  problems: readonly DataProblem[];
}

/** Renders and writes a run's `report.html`. */
export async function writeReport(run: Reported & { folder: RunFolder }): Promise<void> {
  await run.folder.write("report", await evaluationHtml(run, await readMetrics(run.folder.path)));
}

/** Renders and writes the page of an evaluation beside its other files. */
export async function writeEvaluationReport(
  folder: string,
  run: EvaluationRun,
  figures: EvaluationFigures,
): Promise<void> {
  const { config, evaluation, labels } = run, { clips, confusion: _, broken, ...shown } = figures;
  const summary = {
    system: config.system,
    backbone: config.network.arch,
    ...shown,
    clips_evaluated: clips,
    data_problems: broken.length,
  };
  const page = { config, summary, evaluation, labels, problems: evaluation.problems };
  await writeFileWhole(join(folder, EVALUATION_FILES.report), await evaluationHtml(page));
}

/** The page of an evaluation, with the curves of a training run where there is one. */
export async function evaluationHtml(
  { config, summary, evaluation, labels, problems }: Reported,
  metrics: { steps: StepRecord[]; evals: EvalRecord[] } = { steps: [], evals: [] },
): Promise<string> {
  const examples = evaluation ? await exampleClips(config, evaluation.predictions, labels) : [];
  const classes = labels.length;
  const confusion = evaluation?.metrics.confusion ??
    Array.from({ length: classes }, () => new Array<number>(classes).fill(0));
  return renderReport({ config, summary, ...metrics, confusion, labels, examples, problems });
}

/** Clips spread over the list: wrong ones first up to a third, because they tell most. */
function pick(predictions: readonly ClipPrediction[], count: number): ClipPrediction[] {
  const isWrong = (p: ClipPrediction) => topClasses(p.probabilities, 1)[0] !== p.label;
  const spread = (list: readonly ClipPrediction[], n: number) =>
    Array.from(
      { length: Math.min(n, list.length) },
      (_, i) => list[Math.floor(i * list.length / Math.min(n, list.length))],
    );
  const wrong = spread(predictions.filter(isWrong), Math.floor(count / 3));
  const right = spread(predictions.filter((p) => !isWrong(p)), count - wrong.length);
  return [...right, ...wrong];
}

async function exampleClips(
  config: Config,
  predictions: readonly ClipPrediction[],
  labels: readonly string[],
): Promise<ExampleClip[]> {
  await using source = createClipSource({
    modality: clipModality(config),
    root: dataRoots(config).val,
    template: config.data.image_tmpl,
    workers: 1,
  });
  const sampler = viewSampler(config, null);
  const examples: ExampleClip[] = [];
  for (const { path, label, probabilities } of pick(predictions, config.logging.example_clips)) {
    let frameCount: number;
    try {
      frameCount = await source.count(path);
    } catch {
      continue; // named among the problems already
    }
    const indices = sampler(frameCount).flat();
    const clip = await source.decode(path, frameCount, indices);
    if (clip.bad) continue;
    const { width, height } = clip, bytes = width * height * 3;
    const frames: Uint8Array[] = [];
    for (let i = 0; i < indices.length; i++) {
      frames.push(
        await encodeJpeg({ width, height, rgb: clip.frames.subarray(i * bytes, (i + 1) * bytes) }, {
          quality: JPEG_QUALITY,
        }),
      );
    }
    const top = topClasses(probabilities, TOP).map((k) => ({ label: labels[k], p: probabilities[k] }));
    examples.push({ path, label: labels[label], frames, top });
  }
  return examples;
}
