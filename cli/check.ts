/** `sidenet check`: reads every clip of a list once and names whatever is wrong. */
import {
  checkClips,
  type CheckResult,
  type ClipProblem,
  PROBLEM_KINDS,
  type ProblemKind,
} from "../data/datasets/check.ts";
import { detectTemplate, PUBLISHED_TEMPLATES } from "../data/datasets/entries.ts";
import type { ClipRecord } from "../data/datasets/list.ts";
import { readAnyList } from "../data/datasets/read.ts";
import { describeRepaired } from "../train/feed/lists.ts";
import { formatCount, formatDuration, progressBar, shorten } from "../lib/text.ts";
import { defineCommand, parseArguments } from "./shared/args.ts";
import { mostWorkers } from "../data/frames/decode_pool.ts";
import { type CheckedList, checkedLists, requireFolder } from "./shared/checked_lists.ts";
import { countVideos, tellLeftOut } from "./shared/clips.ts";
import type { Io } from "./shared/output.ts";

/** Problems named of each kind; `--verbose` and `--json` name all. */
const NAMED_AT_MOST = 10;
const SIZES_SHOWN = 5;
/** Characters of a path that are printed. */
const MOST_SHOWN = 400;
/** Between two states of the progress bar. */
const SHOWN_EVERY_MS = 100;
/** Reading waits for the disk more than for the decoder: a few clips at once even on one core. */
const LEAST_AT_ONCE = 4;
const BAD_DATA_EXIT_CODE = 4;

export const command = defineCommand({
  name: "check",
  summary: "Read every clip of a list once and report what is wrong",
  usage: "LIST|FOLDER|RUN|CONFIG [--root DIR]",
  positionals: { min: 1, max: 1 },
  details:
    `LIST is an annotation list or a list of pairs (path, caption), of which each path is read once. FOLDER holds a folder for each
class, or its lists, as train takes it; of a run and of a recipe both lists are read. A clip is a folder of
frames or a video, whichever stands there; videos need ffmpeg. Checks for every clip: whether it can
be read, the number of frames against the list where that states one, gaps in their numbers, whether the first and the last
frame can be decoded (with --all, every frame), what the decoder complains about, one size, the label, and whether another
clip has the same content in this list or, with --against, in another one (folders: first frame, last frame and count;
videos: size, first and last MiB).
The exit code is 0 when everything is fine and 4 when something is wrong.`,
  examples: [
    ["sidenet check lists/train.txt --root frames --labels lists/labels.csv", "a training list"],
    ["sidenet check lists/train.txt --root frames --against lists/val.txt", "and that no clip is in both"],
    ["sidenet check runs/mine/train.txt --root videos --all", "every frame of the videos of a run"],
    ["sidenet check lists/test.jsonl --root videos", "a list of pairs"],
    ["sidenet check videos", "a folder of class folders, before training on it"],
  ],
  options: {
    root: {
      type: "string",
      placeholder: "DIR",
      help: "the folder that the list's paths are relative to; not for absolute paths",
    },
    all: { type: "boolean", help: "decode every frame" },
    against: { type: "string", placeholder: "LIST", help: "a list that must share no clip with this one" },
    "against-root": { type: "string", placeholder: "DIR", help: "the root of that list; --root by default" },
    classes: { type: "integer", min: 1, help: "number of classes: labels must be below it" },
    labels: { type: "string", placeholder: "CSV", help: "label file: gives the number of classes" },
    template: {
      type: "string",
      help: `file name of a frame, such as "{:05d}.jpg"; found out from the folders by default`,
    },
    "first-frame": {
      type: "integer",
      min: 0,
      help: "number of a clip's first frame; the lowest in its folder by default",
    },
    workers: {
      type: "integer",
      min: 1,
      help:
        "clips (and ffmpeg processes) at once, at most twice the cores; the number of cores, but at least 4, by default",
    },
    verbose: { type: "boolean", help: "name every problem, not the first ones of each kind" },
  },
});

export async function run(args: string[], io: Io): Promise<number> {
  const { values, positionals: [path] } = parseArguments(command, args);
  if (values["against-root"] !== undefined) await requireFolder("--against-root", values["against-root"]);
  const lists = await checkedLists(path, values, io.signal);
  const other = values.against === undefined
    ? null
    : (await readAnyList(values.against, values["against-root"] ?? values.root)).clips;
  let code = 0;
  for (const list of lists) {
    const against = other === null ? undefined : { clips: other, root: values["against-root"] ?? list.root };
    if (!await checkList(list, { ...values, against }, io)) code = BAD_DATA_EXIT_CODE;
  }
  return code;
}

