/** `sidenet predict`: the best classes of clips, at once or along their time. */
import type { ClipRecord } from "../data/datasets/list.ts";
import { createClipSource } from "../data/open_clip_source.ts";
import { parseFrameTemplate } from "../data/frames/frame_folder.ts";
import { ConfigError, type DataError } from "../lib/errors.ts";
import { predictClips } from "../train/evaluation/evaluate_model.ts";
import { formatCount, formatShare, progressBar } from "../lib/text.ts";
import { clipTimes } from "../train/evaluation/clip_times.ts";
import {
  type ClipOutcome,
  clockDigits,
  defaultStride,
  formatClock,
  outcomeJson,
  outcomesOf,
  recordsOf,
  segmentsOf,
  type WindowLength,
} from "../train/evaluation/timeline.ts";
import { recipeFact } from "../pages/page.ts";
import { PredictionPage, thumbnailsOf, windowsText } from "../pages/timeline_page.ts";
import { topShares } from "../train/tasks/class_shares.ts";
import type { DataProblem } from "../train/feed/problems.ts";
import { taskOfRecipe } from "../train/tasks/session_options.ts";
import type { Description, Task } from "../train/tasks/task.ts";
import {
  findTrainedModel,
  readsClassTexts,
  type TrainedModel,
  withClasses,
} from "../train/evaluation/trained_model.ts";
import {
  ACTION_TEMPLATES,
  classPrompts,
  PLAIN_TEMPLATES,
  readClassNames,
  readTemplates,
} from "../data/text/prompts.ts";
import { type AskedModel, findEmbeddingModel, isBackboneAlone } from "../train/search/embedding_model.ts";
import { defineCommand, parseArguments } from "./shared/args.ts";
import { type Classifier, trainedClassifier, zeroShotClassifier } from "./shared/classifier.ts";
import type { Io } from "./shared/output.ts";
import { requireVideoFile, writeAnnotated } from "./extras/annotated.ts";
import { requirePageFile } from "./shared/page_file.ts";
import { cannotUse, clipsOfPaths, windowed } from "./shared/predict_inputs.ts";
import { tellStages } from "./text/stages.ts";
import { tunedChoices } from "./shared/tuned.ts";
import { findTarget, WEIGHTS_OPTIONS } from "./shared/weights.ts";
import { splitOverrides } from "./shared/overrides.ts";
import { MODEL_OPTIONS, viewsOfFlags } from "./shared/trained.ts";

const DEFAULT_TOP = 5;
const BAR_WIDTH = 20;
/** Clips longer than this, in seconds, are told of the windows, and which length suits them. */
const LONG_SECONDS = 30, SUGGESTED_WINDOW = 4;
/** Warnings printed for a clip. */
const WARNINGS_SHOWN = 10;

