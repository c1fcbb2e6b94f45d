/**
 * `sidenet prepare`: makes annotation lists from a folder per class, Something-Something V2's JSON, Kinetics' CSV or other
 * lists, for clips that are folders of frames, video files, or both.
 */
import { stat } from "node:fs/promises";
import { isAbsolute, join, resolve } from "node:path";
import {
  countUnusable,
  type Dataset,
  detectTemplate,
  findClips,
  type FindOptions,
  formatLabels,
  type FoundClip,
  modalityOf,
  PUBLISHED_TEMPLATES,
  type Split,
  type UnusableClip,
} from "../data/datasets/entries.ts";
import { parseAnnotations } from "../data/datasets/annotations.ts";
import { formatClipList } from "../data/datasets/list.ts";
import { readLabels, readText } from "../data/datasets/read.ts";
import { readClassFolders, remarkOnSplits } from "../data/datasets/folders.ts";
import { reasonOf, requireWritableFolder, writeFileWhole } from "../data/files.ts";
import { lockFolder } from "../data/folder_lock.ts";
import { ConfigError, DataError } from "../lib/errors.ts";
import { overrideOf } from "../train/recipe/overrides.ts";
import { PUBLISHED_MIN_FRAMES } from "../train/recipe/config.ts";
import { formatCount } from "../lib/text.ts";
import { defineCommand, parseArguments } from "./shared/args.ts";
import { countVideos, tellLeftOut } from "./shared/clips.ts";
import type { Io } from "./shared/output.ts";

const DEFAULT_VAL_SHARE = 0.1;
const DEFAULT_SEED = 1024;
const SPLITS: readonly Split[] = ["train", "val", "test"];

export const command = defineCommand({
  name: "prepare",
  summary: "Make annotation lists from class folders or the files of known data sets",
  savesOnInterrupt: true,
  usage: "DATASET … --out DIR",
  details: `DATASET is one of
  a folder per class, with the class's clips in it; the classes are the folders in code-point order. Folders named train
  and val (or validation, test) around them give the splits;
  Something-Something V2's JSON files: the labels, and train, validation or both, with --root;
  Kinetics' CSV files (label, youtube_id, time_start, time_end, split), with --root;
  the split files of UCF101 (with classInd.txt) or HMDB51, the CSV files of Jester or Something-Something V1, with --root;
  annotation lists (path, frames, label, or without frames; as text or CSV), with --root and --labels: repaired and counted
  anew.
A clip is a folder of frames or a video file, whichever is there. DIR receives train.txt and val.txt (path, frames,
label; for videos path, label), labels.csv and report.json, which names every clip that cannot be used and why; such clips
are left out and stop nothing. Frames are counted in the folders, those of videos with --count.`,
  examples: [
    ["sidenet prepare clips --out lists --val-share 0.2", "a folder per class"],
    ["sidenet prepare videos --out lists --count", "the same with videos, their frames counted"],
    [
      "sidenet prepare labels.json train.json validation.json --root frames --out lists",
      "Something-Something V2",
    ],
    ["sidenet prepare kinetics_train.csv kinetics_val.csv --root frames --out lists", "Kinetics"],
  ],
  options: {
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
      help: `class folders: share of each class for validation, ${DEFAULT_VAL_SHARE} by default`,
    },
    seed: { type: "integer", min: 0, help: `class folders: seed of the split, ${DEFAULT_SEED} by default` },
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
  const dataset = isFolder ? null : await readFiles(sources, values.labels);
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
  const folders = isFolder
    ? await readClassFolders(root, { ...options, valShare, seed: values.seed ?? DEFAULT_SEED })
    : null;
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

/** What the lists are made of. */
interface Prepared {
  classes: readonly string[];
  clips: readonly FoundClip[];
  unusable: readonly UnusableClip[];
  template: string;
}

async function findListed(
  dataset: Dataset,
  options: Omit<FindOptions, "template"> & { template: string | null },
): Promise<Prepared> {
  const template = options.template ??
    await detectTemplate(options.root, dataset.entries.values().flatMap(({ paths }) => paths)) ??
    PUBLISHED_TEMPLATES[0];
  return { classes: dataset.classes, template, ...await findClips(dataset, { ...options, template }) };
}

async function readFiles(files: readonly string[], labelFile: string | undefined): Promise<Dataset> {
  const texts = await Promise.all(files.map(async (file) => ({ file, text: await readText(file) })));
  return parseAnnotations(texts, labelFile === undefined ? null : await readLabels(labelFile));
}

async function writeLists(
  out: string,
  { classes, clips, unusable, root, template }: Prepared & { root: string | null },
  io: Io,
): Promise<void> {
  const counts: Partial<Record<Split, number>> = {};
  for (const split of SPLITS) {
    const own = clips.filter((clip) => clip.split === split);
    if (own.length === 0) {
      const earlier = await stat(join(out, `${split}.txt`)).then(() => true, () => false);
      if (earlier) {
        io.note(`warning: ${join(out, `${split}.txt`)} is of an earlier run: this one has no ${split} clips`);
      }
      continue;
    }
    counts[split] = own.length;
    await writeFileWhole(join(out, `${split}.txt`), formatClipList(own));
  }
  await writeFileWhole(join(out, "labels.csv"), formatLabels(classes));
  const modality = modalityOf(clips);
  const result = { folder: out, root, template, modality, classes: classes.length, clips: counts, unusable };
  await writeFileWhole(join(out, "report.json"), JSON.stringify(result, null, 2) + "\n");
  const listed = Object.entries(counts).map(([split, count]) => `${formatCount(count)} ${split}`).join(", ");
  const videos = clips.filter(({ kind }) => kind === "video").length;
  io.print(
    `wrote ${listed} clips${videos > 0 ? ` (${countVideos(videos)})` : ""} of ${
      formatCount(classes.length)
    } classes to ${out}; ${formatCount(countUnusable(unusable))} left out`,
  );
  const short = clips.filter(({ frames }) => frames !== null && frames < PUBLISHED_MIN_FRAMES).length;
  if (short > 0) {
    io.note(
      `warning: clips of fewer than ${PUBLISHED_MIN_FRAMES} frames, which the recipes of Something-Something and Kinetics ` +
        `leave out of training (data.min_frames): ${formatCount(short)}`,
    );
  }
  const keys: [key: string, value: string | number][] = root === null ? [] : [["root", root]];
  keys.push(["num_classes", classes.length]);
  if (modality !== "RGB") keys.push(["modality", modality]);
  if (modality !== "video") keys.push(["image_tmpl", template]);
  for (const split of ["train", "val"] as const) {
    if (counts[split]) keys.push([`${split}_list`, join(out, `${split}.txt`)]);
  }
  keys.push(["label_list", join(out, "labels.csv")]);
  const words = keys.map(([key, value]) => shellWord(overrideOf(`data.${key}`, value)));
  io.print(`keys for a recipe: ${words.join(" ")}`);
  io.printJson(result);
}

/** A word as a POSIX shell reads it back. */
function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    throw new DataError(`Cannot read "${path}": ${reasonOf(error)}`);
  }
}