/** Checks one list and prints what was found. @returns whether nothing is wrong */
async function checkList(
  { name: list, clips, root, classes, template: given, firstFrame, repairedLines, unusable }: CheckedList,
  flags: {
    all?: boolean;
    workers?: number;
    verbose?: boolean;
    against?: { clips: readonly ClipRecord[]; root: string };
  },
  io: Io,
): Promise<boolean> {
  const started = performance.now();
  const template = given ?? await detectTemplate(root, clips.map(({ path }) => path)) ??
    PUBLISHED_TEMPLATES[0];
  let shown = started;
  const result = await checkClips(clips, {
    root,
    template,
    firstFrame,
    classes,
    against: flags.against,
    allFrames: flags.all ?? false,
    atOnce: Math.min(flags.workers ?? Math.max(LEAST_AT_ONCE, navigator.hardwareConcurrency), mostWorkers()),
    signal: io.signal,
    onProgress: (done, total) => {
      const now = performance.now();
      if (now - shown < SHOWN_EVERY_MS && done !== total) return;
      shown = now;
      io.status(`▕${progressBar(done / total, 20)}▏ ${formatCount(done)}/${formatCount(total)} clips`);
    },
  });
  io.status("");
  tellLeftOut(unusable, io, { where: `sidenet prepare ${list} --out DIR` });
  if (repairedLines.length > 0) {
    io.note(`warning: ${describeRepaired(repairedLines)}`);
  }
  const uncounted = clips.filter(({ frames, captions }) => frames === null && captions === undefined).length;
  if (uncounted > 0 && uncounted < clips.length) {
    io.note(
      `warning: ${formatCount(uncounted)} of ${formatCount(clips.length)} clips state no number of frames: ` +
        "such a list is read with data.modality=either only",
    );
  }
  const seconds = (performance.now() - started) / 1000;
  printResult(result, { list, template, seconds, limit: flags.verbose ? Infinity : NAMED_AT_MOST }, io);
  io.printJson({
    list,
    root,
    template,
    clips: result.clips,
    videos: result.videos,
    frames: result.frames,
    decoded: result.decoded,
    sizes: Object.fromEntries(result.sizes),
    unused_labels: result.unusedLabels,
    repaired_lines: repairedLines,
    problems: result.problems,
    ...unusable.length > 0 && { unusable: unusable.map(({ path, reason }) => ({ path, reason })) },
    seconds,
  });
  return result.problems.length === 0 && unusable.length === 0;
}

function printResult(
  { clips, videos, frames, decoded, sizes, unusedLabels, problems }: CheckResult,
  { list, template, seconds, limit }: { list: string; template: string; seconds: number; limit: number },
  io: Io,
): void {
  const ofVideos = videos === 0 ? "" : videos === clips ? " (videos)" : ` (${countVideos(videos)})`;
  const named = videos === clips ? "" : ` named "${template}"`;
  io.print(
    `${list}: ${formatCount(clips)} clips${ofVideos}, ${formatCount(frames)} frames${named}, ${
      formatCount(decoded)
    } decoded in ${formatDuration(seconds)}`,
  );
  const shown = sizes.slice(0, SIZES_SHOWN).map(([size, count]) => `${size} (${formatCount(count)})`);
  const more = sizes.length > SIZES_SHOWN ? `, and ${sizes.length - SIZES_SHOWN} more` : "";
  io.print(`  sizes: ${shown.join(", ") || "none"}${more}`);
  if (unusedLabels.length > 0) {
    const first = unusedLabels.slice(0, limit).join(", ");
    io.print(`  labels without a clip: ${first}${unusedLabels.length > limit ? ", …" : ""}`);
  }
  if (problems.length === 0) return io.print("  nothing is wrong");
  const byKind = Map.groupBy(problems, ({ kind }) => kind);
  for (const kind of Object.keys(PROBLEM_KINDS) as ProblemKind[]) {
    printKind(kind, byKind.get(kind) ?? [], limit, io);
  }
  const affected = new Set(problems.map(({ line, path }) => `${line} ${path}`)).size;
  io.print(
    `  ${formatCount(affected)} of ${formatCount(clips)} clips ${
      affected === 1 ? "has" : "have"
    } something wrong`,
  );
}

function printKind(kind: ProblemKind, problems: readonly ClipProblem[], limit: number, io: Io): void {
  if (problems.length === 0) return;
  io.print(`  ${PROBLEM_KINDS[kind]}: ${formatCount(problems.length)}`);
  for (const { line, path, problem } of problems.slice(0, limit)) {
    io.print(`    line ${line} ${shorten(path, MOST_SHOWN)}: ${shorten(problem, 2 * MOST_SHOWN)}`);
  }
  if (problems.length > limit) io.print(`    … and ${formatCount(problems.length - limit)} more (--verbose)`);
}