export const command = defineCommand({
  name: "predict",
  summary: "Print the five best classes for video files and folders of frames",
  usage: "RUN|CHECKPOINT PATH… [key=value …]",
  positionals: { min: 2 },
  details:
    `PATH is a video file (mp4, mkv, webm, avi, mov, …), which needs ffmpeg, or a folder of frames named as
data.image_tmpl says, whatever the model was trained on. Of any other folder, all clips below it are taken, hidden names
left out. A path that cannot be used is named, and the others are done all the same; the exit code is then 4. With --json
there is one line a clip on stdout.

With --window a window of so many seconds slides over each clip, and its places are predicted one by one: every one is a
clip of its own, of which the frames are taken as of any other. The prediction of the whole is the mean over the windows.

With --classes a network for retrieval, one that compares clips with the texts of its classes, or any CLIP checkpoint with its text
tower says which of these classes a clip is nearest to.`,
  examples: [
    ["sidenet predict runs/demo demo_data/val/00001", "one clip, seen once"],
    ["sidenet predict runs/demo clip.mp4", "a video file"],
    [
      "sidenet predict runs/ssv2_vitb16_f8 clips --test-crops 3 --test-clips 2",
      "a folder of clips, six views each",
    ],
    ["sidenet predict runs/demo match.mp4 --window 4 --html match.html", "what happens when, also as a page"],
    ["sidenet predict runs/demo match.mp4 --window 4 --annotate seen.mp4", "the same burnt into the video"],
  ],
  options: {
    ...MODEL_OPTIONS,
    ...WEIGHTS_OPTIONS,
    top: { type: "integer", min: 1, placeholder: "N", help: `number of classes, ${DEFAULT_TOP} by default` },
    classes: {
      type: "string",
      placeholder: '"A,B,…"|FILE',
      help:
        "classes to choose from, without training: names, or a file of them; for CLIP checkpoints, networks for retrieval, and classifiers by texts",
    },
    templates: {
      type: "string",
      placeholder: "FILE",
      help: "sentences about a class, one a line, {} stands for its name",
    },
    window: {
      type: "number",
      min: 0.001,
      placeholder: "SECONDS",
      help: "predict windows of this length, one by one",
    },
    stride: {
      type: "number",
      min: 0.001,
      placeholder: "SECONDS",
      help: "from the start of a window to that of the next, half a window by default",
    },
    fps: {
      type: "number",
      min: 0.001,
      placeholder: "N",
      help: "frames a second of folders of frames, 12 by default, and of videos that do not tell theirs",
    },
    html: { type: "string", placeholder: "FILE", help: "also write a page with timelines and thumbnails" },
    annotate: {
      type: "string",
      placeholder: "FILE.mp4",
      help: "also write the clip as a video with its classes burnt in, with --window as they change",
    },
  },
});

