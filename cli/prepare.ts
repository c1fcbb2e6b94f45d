/**
 * `sidenet prepare`: makes annotation lists from a folder per class, Something-Something V2's JSON, Kinetics' CSV or other
 * lists.
 */
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import {
  type CountedClip,
  countEntries,
  type Dataset,
  detectTemplate,
  formatClipList,
  formatLabels,
  PUBLISHED_TEMPLATES,
  type Split,
  splitOfFile,
  type UnusableClip,
} from "../data/datasets/entries.ts";
import { parseClipList } from "../data/datasets/list.ts";
import { readLabels } from "../data/datasets/read.ts";
import { readClassFolders } from "../data/datasets/folders.ts";
import { kineticsEntries, parseKineticsCsv } from "../data/datasets/kinetics_csv.ts";
import { isSsv2Labels, parseSsv2Labels, parseSsv2Split } from "../data/datasets/ssv2_json.ts";
import { reasonOf, writeFileWhole } from "../data/files.ts";
import { ConfigError, DataError } from "../lib/errors.ts";
import { formatCount } from "../train/progress.ts";
import { defineCommand, parseArguments } from "./_args.ts";
import type { Io } from "./_output.ts";

const DEFAULT_VAL_SHARE = 0.1;
const DEFAULT_SEED = 1024;
/** Unusable clips named on the terminal; report.json names all. */
const NAMED_AT_MOST = 20;
const SPLITS: readonly Split[] = ["train", "val", "test"];

export const command = defineCommand({
  name: "prepare",
  summary: "Make annotation lists from class folders, SSv2's JSON or Kinetics' CSV",
  usage: "DATASET … --out DIR",
  details: `DATASET is one of
  a folder per class, each with a folder of JPEG frames per clip; the classes are the folders in code-point order;
  Something-Something V2's JSON files: the labels, and train, validation or both, with --root;
  Kinetics' CSV files (label, youtube_id, time_start, time_end, split), with --root;
  annotation lists (path, frames, label, or without frames), with --root and --labels: repaired and counted anew.
DIR receives train.txt, val.txt (path, frames, label), labels.csv and report.json, which names every clip that cannot be
used and why; such clips are left out and stop nothing. Frames are counted in the folders.`,
  examples: [
    ["sidenet prepare clips --out lists --val-share 0.2", "a folder per class"],
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
      help: "where the clips' folders are; for class folders, they themselves",
    },
    template: {
      type: "string",
      help: `file name of a frame, such as "{:05d}.jpg"; found out among the published ones by default`,
    },
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
  const root = values.root ?? (isFolder ? sources[0] : undefined);
  if (root === undefined) {
    throw new ConfigError("Cannot prepare: --root must name the folder of the clips' folders");
  }
  const dataset = isFolder
    ? await readClassFolders(sources[0], { valShare, seed: values.seed ?? DEFAULT_SEED })
    : await readFiles(sources, values.labels);
  const template = values.template ?? await detectTemplate(root, foldersOf(dataset)) ??
    PUBLISHED_TEMPLATES[0];
  const { clips, unusable } = await countEntries(dataset, {
    root,
    template,
    signal: io.signal,
    onProgress: (done, total) => {
      if (done % 200 === 0) io.status(`${formatCount(done)}/${formatCount(total)} clips`);
    },
  });
  io.status("");
  tellUnusable(unusable, io);
  if (clips.length === 0) {
    throw new DataError(
      `Cannot prepare "${
        sources[0]
      }": at least one clip must be usable under "${root}" with frames named "${template}", current count is 0 of ${
        formatCount(dataset.entries.length)
      }`,
    );
  }
  await writeLists(out, { dataset, clips, unusable, root, template }, io);
  return 0;
}

async function readFiles(files: readonly string[], labelFile: string | undefined): Promise<Dataset> {
  const texts = await Promise.all(files.map(async (file) => {
    try {
      return { file, text: await readFile(file, "utf8") };
    } catch (error) {
      throw new DataError(`Cannot read "${file}": ${reasonOf(error)}`);
    }
  }));
  if (files.every((file) => /\.csv$/i.test(file))) {
    return {
      ...kineticsEntries(texts.flatMap(({ file, text }) => parseKineticsCsv(text, file))),
      unusable: [],
    };
  }
  if (files.every((file) => /\.txt$/i.test(file))) {
    if (labelFile === undefined) {
      throw new ConfigError("Cannot prepare: --labels must name the lists' label file");
    }
    const classes = await readLabels(labelFile);
    const entries = texts.flatMap(({ file, text }) => {
      // Two or three fields: the number of frames is counted anyway.
      const { clips } = parseClipList(text, { file, classes: classes.length, modality: "video" });
      return clips.map(({ path, label }) => ({ split: splitOfFile(file), label, folders: [path] }));
    });
    return { classes, entries, unusable: [] };
  }
  if (!files.every((file) => /\.json$/i.test(file))) {
    throw new ConfigError(
      `Cannot prepare: DATASET must be a folder, or files of one kind (.json, .csv or .txt), current value is "${
        files.join(" ")
      }"`,
    );
  }
  const labels = texts.filter(({ text }) => isSsv2Labels(text));
  const splits = texts.filter(({ text }) => !isSsv2Labels(text));
  if (labels.length !== 1 || splits.length === 0) {
    throw new ConfigError(
      `Cannot prepare: there must be one JSON file of labels and at least one of clips, current counts are ${labels.length} and ${splits.length}`,
    );
  }
  const classes = parseSsv2Labels(labels[0].text, labels[0].file);
  const entries = splits.flatMap(({ file, text }) =>
    parseSsv2Split(text, { file, split: splitOfFile(file), classes })
  );
  return { classes, entries, unusable: [] };
}

function* foldersOf({ entries }: Dataset): Generator<string> {
  for (const { folders } of entries) yield* folders;
}

function tellUnusable(unusable: readonly UnusableClip[], io: Io): void {
  for (const { path, reason } of unusable.slice(0, NAMED_AT_MOST)) io.note(`left out: ${path}: ${reason}`);
  const more = unusable.length - NAMED_AT_MOST;
  if (more > 0) io.note(`left out: ${formatCount(more)} more, see report.json`);
}

async function writeLists(
  out: string,
  { dataset, clips, unusable, root, template }: {
    dataset: Dataset;
    clips: readonly CountedClip[];
    unusable: readonly UnusableClip[];
    root: string;
    template: string;
  },
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
  await writeFileWhole(join(out, "labels.csv"), formatLabels(dataset.classes));
  const result = { folder: out, root, template, classes: dataset.classes.length, clips: counts, unusable };
  await writeFileWhole(join(out, "report.json"), JSON.stringify(result, null, 2) + "\n");
  const listed = Object.entries(counts).map(([split, count]) => `${formatCount(count)} ${split}`).join(", ");
  io.print(
    `wrote ${listed} clips of ${formatCount(dataset.classes.length)} classes to ${out}; ${
      formatCount(unusable.length)
    } left out`,
  );
  const keys = [
    `data.root=${root}`,
    `data.image_tmpl="${template}"`,
    `data.num_classes=${dataset.classes.length}`,
  ];
  for (const split of ["train", "val"] as const) {
    if (counts[split]) keys.push(`data.${split}_list=${join(out, `${split}.txt`)}`);
  }
  keys.push(`data.label_list=${join(out, "labels.csv")}`);
  io.print(`keys for a recipe: ${keys.join(" ")}`);
  io.printJson(result);
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    throw new DataError(`Cannot read "${path}": ${reasonOf(error)}`);
  }
}
