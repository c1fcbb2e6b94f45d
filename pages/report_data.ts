/** Gathers what a run's report shows, and writes the report. */

import { join } from "node:path";
import { createClipSource } from "../data/open_clip_source.ts";
import { writeFileWhole } from "../data/files.ts";
import { releasedFrames } from "../data/frames/shared_garbage.ts";
import { encodeJpeg, resizePicture } from "../data/frames/jpeg.ts";
import { type Config, dataRoots } from "../train/recipe/config.ts";
import { viewSampler } from "../train/evaluation/evaluate.ts";
import {
  EVALUATION_FILES,
  type EvaluationFigures,
  type EvaluationRun,
} from "../train/evaluation/evaluation_files.ts";
import { clipModality, needsRate } from "../train/feed/sampling.ts";
import type { Evaluation, Task } from "../train/tasks/task.ts";
import type { DataProblem } from "../train/feed/problems.ts";
import { pagePartsOf } from "./parts/registry.ts";
import { renderReport } from "./report.ts";
import {
  type EvalRecord,
  readMetrics,
  type RunFolder,
  type StepRecord,
  type Summary,
} from "../train/files/run_folder.ts";

const JPEG_QUALITY = 85;

/** What a report is about. */
export interface Reported {
  config: Config;
  task: Pick<Task, "id" | "metrics" | "figures" | "best">;
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
  const { config, task, evaluation, labels } = run, { clips, broken, ...others } = figures;
  const summary = {
    system: config.system,
    backbone: config.network.arch,
    // Tables are for eval.json; what can be shown of them is up to the task's page parts.
    ...Object.fromEntries(Object.entries(others).filter(([, value]) => typeof value !== "object")),
    clips_evaluated: clips,
    data_problems: broken.length,
  };
  const page = { config, task, summary, evaluation, labels, problems: evaluation.problems };
  await writeFileWhole(join(folder, EVALUATION_FILES.report), await evaluationHtml(page));
}

/** The page of an evaluation, with the curves of a training run where there is one. */
export async function evaluationHtml(
  run: Reported,
  metrics: { steps: StepRecord[]; evals: EvalRecord[] } = { steps: [], evals: [] },
): Promise<string> {
  const { config, task, summary, evaluation, labels, problems } = run;
  const count = config.logging.example_clips;
  const { examples: choose, gallery: ask } = pagePartsOf(task.id);
  const chosen = evaluation === null ? [] : choose?.(evaluation.predictions, { labels, count }) ?? [];
  const examples = await withFrames(config, chosen);
  const queries = evaluation === null ? [] : ask?.(evaluation, { count }) ?? [];
  const found = new Set(queries.flatMap(({ hits }) => hits.map(({ path }) => path)));
  const pictures = await withFrames(config, [...found].map((path) => ({ path })), SMALL);
  const gallery = { queries, pictures: new Map(pictures.map(({ path, frames }) => [path, frames])) };
  return renderReport({ config, task, summary, ...metrics, evaluation, labels, examples, gallery, problems });
}

/** Pictures of a gallery: few and small, because each query shows several clips. */
const SMALL = { frames: 4, width: 112 };

/** Decoded bytes of an example, at most: 64 frames of 1920x1080 have fewer. */
const MOST_EXAMPLE_BYTES = 2 ** 29;

/**
 * Clips with the frames that the network sees; those that cannot be read, or are too large for a page, are left out.
 *
 * @param limits.frames Some of the frames, spread over the clip; all by default.
 * @param limits.width Wider frames are made smaller.
 */
async function withFrames<C extends { readonly path: string }>(
  config: Config,
  chosen: readonly C[],
  limits: { frames: number; width: number } = { frames: Infinity, width: Infinity },
): Promise<(C & { frames: Uint8Array[] })[]> {
  await using source = createClipSource({
    modality: clipModality(config),
    root: dataRoots(config).val,
    template: config.data.image_tmpl,
    firstFrame: config.data.first_frame,
    workers: 1,
  });
  const sampler = viewSampler(config, null), timed = needsRate(config, "val");
  const examples: (C & { frames: Uint8Array[] })[] = [];
  for (const example of chosen) {
    let frameCount: number, rate: number | null = null;
    try {
      frameCount = await source.count(example.path);
      if (timed) rate = await source.rate(example.path);
    } catch {
      continue; // named among the problems already
    }
    const all = [...new Set(sampler(frameCount, null, rate).flat())],
      shown = Math.min(all.length, limits.frames);
    const indices = Array.from({ length: shown }, (_, i) => all[Math.floor((i + 0.5) * all.length / shown)]);
    const clip = await source.decode(example.path, frameCount, indices, undefined, MOST_EXAMPLE_BYTES);
    if (clip.bad || clip.needsBytes !== undefined) continue;
    const { width, height } = clip, bytes = width * height * 3;
    const frames: Uint8Array[] = [];
    for (let i = 0; i < indices.length; i++) {
      const picture = { width, height, rgb: clip.frames.subarray(i * bytes, (i + 1) * bytes) };
      const small = width > limits.width
        ? await resizePicture(picture, {
          width: limits.width,
          height: Math.max(1, Math.round(height * limits.width / width)),
        })
        : picture;
      frames.push(await encodeJpeg(small, { quality: JPEG_QUALITY }));
    }
    examples.push({ ...example, frames });
    releasedFrames(clip.frames.length);
  }
  return examples;
}