export async function run(args: string[], io: Io): Promise<number> {
  const { values, positionals } = parseArguments(command, args);
  const [named, ...rest] = positionals;
  const { overrides, others: paths } = splitOverrides(rest);
  const views = viewsOfFlags(values), top = values.top ?? DEFAULT_TOP;
  const length = windowLength(values);
  await requirePageFile(values.html);
  await requireVideoFile(values.annotate);
  const { target, locate } = await findTarget(named, io, { offline: values.offline });
  const asked = { target, config: values.config ?? null, overrides, locate };
  const zeroShot = await zeroShotOf(asked, values, io);
  if (zeroShot === null && values.config === undefined && await isBackboneAlone(target)) {
    throw new ConfigError(
      `Cannot predict with "${target}": it must be a network that was trained to name classes, it is a backbone alone; ` +
        "with the text tower of a CLIP model --classes says which classes to choose from",
    );
  }
  const trained = zeroShot
    ? null
    : await findTrainedModel(target, { config: values.config, overrides, locate });
  for (const remark of trained?.remarks ?? []) io.note(`warning: ${remark}`);
  const { config } = zeroShot ?? trained!, { image_tmpl: template, first_frame: firstFrame } = config.data;
  const task = taskOfRecipe(config);
  const classifier = zeroShot ?? (hasShares(task) ? trainedClassifier(trained!, task) : null);
  const needsNames = (["window", "html", "annotate"] as const).find((name) => values[name] !== undefined);
  if (classifier === null && needsNames !== undefined) {
    const flag = needsNames;
    throw new ConfigError(
      `Cannot predict with --${flag}: the model must name classes, its task is "${task.id}"`,
    );
  }
  let exitCode = 0;
  const page = values.html === undefined || classifier === null ? null : new PredictionPage(values.html, {
    model: classifier.weights,
    labels: classifier.labels,
    top,
    origin: { command: io.command },
    facts: [recipeFact(config)],
  });
  const fail = (error: DataError, { path, reason }: { path: string; reason: string }) => {
    io.note(`sidenet: ${error.message}`);
    page?.fail(path, reason);
    exitCode = error.exitCode;
  };
  const failBad = ({ path, problems }: { path: string; problems: readonly DataProblem[] }) => {
    const reason = reasonOfBad(problems);
    fail(cannotUse(path, reason), { path, reason });
  };
  const found = await clipsOfPaths(paths, template, { fail, note: io.note, signal: io.signal });
  const inputs = await windowed(found, length, {
    template,
    firstFrame,
    frameRate: values.fps,
    signal: io.signal,
    fail,
    onProgress: (done, total) => io.status(`looking at ${formatCount(done)}/${formatCount(total)}`),
  });
  if (inputs.length === 0) return exitCode;
  if (values.annotate !== undefined && inputs.length > 1) {
    throw new ConfigError(
      `Cannot predict with --annotate: there must be one clip to write as a video, current count is ${inputs.length}`,
    );
  }

  if (classifier === null) {
    using stages = tellStages(io);
    const own = {
      views,
      frameRate: values.fps,
      top,
      signal: io.signal,
      choices: await tunedChoices(io),
      stage: stages.tell,
      onNote: (text: string) => io.note(text),
    };
    for await (const clip of predictClips(trained!, inputs.map(({ path }) => path), own)) {
      stages.end();
      if (clip.bad) failBad(clip);
      else printDescription(clip.path, clip, io);
    }
    return exitCode;
  }
  // The paths are the user's own, relative to the working folder.
  const root = "", clips = recordsOf(inputs), { labels } = classifier;
  await using source = createClipSource({ modality: "either", root, template, firstFrame, workers: 1 });
  const whole: ClipRecord[] = recordsOf(inputs.map(({ path }) => ({ path, windows: null })));
  const choices = await tunedChoices(io), { signal } = io;
  using stages = tellStages(io);
  const scores = counted(
    classifier.scores({
      clips,
      whole,
      views,
      frameRate: values.fps,
      choices,
      signal,
      stage: stages.tell,
      onNote: (text) => io.note(text),
    }),
    (done) => {
      stages.end();
      io.status(`predicting ${formatCount(done)}/${formatCount(clips.length)}`);
    },
  );
  const long: string[] = [];
  let next = 0;
  for await (const outcome of outcomesOf(scores, inputs, classifier.task)) {
    const { path, times: known } = inputs[next++];
    if (outcome.bad) {
      failBad(outcome);
      continue;
    }
    // What a video tells is remembered from its decoding. Without windows a time that is not told is not missed.
    const times = known ?? await clipTimes(path, {
      template: parseFrameTemplate(template),
      firstFrame,
      frameRate: values.fps,
      signal: io.signal,
    }).catch(() => null);
    io.signal.throwIfAborted();
    const seconds = times?.seconds ?? null;
    printOutcome(outcome, { labels, top, length, seconds }, io);
    if (length === null && seconds !== null && seconds > LONG_SECONDS) long.push(path);
    if (values.annotate !== undefined) {
      const written = { outcome, labels, top, seconds, file: values.annotate };
      const failed = (error: DataError) => fail(error, { path, reason: error.message });
      await writeAnnotated(written, { template, firstFrame, frameRate: values.fps, fail: failed, io });
    }
    if (!page) continue;
    const thumbnails = times && !page.isFull
      ? await thumbnailsOf(source, path, times, { signal: io.signal })
      : [];
    page.add({ outcome, seconds, length, thumbnails });
  }
  if (page && page.clips > 0) {
    await page.close();
    io.print(`page: ${values.html}`);
  }
  if (long.length > 0) {
    const others = long.length === 1 ? "" : ` and ${formatCount(long.length - 1)} more`;
    io.note(
      `note: ${long[0]}${others}: longer than ${LONG_SECONDS} s and predicted at once; ` +
        `--window ${SUGGESTED_WINDOW} gives a timeline`,
    );
  }
  return exitCode;
}

/** A trained classifier that compares clips with texts of classes; null: the target is something else. */
async function classifierByTexts(asked: AskedModel): Promise<TrainedModel | null> {
  const { target, config, overrides, locate } = asked;
  if (config === null && await isBackboneAlone(target)) return null;
  const found = await findTrainedModel(target, { config: config ?? undefined, overrides, locate });
  return readsClassTexts(found) ? found : null;
}

