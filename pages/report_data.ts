/** Gathers what a run's report shows, and writes the report. */

import { join } from "node:path";
import type { ClipSource } from "../data/clip_source.ts";
import { createClipSource } from "../data/open_clip_source.ts";
import { writeFileWhole } from "../data/files.ts";
import { releasedFrames } from "../data/frames/shared_garbage.ts";
import { encodeJpeg, resizePicture } from "../data/frames/jpeg.ts";
import { formatCount } from "../lib/text.ts";
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
import { FRAMES_IN_ROW } from "./_examples.ts";
import type { Fact, PageOrigin } from "./page.ts";
import { PictureBudget } from "./pictures.ts";
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
  /** How the page comes to be made. */
  origin?: PageOrigin;
}

/** Renders and writes a run's `report.html`. */
export async function writeReport(run: Reported & { folder: RunFolder }): Promise<void> {
  const { config: { data }, summary, evaluation, labels, folder } = run;
  const facts: Fact[] = [
    ["Data set", data.dataset],
    ["Trained on", listText(data.train_list, summary.training_clips as number | undefined)],
    ["Validated on", listText(data.val_list, evaluation?.predictions.length)],
    ["Classes", labels.length === 0 ? undefined : formatCount(labels.length)],
    ["Run", folder.path],
  ];
  await folder.write("report", await evaluationHtml({ ...run, facts }, await readMetrics(folder.path)));
}

/** Renders and writes the page of an evaluation beside its other files. */
export async function writeEvaluationReport(
  folder: string,
  run: EvaluationRun,
  figures: EvaluationFigures,
  origin?: PageOrigin,
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
  const facts: Fact[] = [
    ["Data set", config.data.dataset],
    ["Evaluated on", listText(run.list, clips)],
    ["Classes", labels.length === 0 ? undefined : formatCount(labels.length)],
    ["Weights", run.weights],
  ];
  const page = { config, task, summary, evaluation, labels, problems: evaluation.problems, origin, facts };
  await writeFileWhole(join(folder, EVALUATION_FILES.report), await evaluationHtml(page));
}

/** A list and how many clips of it were read. */
function listText(list: string | null, clips: number | undefined): string | undefined {
  const counted = clips === undefined ? "" : `${formatCount(clips)} ${clips === 1 ? "clip" : "clips"}`;
  return [counted, list ?? ""].filter(Boolean).join(" of ") || undefined;
}

/** The page of an evaluation, with the curves of a training run where there is one. */
export async function evaluationHtml(
  run: Reported & { facts: readonly Fact[] },
  metrics: { steps: StepRecord[]; evals: EvalRecord[] } = { steps: [], evals: [] },
): Promise<string> {
  const { config, task, evaluation, labels } = run;
  const count = config.logging.example_clips, parts = pagePartsOf(task.id);
  const predictions = evaluation?.predictions ?? [], budget = new PictureBudget();
  const worst = parts.mistakes?.(predictions, { labels, count }) ?? [];
  const others = predictions.filter(({ path }) => !worst.some((mistake) => mistake.path === path));
  const chosen = parts.examples?.(others, { labels, count }) ?? [];
  const queries = evaluation === null ? [] : parts.gallery?.(evaluation, { count }) ?? [];
  const found = new Set(queries.flatMap(({ hits }) => hits.map(({ path }) => path)));
  await using source = createClipSource({
    modality: clipModality(config),
    root: dataRoots(config).val,
    template: config.data.image_tmpl,
    firstFrame: config.data.first_frame,
    workers: 1,
  });
  const withFrames = framesFrom(source, config, budget);
  const mistakes = await withFrames(worst, CARD);
  const examples = await withFrames(chosen, CARD);
  const pictures = await withFrames([...found].map((path) => ({ path })), SMALL);
  const gallery = { queries, pictures: new Map(pictures.clips.map(({ path, frames }) => [path, frames])) };
  return renderReport({ ...run, ...metrics, examples, mistakes, gallery });
}

/** Pictures of a card: two rows at most, at about twice the size at which they are shown. */
const CARD = { frames: 2 * FRAMES_IN_ROW, rowWidth: 1080 };
/** Pictures of a gallery: few and small, because each query shows several clips. */
const SMALL = { frames: 4, rowWidth: 448 };

/** Decoded bytes of an example, at most: 64 frames of 1920x1080 have fewer. */
const MOST_EXAMPLE_BYTES = 2 ** 29;

/** Frames of a clip, spread over it, and the width of a row of them in pixels: wider ones are made smaller. */
interface FrameLimits {
  frames: number;
  rowWidth: number;
}

/**
 * Gives clips the frames that the network sees. Those that cannot be read, are too large, or have no room on the page any more are
 * left out and counted.
 */
function framesFrom(
  source: Pick<ClipSource, "count" | "rate" | "decode">,
  config: Config,
  budget: PictureBudget,
) {
  const sampler = viewSampler(config, null), timed = needsRate(config, "val");
  const framesOf = async (path: string, limits: FrameLimits): Promise<Uint8Array[] | null> => {
    let frameCount: number, rate: number | null = null;
    try {
      frameCount = await source.count(path);
      if (timed) rate = await source.rate(path);
    } catch {
      return null; // named among the problems already
    }
    const all = [...new Set(sampler(frameCount, null, rate).flat())],
      shown = Math.min(all.length, limits.frames);
    const indices = Array.from({ length: shown }, (_, i) => all[Math.floor((i + 0.5) * all.length / shown)]);
    const clip = await source.decode(path, frameCount, indices, undefined, MOST_EXAMPLE_BYTES);
    if (clip.bad || clip.needsBytes !== undefined) return null;
    const { width, height } = clip, bytes = width * height * 3;
    const most = Math.ceil(limits.rowWidth / Math.min(FRAMES_IN_ROW, shown));
    const frames: Uint8Array[] = [];
    for (let i = 0; i < indices.length; i++) {
      const picture = { width, height, rgb: clip.frames.subarray(i * bytes, (i + 1) * bytes) };
      const small = width > most
        ? await resizePicture(picture, {
          width: most,
          height: Math.max(1, Math.round(height * most / width)),
        })
        : picture;
      frames.push(await encodeJpeg(small, { quality: JPEG_QUALITY }));
    }
    releasedFrames(clip.frames.length);
    return frames;
  };
  return async <C extends { readonly path: string }>(
    chosen: readonly C[],
    limits: FrameLimits,
  ): Promise<{ clips: (C & { frames: Uint8Array[] })[]; left: number }> => {
    const clips: (C & { frames: Uint8Array[] })[] = [];
    for (const clip of chosen) {
      if (budget.isFull) break;
      const frames = await framesOf(clip.path, limits);
      if (frames !== null && budget.take(frames)) clips.push({ ...clip, frames });
    }
    return { clips, left: chosen.length - clips.length };
  };
}
