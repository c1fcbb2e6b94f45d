/**
 * `sidenet prepare`: makes lists from folders and from the files of known data sets, annotation lists where clips have classes and lists
 * of pairs where they have captions, for clips that are folders of frames, video files, or both.
 */
import { stat } from "node:fs/promises";
import { isAbsolute, join, resolve } from "node:path";
import { parseAnnotations } from "../data/datasets/annotations.ts";
import { hasCaptionFiles, readCaptionFolder } from "../data/datasets/captioned/caption_files.ts";
import { alsoInFolders } from "../data/datasets/captioned/dataset.ts";
import {
  type Dataset,
  detectTemplate,
  findClips,
  type FindOptions,
  PUBLISHED_TEMPLATES,
} from "../data/datasets/entries.ts";
import { readClassFolders, remarkOnSplits } from "../data/datasets/folders.ts";
import { readAnnotationFile, readLabels } from "../data/datasets/read.ts";
import { reasonOf, requireWritableFolder } from "../data/files.ts";
import { lockFolder } from "../data/folder_lock.ts";
import { ConfigError, DataError } from "../lib/errors.ts";
import { formatCount } from "../lib/text.ts";
import { defineCommand, parseArguments } from "./shared/args.ts";
import { tellLeftOut } from "./shared/clips.ts";
import type { Io } from "./shared/output.ts";
import { type Prepared, writeLists } from "./shared/prepared_lists.ts";

const DEFAULT_VAL_SHARE = 0.1;
const DEFAULT_SEED = 1024;

export const command = defineCommand({
  name: "prepare",
  summary: "Make lists of clips from folders or the files of known data sets",
  savesOnInterrupt: true,
  usage: "DATASET … --out DIR",
  details: `DATASET is one of
  a folder per class, with the class's clips in it; the classes are the folders in code-point order. Folders named train
  and val (or validation, test) around them give the splits;
  Something-Something V2's JSON files: the labels, and train, validation or both, with --root;
  Kinetics' CSV files (label, youtube_id, time_start, time_end, split), with --root;
  the split files of UCF101 (with classInd.txt) or HMDB51, the CSV files of Jester or Something-Something V1, with --root;
  annotation lists (path, frames, label, or without frames; as text or CSV), with --root and --labels: repaired and counted
  anew;
or, with captions for retrieval,
  a folder of clips with a file of captions beside each (a.mp4 and a.txt, a caption a line);
  the files of MSR-VTT (MSRVTT_data.json and CSV files), MSVD (lists and raw-captions.pkl or JSON), VATEX (the
  release's JSON, or lists and vatex_data.json), ActivityNet Captions, DiDeMo or LSMDC, with --root;
  lists of pairs (CSV with the columns path and caption, or JSON lines), with --root.
A clip is a folder of frames or a video file, whichever is there. DIR receives train.txt and val.txt (path, frames,
label; for videos path, label) and labels.csv, or for clips with captions lists of pairs, train.jsonl, val.jsonl and
test.jsonl; and report.json, which names every clip that cannot be used and why; such clips are left out and stop nothing.
Frames are counted in the folders, those of videos with --count.`,
  examples: [
    ["sidenet prepare clips --out lists --val-share 0.2", "a folder per class"],
    ["sidenet prepare videos --out lists --count", "the same with videos, their frames counted"],
    [
      "sidenet prepare labels.json train.json validation.json --root frames --out lists",
      "Something-Something V2",
    ],
    ["sidenet prepare kinetics_train.csv kinetics_val.csv --root frames --out lists", "Kinetics"],
    [
      "sidenet prepare MSRVTT_data.json MSRVTT_train.9k.csv MSRVTT_JSFUSION_test.csv --root frames --out lists",
      "MSR-VTT",
    ],
  ],
  options: {
    captions: { type: "boolean", help: "DATASET is a folder with captions beside its clips, at any depth" },
    labels: { type: "string", placeholder: "CSV", help: "annotation lists: the label file (id,name)" },
    out: { type: "string", placeholder: "DIR", help: "where the lists are written" },
    folders: { type: "string", placeholder: "DIR", help: "the folder of class folders, instead of DATASET" },
    root: {
      type: "string",
      placeholder: "DIR",
      help: "where the clips are; class folders are their own root",
    },
    template: {
      type: "string",
      help: `file name of a frame, such as "{:05d}.jpg"; found out from the folders by default`,
    },
    count: { type: "boolean", help: "also count the frames of videos, which takes ffprobe some 50 ms each" },
    "val-share": {
      type: "number",
      min: 0,
      help: `folders: share of the clips (of each class) for validation, ${DEFAULT_VAL_SHARE} by default`,
    },
    seed: { type: "integer", min: 0, help: `seed of what is chosen, ${DEFAULT_SEED} by default` },
  },
});