/** A network that names the classes that the user names; null where it is to name its own. */
async function zeroShotOf(
  asked: AskedModel,
  { classes, templates }: { classes?: string; templates?: string },
  io: Io,
): Promise<Classifier | null> {
  if (classes === undefined) {
    if (templates === undefined) return null;
    throw new ConfigError(
      "Cannot predict with --templates: --classes must be given too, current value is missing",
    );
  }
  const labels = await readClassNames(classes),
    given = templates === undefined ? null : await readTemplates(templates);
  const trained = await classifierByTexts(asked);
  if (trained) {
    // These are compared with names as they are, as they were trained.
    const prompts = classPrompts(labels, given ?? PLAIN_TEMPLATES);
    const task = taskOfRecipe(trained.config);
    if (hasShares(task)) return trainedClassifier(withClasses(trained, { labels, prompts }), task);
  }
  const names = { labels, templates: given ?? ACTION_TEMPLATES };
  const model = await findEmbeddingModel(asked);
  for (const warning of model.warnings) io.note(`warning: ${warning}`);
  return zeroShotClassifier(model, { ...names, note: io.note });
}

/** Why nothing of a clip could be read. */
function reasonOfBad(problems: readonly DataProblem[]): string {
  return problems[0].problem.replace(/^clip: |; black$/g, "");
}

/** Whether what a task says can be drawn as shares of classes: over time, and on a page. */
function hasShares(task: Task): task is Task & Required<Pick<Task, "shares">> {
  return task.shares !== undefined;
}

function printDescription(path: string, { json, lines }: Description, io: Io): void {
  io.printJson({ path, ...json });
  if (io.json) return;
  io.print(path);
  for (const line of lines) io.print(`  ${line}`);
}

function windowLength({ window, stride }: { window?: number; stride?: number }): WindowLength | null {
  if (window !== undefined) return { window, stride: stride ?? defaultStride(window) };
  if (stride === undefined) return null;
  throw new ConfigError(`Cannot predict with --stride: --window must be given too, current value is missing`);
}

async function* counted<T>(items: AsyncIterable<T>, onEach: (done: number) => void): AsyncGenerator<T> {
  let done = 0;
  for await (const item of items) {
    onEach(++done);
    yield item;
  }
}

function printOutcome(
  outcome: ClipOutcome,
  shown: { labels: readonly string[]; top: number; length: WindowLength | null; seconds: number | null },
  io: Io,
): void {
  const { path, probabilities, windows, problems } = outcome, { labels, length, seconds } = shown;
  for (const { problem } of problems.slice(0, WARNINGS_SHOWN)) io.note(`warning: ${path}: ${problem}`);
  if (problems.length > WARNINGS_SHOWN) {
    io.note(`warning: ${path}: and ${formatCount(problems.length - WARNINGS_SHOWN)} more`);
  }
  io.printJson(outcomeJson(outcome, shown));
  if (io.json) return;
  const best = topShares(probabilities, labels, shown.top);
  const segments = windows ? segmentsOf(windows) : [];
  const names = [...best.map(({ label }) => label), ...segments.map(({ index }) => labels[index])];
  const width = names.reduce((most, name) => Math.max(most, name.length), 0);
  const line = (label: string, p: number) =>
    `${label.padEnd(width)}  ${progressBar(p, BAR_WIDTH)}  ${formatShare(p).padStart(7)}`;
  if (!windows || !length || seconds === null) {
    io.print(path);
    for (const { label, p } of best) io.print(`  ${line(label, p)}`);
    return;
  }
  const digits = clockDigits(seconds, length.stride, segments),
    clock = (at: number) => formatClock(at, digits);
  const times = segments.map(({ from, to }) => `${clock(from)}–${clock(to)}`);
  const left = Math.max("whole clip".length, ...times.map((time) => time.length));
  io.print(`${path}  ${clock(seconds)}, ${windowsText(windows.length, length)}`);
  segments.forEach(({ index, p }, i) => io.print(`  ${times[i].padStart(left)}  ${line(labels[index], p)}`));
  best.forEach(({ label, p }, i) =>
    io.print(`  ${(i === 0 ? "whole clip" : "").padStart(left)}  ${line(label, p)}`)
  );
}