export async function run(args: string[], io: Io): Promise<number> {
  const { values, positionals } = parseArguments(command, args);
  const sources = values.folders === undefined ? positionals : [values.folders, ...positionals];
  const { out } = values, valShare = values["val-share"] ?? DEFAULT_VAL_SHARE;
  if (out === undefined || sources.length === 0) {
    throw new ConfigError(`Cannot run "sidenet prepare": expected ${command.usage}`);
  }
  if (valShare > 1) {
    throw new ConfigError(
      `Cannot parse flag "--val-share": expected at most 1, current value is ${valShare}`,
    );
  }
  const isFolder = await isDirectory(sources[0]);
  if (isFolder && sources.length > 1) {
    throw new ConfigError(`Cannot prepare: there must be one folder, current count is ${sources.length}`);
  }
  if (isFolder && values.root !== undefined && resolve(values.root) !== resolve(sources[0])) {
    throw new ConfigError(
      `Cannot prepare: --root must be left out with class folders, which are their own root, current value is "${values.root}"`,
    );
  }
  if (values.captions && !isFolder) {
    throw new ConfigError(
      `Cannot prepare: with --captions DATASET must be a folder, current value is "${sources[0]}"`,
    );
  }
  const seed = values.seed ?? DEFAULT_SEED,
    isCaptioned = isFolder && (values.captions || await hasCaptionFiles(sources[0]));
  const dataset = isCaptioned
    ? await readCaptionFolder(sources[0], { valShare, seed, signal: io.signal })
    : isFolder
    ? null
    : await readFiles(sources, values.labels);
  // Absolute paths need no root.
  const isRooted = isFolder || dataset!.entries.every(({ paths }) => paths.every((path) => isAbsolute(path)));
  const root = isFolder ? sources[0] : values.root ?? (isRooted ? "" : undefined);
  if (root === undefined) {
    throw new ConfigError("Cannot prepare: --root must name the folder that the clips are in");
  }
  if (!isFolder && root !== "" && !await isDirectory(root)) {
    throw new ConfigError(`Cannot prepare: --root must be a folder, current value is "${root}", a file`);
  }
  await requireWritableFolder(out);
  using lock = await lockFolder(out, "prepare");
  if (lock.warning !== null) io.note(`warning: ${lock.warning}`);
  const options = {
    root,
    template: values.template ?? null,
    countVideos: values.count ?? false,
    signal: io.signal,
    onProgress: (done: number, total: number) => {
      if (done % (values.count ? 20 : 200) === 0) {
        io.status(`${formatCount(done)}/${formatCount(total)} clips`);
      }
    },
  };
  const folders = dataset === null ? await readClassFolders(root, { ...options, valShare, seed }) : null;
  const prepared: Prepared = folders ?? await findListed(dataset!, options);
  io.status("");
  tellLeftOut(prepared.unusable, io, { where: join(out, "report.json") });
  if (prepared.clips.length === 0) {
    throw new DataError(
      `Cannot prepare "${sources[0]}": at least one clip must be usable${
        root === "" ? "" : ` under "${root}"`
      }, a video or a folder of frames named "${prepared.template}", current count is 0`,
    );
  }
  const remark = folders && remarkOnSplits(folders);
  if (remark !== null) io.note(`warning: ${remark}`);
  await writeLists(out, { ...prepared, root: root === "" ? null : root }, io);
  return 0;
}

async function findListed(
  listed: Dataset,
  options: Omit<FindOptions, "template"> & { template: string | null },
): Promise<Prepared> {
  const dataset = listed.classes === null ? await alsoInFolders(listed, options.root) : listed;
  const template = options.template ??
    await detectTemplate(options.root, dataset.entries.values().flatMap(({ paths }) => paths)) ??
    PUBLISHED_TEMPLATES[0];
  return { classes: dataset.classes, template, ...await findClips(dataset, { ...options, template }) };
}

async function readFiles(files: readonly string[], labelFile: string | undefined): Promise<Dataset> {
  const texts = await Promise.all(files.map(readAnnotationFile));
  return parseAnnotations(texts, labelFile === undefined ? null : await readLabels(labelFile));
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    throw new DataError(`Cannot read "${path}": ${reasonOf(error)}`);
  }
}
